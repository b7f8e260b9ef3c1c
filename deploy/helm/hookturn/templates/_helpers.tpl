{{- define "hookturn.name" -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- define "hookturn.selector" -}}
app.kubernetes.io/name: hookturn
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "hookturn.labels" -}}
{{ include "hookturn.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "hookturn.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "hookturn.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "hookturn.image" -}}
{{- $image := .root.Values.image }}
{{- $repository := ternary $image.codeRepository $image.repository (eq .component "code") }}
{{- $digest := ternary $image.codeDigest $image.digest (eq .component "code") }}
{{- $own := (index .root.Values .component).tag }}
{{- if $own }}{{ $repository }}:{{ $own }}{{ else if $digest }}{{ $repository }}@{{ $digest }}{{ else }}{{ $repository }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{/* The ConfigMap with the bot files. */}}
{{- define "hookturn.botsMap" -}}
{{- default (printf "%s-bots" (include "hookturn.name" .)) .Values.bots.configMap }}
{{- end }}

{{- define "hookturn.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Scripts run as users of their own: this container starts as user 0 of its pod's user namespace. */}}
{{- define "hookturn.codeSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsUser: 0
runAsGroup: 0
capabilities: {drop: [ALL], add: [SETUID, SETGID, KILL]}
procMount: Unmasked
seccompProfile: {type: Localhost, localhostProfile: {{ .Values.code.seccompProfile }}}
appArmorProfile: {type: Unconfined}
{{- end }}

{{/* Nine tenths of a memory limit, for the collector of Go; empty when the limit is not in Ki, Mi or Gi. */}}
{{- define "hookturn.goMemoryLimit" -}}
{{- $limit := toString . }}
{{- if regexMatch "^[0-9]+(Ki|Mi|Gi)$" $limit }}
{{- $unit := index (dict "Ki" 1 "Mi" 1024 "Gi" 1048576) (regexFind "[KMG]i$" $limit) }}
{{- printf "%dKiB" (div (mul (regexFind "^[0-9]+" $limit | int64) $unit 9) 10) }}
{{- end }}
{{- end }}

{{- define "hookturn.environment" -}}
{{- $v := .root.Values }}
- {name: HOOKTURN_ADMIN_ADDR, value: "0.0.0.0:9090"}
- {name: HOOKTURN_LOG_FORMAT, value: {{ $v.log.format | quote }}}
- {name: HOOKTURN_LOG_LEVEL, value: {{ $v.log.level | quote }}}
{{- if $v.nats.urlSecret }}
- name: HOOKTURN_NATS_URL
  valueFrom: {secretKeyRef: {name: {{ $v.nats.urlSecret }}, key: {{ .component }}}}
{{- else }}
- {name: HOOKTURN_NATS_URL, value: {{ $v.nats.url | quote }}}
{{- end }}
{{- if $v.nats.credsSecret }}
- {name: HOOKTURN_NATS_CREDS, value: /etc/hookturn/nats/{{ .component }}.creds}
{{- end }}
{{- if $v.nats.tls.secret }}
{{- if $v.nats.tls.privateCA }}
- {name: HOOKTURN_NATS_CA, value: /etc/hookturn/nats-tls/ca.crt}
{{- end }}
{{- if $v.nats.tls.clientCertificate }}
- {name: HOOKTURN_NATS_CERT, value: /etc/hookturn/nats-tls/tls.crt}
- {name: HOOKTURN_NATS_KEY, value: /etc/hookturn/nats-tls/tls.key}
{{- end }}
{{- end }}
{{- if $v.nats.inboxPrefixes }}
- {name: HOOKTURN_NATS_INBOX_PREFIX, value: _INBOX_{{ .component }}}
{{- end }}
{{- if and $v.nats.codeDomain (eq .component "code") }}
- {name: HOOKTURN_NATS_DOMAIN, value: {{ $v.nats.codeDomain | quote }}}
{{- end }}
{{- with $v.streams.partitions }}
- {name: HOOKTURN_PARTITIONS, value: {{ . | quote }}}
{{- end }}
- {name: HOOKTURN_REPLICAS, value: {{ $v.streams.replicas | quote }}}
{{- with $v.streams.eventsMaxBytes }}
- {name: HOOKTURN_EVENTS_MAX_BYTES, value: {{ . | int64 | quote }}}
{{- end }}
{{- range $name, $size := $v.streams.maxBytes }}
- {name: HOOKTURN_{{ $name | upper | replace "-" "_" }}_MAX_BYTES, value: {{ $size | quote }}}
{{- end }}
- {name: TEMPORAL_ADDRESS, value: {{ $v.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ $v.temporal.namespace | quote }}}
{{- with $v.temporal.apiKeySecret }}{{- if .name }}
- name: TEMPORAL_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}{{- end }}
{{- if $v.temporal.tls.enabled }}
- {name: TEMPORAL_TLS, value: "true"}
{{- with $v.temporal.tls.serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if $v.temporal.tls.secret }}
{{- if $v.temporal.tls.clientCertificate }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/hookturn/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/hookturn/temporal/tls.key}
{{- end }}
{{- if $v.temporal.tls.privateCA }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/hookturn/temporal/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of processes that run steps: everything but the setup. */}}
{{- define "hookturn.stepEnvironment" -}}
{{- $v := .root.Values }}
- {name: HOOKTURN_BOTS, value: /etc/hookturn/bots{{ if $v.bots.git.enabled }}/current{{ with $v.bots.git.path }}/{{ . }}{{ end }}{{ end }}}
{{- if $v.tenantSecrets }}
- {name: HOOKTURN_SECRETS_DIR, value: /etc/hookturn/secrets}
{{- end }}
- {name: HOOKTURN_STOP_TIMEOUT, value: "{{ $v.stopTimeoutSeconds }}s"}
{{- with $v.egressAllow }}
- {name: HOOKTURN_EGRESS_ALLOW, value: {{ join "," . | quote }}}
{{- end }}
{{- with $v.gatewayURL }}
- {name: HOOKTURN_GATEWAY_URL, value: {{ . | quote }}}
{{- end }}
{{- with include "hookturn.goMemoryLimit" (index $v .component).resources.limits.memory }}
- {name: GOMEMLIMIT, value: {{ . }}}
{{- end }}
{{- if $v.payloadKeysSecret }}
- {name: HOOKTURN_PAYLOAD_KEYS, value: /etc/hookturn/payload-keys}
{{- end }}
{{- if ne .component "starter" }}
{{- if $v.packagesClaim }}
- {name: HOOKTURN_PACKAGES, value: /etc/hookturn/packages}
{{- end }}
- {name: HOOKTURN_DEPLOYMENT_NAME, value: {{ $v.workerDeployment.name | quote }}}
{{- if not (hasKey (index $v .component).env "HOOKTURN_DEPLOYMENT_PROMOTE") }}
- {name: HOOKTURN_DEPLOYMENT_PROMOTE, value: {{ $v.workerDeployment.promote | quote }}}
{{- end }}
{{- with $v.workerDeployment.buildID }}
- {name: HOOKTURN_BUILD_ID, value: {{ . | quote }}}
{{- end }}
{{- else }}
{{- if $v.gateway.enabled }}
- {name: HOOKTURN_GATEWAY_ADDR, value: "0.0.0.0:{{ $v.gateway.port }}"}
{{- if $v.gateway.tlsSecret }}
- {name: HOOKTURN_GATEWAY_CERT, value: /etc/hookturn/gateway/tls.crt}
- {name: HOOKTURN_GATEWAY_KEY, value: /etc/hookturn/gateway/tls.key}
{{- end }}
{{- with $v.gateway.proxies }}
- {name: HOOKTURN_GATEWAY_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- with $v.gateway.origins }}
- {name: HOOKTURN_GATEWAY_ORIGINS, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- with $v.codecOrigins }}
- {name: HOOKTURN_CODEC_ORIGIN, value: {{ join "," . | quote }}}
{{- end }}
{{- if $v.operatorTokenSecret.name }}
- {name: HOOKTURN_OPERATOR_TOKEN_FILE, value: /etc/hookturn/operator/{{ $v.operatorTokenSecret.key }}}
{{- end }}
{{- if $v.console.enabled }}
- {name: HOOKTURN_CONSOLE_ADDR, value: "127.0.0.1:{{ $v.console.port }}"}
- {name: HOOKTURN_CONSOLE_ACTIONS, value: {{ $v.console.actions | quote }}}
{{- if $v.console.natsContextSecret.name }}
- {name: HOOKTURN_CONSOLE_NATS_CONTEXT, value: /etc/hookturn/console/{{ $v.console.natsContextSecret.key }}}
{{- end }}
{{- with $v.console.uiURL }}
- {name: HOOKTURN_CONSOLE_UI_URL, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if $v.eventTokensSecret.name }}
- {name: HOOKTURN_EVENT_TOKENS, value: /etc/hookturn/events/{{ $v.eventTokensSecret.key }}}
{{- end }}
{{- end }}
{{- end }}
