{{- /*
Values as TOML. Helm's own `toToml` writes every number of a values file as a float: a feature's default of 3 would be served as 3.0. JSON
writes numbers as they are, and its numbers, strings and booleans are TOML's. Tables below the first level are inline.
*/ -}}

{{- define "feature-gateway.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ include "feature-gateway.toml.value" . }}{{- end -}}
{{- end -}}

{{- define "feature-gateway.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $pairs = append $pairs (printf "%s = %s" (include "feature-gateway.toml.key" $key) (include "feature-gateway.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- printf "{%s}" (join ", " $pairs) -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "feature-gateway.toml.value" .) -}}
{{- end -}}
{{- printf "[%s]" (join ", " $items) -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "feature-gateway.toml" -}}
{{- range $key, $value := . }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "feature-gateway.toml.key" $key }} = {{ include "feature-gateway.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $section, $entries := . }}
{{- if kindIs "map" $entries }}

[{{ include "feature-gateway.toml.key" $section }}]
{{- range $key, $value := $entries }}
{{- if not (kindIs "invalid" $value) }}
{{ include "feature-gateway.toml.key" $key }} = {{ include "feature-gateway.toml.value" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
