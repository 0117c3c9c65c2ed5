{{- /* Parts of the pod that serves. */ -}}

{{- define "feature-gateway.env" -}}
- name: HOME
  value: /tmp
{{- range $value, $variable := dict
  "originApiKey" "ORIGIN__API_KEY"
  "cacheSharedUrl" "CACHE__SHARED__URL"
  "featureServerRedisUrl" "FEATURE_SERVER__REDIS__URL"
  "authDatabase" "AUTH__DATABASE"
  "authKek" "AUTH__KEK"
  "authAdminKey" "AUTH__ADMIN_KEY" }}
{{- with index $.Values.secrets $value }}
{{- if .name }}
- name: FEATURE_GATEWAY_{{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $.Values.telemetry.otlpProtocol }}
- name: OTEL_SERVICE_NAME
  value: {{ include "feature-gateway.fullname" $ }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME)
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Beside one another, not one in another: in a volume that is read only no place for another can be made. */ -}}
{{- define "feature-gateway.volumeMounts" -}}
- name: settings
  mountPath: /etc/feature-gateway/settings
  readOnly: true
{{- if include "feature-gateway.hasDefinitionsFolder" . }}
- name: definitions
  mountPath: /etc/feature-gateway/definitions
  readOnly: true
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/feature-gateway/tls
  readOnly: true
{{- end }}
- name: data
  mountPath: {{ include "feature-gateway.dataDir" . }}
- name: scratch
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "feature-gateway.volumes" -}}
- name: settings
  configMap:
    name: {{ include "feature-gateway.fullname" . }}
{{- if include "feature-gateway.hasDefinitionsFolder" . }}
- name: definitions
  configMap:
    name: {{ include "feature-gateway.definitionsName" . }}
{{- end }}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
- name: data
{{- if include "feature-gateway.claims" . }}
  persistentVolumeClaim:
    claimName: {{ include "feature-gateway.claimName" . }}
{{- else }}
  emptyDir: {}
{{- end }}
- name: scratch
  emptyDir: {}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "feature-gateway.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ include "feature-gateway.operationsPortName" .context }}
  scheme: {{ include "feature-gateway.operationsScheme" .context | upper }}
{{ toYaml .probe }}
{{- end -}}

{{- /* Of each: the constraint as it is given, and whose pods are counted, where it does not say. */ -}}
{{- define "feature-gateway.topologySpreadConstraints" -}}
{{- range .Values.topologySpreadConstraints }}
- {{ toYaml . | nindent 2 | trim }}
{{- if not .labelSelector }}
  labelSelector:
    matchLabels:
      {{- include "feature-gateway.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}
