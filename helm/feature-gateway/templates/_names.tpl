{{- /* Names, labels and the image. */ -}}

{{- define "feature-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "feature-gateway.fullname" -}}
{{- $name := include "feature-gateway.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Of the pods that serve, and of no others: the test's pod has another component. */ -}}
{{- define "feature-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "feature-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "feature-gateway.labels" -}}
{{- include "feature-gateway.commonLabels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "feature-gateway.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "feature-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "feature-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "feature-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "feature-gateway.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s:%s@%s" .Values.image.repository $tag .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "feature-gateway.claimName" -}}
{{- default (printf "%s-data" (include "feature-gateway.fullname" .)) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "feature-gateway.definitionsName" -}}
{{- default (printf "%s-definitions" (include "feature-gateway.fullname" .)) .Values.definitions.configMap -}}
{{- end -}}
