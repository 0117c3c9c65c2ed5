{{- /* Whom the gateway calls, by the values that make it call them. A peer that names nobody is anybody, at its port. */ -}}

{{- define "feature-gateway.egress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $secrets := .Values.secrets -}}
{{- if eq (include "feature-gateway.originKind" .) "tecton" -}}
{{- $origin := .Values.settings.origin -}}
{{- $ports := list (include "feature-gateway.urlPort" $origin.url | int) -}}
{{- with $origin.ingest_url -}}
{{- $ports = append $ports (include "feature-gateway.urlPort" . | int) | uniq -}}
{{- end -}}
{{- include "feature-gateway.egress.rule" (dict "to" $policy.origin.to "ports" $ports) -}}
{{- end -}}
{{- if or $secrets.cacheSharedUrl.name $secrets.featureServerRedisUrl.name -}}
{{- include "feature-gateway.egress.rule" (dict "to" $policy.redis.to "ports" (list $policy.redis.port)) -}}
{{- end -}}
{{- if $secrets.authDatabase.name -}}
{{- include "feature-gateway.egress.rule" (dict "to" $policy.postgresql.to "ports" (list $policy.postgresql.port)) -}}
{{- end -}}
{{- with .Values.telemetry.otlpEndpoint -}}
{{- include "feature-gateway.egress.rule" (dict "to" $policy.otlp.to "ports" (list (include "feature-gateway.urlPort" . | int))) -}}
{{- end -}}
{{- end -}}

{{- define "feature-gateway.egress.rule" }}
- ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
