{{- /*
What follows from the values: the same conclusions that gateway/settings.py draws, as far as the shape of the release depends on them.
Each yields a word, or "true", or nothing.
*/ -}}

{{- define "feature-gateway.dataDir" -}}/var/lib/feature-gateway{{- end -}}

{{- define "feature-gateway.originKind" -}}
{{- dig "origin" "kind" "embedded" .Values.settings -}}
{{- end -}}

{{- define "feature-gateway.embeddedStore" -}}
{{- if eq (include "feature-gateway.originKind" .) "embedded" -}}{{ dig "feature_server" "store" "sqlite" .Values.settings }}{{- end -}}
{{- end -}}

{{- define "feature-gateway.authMode" -}}
{{- $given := dig "auth" "mode" "" .Values.settings -}}
{{- if $given -}}
{{- $given -}}
{{- else if and (eq (include "feature-gateway.originKind" .) "tecton") (not .Values.secrets.originApiKey.name) -}}
passthrough
{{- else -}}
keys
{{- end -}}
{{- end -}}

{{- define "feature-gateway.accessStore" -}}
{{- $given := dig "auth" "store" "" .Values.settings -}}
{{- if $given -}}
{{- $given -}}
{{- else if .Values.secrets.authDatabase.name -}}
postgresql
{{- else if or (ne (include "feature-gateway.authMode" .) "keys") (dig "auth" "keys" dict .Values.settings) -}}
none
{{- else -}}
sqlite
{{- end -}}
{{- end -}}

{{- /* What is kept in files of the data folder, so that it is one pod's. */ -}}
{{- define "feature-gateway.localState" -}}
{{- if eq (include "feature-gateway.embeddedStore" .) "sqlite" -}}
the embedded feature server's store in SQLite
{{- else if eq (include "feature-gateway.accessStore" .) "sqlite" -}}
access control's store in SQLite
{{- end -}}
{{- end -}}

{{- define "feature-gateway.claims" -}}
{{- if and .Values.persistence.enabled (include "feature-gateway.localState" .) -}}true{{- end -}}
{{- end -}}

{{- define "feature-gateway.hasDefinitionsFolder" -}}
{{- if and (eq (include "feature-gateway.originKind" .) "embedded") (or .Values.definitions.configMap .Values.definitions.files) -}}true{{- end -}}
{{- end -}}

{{- /* Definitions in a folder are put in force before the server starts, where the data is one pod's: so stored data follows them. */ -}}
{{- define "feature-gateway.appliesDefinitions" -}}
{{- if and (include "feature-gateway.hasDefinitionsFolder" .) (eq (include "feature-gateway.embeddedStore" .) "sqlite") -}}true{{- end -}}
{{- end -}}

{{- define "feature-gateway.manyReplicas" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}true{{- end -}}
{{- end -}}

{{- define "feature-gateway.port" -}}
{{- dig "server" "port" 8080 .Values.settings | int -}}
{{- end -}}

{{- /* Of probes and metrics; nothing, where they have none of their own: 0, or null, which not every Helm hands on from a chart above. */ -}}
{{- define "feature-gateway.operationsPort" -}}
{{- with dig "server" "operations_port" 0 .Values.settings -}}{{ int . }}{{- end -}}
{{- end -}}

{{- /* The name of the port that they are on, and what is spoken there: on one of their own, plain HTTP. */ -}}
{{- define "feature-gateway.operationsPortName" -}}
{{- if include "feature-gateway.operationsPort" . -}}operations{{- else -}}http{{- end -}}
{{- end -}}

{{- define "feature-gateway.operationsScheme" -}}
{{- if include "feature-gateway.operationsPort" . -}}http{{- else -}}{{ include "feature-gateway.scheme" . }}{{- end -}}
{{- end -}}

{{- define "feature-gateway.scheme" -}}
{{- if .Values.tls.secretName -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{- /* drain, then the requests under way, then 20 s for spans and stores (gateway/hosting/running.py), after which SIGKILL may come. */ -}}
{{- define "feature-gateway.terminationGracePeriodSeconds" -}}
{{- addf (dig "server" "drain_s" 5 .Values.settings) (dig "server" "shutdown_grace_s" 30 .Values.settings) 20 | ceil | int -}}
{{- end -}}

{{- /* The settings, and what the chart decides of them. */ -}}
{{- define "feature-gateway.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if eq (include "feature-gateway.originKind" .) "embedded" -}}
{{- $server := dict "data_dir" (include "feature-gateway.dataDir" .) -}}
{{- if and (include "feature-gateway.hasDefinitionsFolder" .) (not (include "feature-gateway.appliesDefinitions" .)) -}}
{{- $_ := set $server "definitions" "/etc/feature-gateway/definitions" -}}
{{- else if not (include "feature-gateway.hasDefinitionsFolder" .) -}}
{{- $_ := set $server "definitions" .Values.definitions.python -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings (dict "feature_server" $server) -}}
{{- else if eq (include "feature-gateway.accessStore" .) "sqlite" -}}
{{- $settings = mergeOverwrite $settings (dict "auth" (dict "data_dir" (include "feature-gateway.dataDir" .))) -}}
{{- end -}}
{{- if not (include "feature-gateway.operationsPort" .) -}}
{{- $_ := unset ($settings.server | default dict) "operations_port" -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $files := dict "tls_certificate_file" "/etc/feature-gateway/tls/tls.crt" "tls_key_file" "/etc/feature-gateway/tls/tls.key" -}}
{{- $settings = mergeOverwrite $settings (dict "server" $files) -}}
{{- end -}}
{{- include "feature-gateway.toml" $settings | trim -}}
{{- end -}}

{{- /* The port of a URL, as TCP sees it. */ -}}
{{- define "feature-gateway.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "http" | ternary "80" "443") -}}
{{- end -}}

{{- /* A Kubernetes quantity of memory, in bytes. */ -}}
{{- define "feature-gateway.bytes" -}}
{{- $said := toString . -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $said -}}
{{- if hasKey $units $unit -}}{{ mulf (trimSuffix $unit $said | float64) (get $units $unit) | int64 }}{{- end -}}
{{- end -}}
