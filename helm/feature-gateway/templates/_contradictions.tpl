{{- /*
Values that are well formed each, and do not fit together: rendering stops, with all of them told at once. What is wrong within `settings`
alone the gateway tells itself when it starts; here stands what decides the shape of the release, or would leave a pod that cannot serve.
*/ -}}
{{- define "feature-gateway.contradictions" -}}
{{- $wrong := list -}}
{{- $server := dig "server" dict .Values.settings -}}
{{- $kind := include "feature-gateway.originKind" . -}}
{{- $mode := include "feature-gateway.authMode" . -}}
{{- $store := include "feature-gateway.accessStore" . -}}
{{- $workers := dig "workers" 1 $server | int -}}

{{- with include "feature-gateway.localState" . -}}
{{- if $.Values.autoscaling.enabled -}}
{{- $wrong = append $wrong (printf "autoscaling.enabled: %s is one pod's; more need it in Redis or PostgreSQL (see replicas in values.yaml)" .) -}}
{{- else if gt (int $.Values.replicas) 1 -}}
{{- $wrong = append $wrong (printf "replicas: %s is one pod's; more need it in Redis or PostgreSQL (see replicas in values.yaml)" .) -}}
{{- end -}}
{{- end -}}
{{- if and (gt $workers 1) (eq (include "feature-gateway.embeddedStore" .) "sqlite") -}}
{{- $wrong = append $wrong "settings.server.workers: the embedded feature server's store in SQLite is one process's; more need settings.feature_server.store: redis" -}}
{{- end -}}
{{- if and (eq $kind "tecton") (not (dig "origin" "url" "" .Values.settings)) -}}
{{- $wrong = append $wrong "settings.origin.url: needed for settings.origin.kind: tecton, e.g. https://<cluster>.tecton.ai" -}}
{{- end -}}
{{- if and (eq $kind "embedded") (not (include "feature-gateway.hasDefinitionsFolder" .)) (not .Values.definitions.python) -}}
{{- $wrong = append $wrong "definitions: the embedded feature server needs some: definitions.files, definitions.configMap or definitions.python" -}}
{{- end -}}
{{- if and .Values.definitions.files .Values.definitions.configMap -}}
{{- $wrong = append $wrong "definitions.files: are given, and definitions.configMap too; one of them" -}}
{{- end -}}
{{- if and (eq (include "feature-gateway.embeddedStore" .) "redis") (not .Values.secrets.featureServerRedisUrl.name) -}}
{{- $wrong = append $wrong "secrets.featureServerRedisUrl: needed for settings.feature_server.store: redis" -}}
{{- end -}}
{{- if has (dig "host" "0.0.0.0" $server) (list "127.0.0.1" "::1" "localhost") -}}
{{- $wrong = append $wrong "settings.server.host: nobody reaches a pod on its loopback address; 0.0.0.0, or :: for IPv6" -}}
{{- end -}}
{{- if eq (include "feature-gateway.port" .) "0" -}}
{{- $wrong = append $wrong "settings.server.port: a port that the system chooses is one that the Service does not know" -}}
{{- end -}}
{{- if eq (include "feature-gateway.operationsPort" .) (include "feature-gateway.port" .) -}}
{{- $wrong = append $wrong "settings.server.operations_port: must be another than settings.server.port" -}}
{{- end -}}
{{- if has (dig "operations_host" "0.0.0.0" $server) (list "127.0.0.1" "::1" "localhost") -}}
{{- $wrong = append $wrong "settings.server.operations_host: nobody probes a pod on its loopback address; 0.0.0.0, or :: for IPv6" -}}
{{- end -}}
{{- if eq $mode "open" -}}
{{- $wrong = append $wrong "settings.auth.mode: open is for loopback only, and a pod is reached from elsewhere; keys, or passthrough before a cluster" -}}
{{- end -}}
{{- if and (eq $mode "passthrough") (eq $kind "embedded") -}}
{{- $wrong = append $wrong "settings.auth.mode: passthrough needs a cluster to judge credentials (settings.origin.kind: tecton)" -}}
{{- end -}}
{{- if and (eq $store "postgresql") (not .Values.secrets.authDatabase.name) -}}
{{- $wrong = append $wrong "secrets.authDatabase: needed for settings.auth.store: postgresql" -}}
{{- end -}}
{{- if and .Values.secrets.authDatabase.name (ne $store "postgresql") -}}
{{- $wrong = append $wrong "secrets.authDatabase: goes with settings.auth.store: postgresql, or with none said" -}}
{{- end -}}
{{- if and (eq $store "postgresql") (not .Values.secrets.authKek.name) (not (dig "auth" "kek_file" "" .Values.settings)) -}}
{{- $wrong = append $wrong "secrets.authKek: needed for PostgreSQL, the same for all replicas (or settings.auth.kek_file); `feature-gateway secrets new-kek` makes one" -}}
{{- end -}}
{{- if and .Values.secrets.authAdminKey.name (eq $store "none") -}}
{{- $wrong = append $wrong "secrets.authAdminKey: is kept in access control's store, and there is none (settings.auth)" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- $wrong = append $wrong "autoscaling.minReplicas: is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.targetCPUUtilizationPercentage) (not .Values.autoscaling.metrics) -}}
{{- $wrong = append $wrong "autoscaling: by what? targetCPUUtilizationPercentage, or metrics" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.autoscaling.targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $wrong = append $wrong "autoscaling.targetCPUUtilizationPercentage: is a share of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.hosts: an Ingress without one serves nobody" -}}
{{- end -}}
{{- with dig "limits" "memory" "" .Values.resources -}}
{{- $limit := include "feature-gateway.bytes" . -}}
{{- $cache := dig "cache" "max_bytes" 268435456 $.Values.settings | int64 -}}
{{- /* a process without fragments takes 120 MiB */ -}}
{{- $wanted := mul $workers (add $cache 134217728) -}}
{{- if and $limit (lt (int64 $limit) $wanted) -}}
{{- $wrong = append $wrong (printf "resources.limits.memory: %d workers with caches of settings.cache.max_bytes need at least %dMi" $workers (div (add $wanted 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "these values do not fit together:\n  %s" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}
