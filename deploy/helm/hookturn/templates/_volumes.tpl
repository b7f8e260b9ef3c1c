{{- define "hookturn.connectionMounts" -}}
{{- if .root.Values.nats.credsSecret }}
- {name: nats, mountPath: /etc/hookturn/nats, readOnly: true}
{{- end }}
{{- if .root.Values.nats.tls.secret }}
- {name: nats-tls, mountPath: /etc/hookturn/nats-tls, readOnly: true}
{{- end }}
{{- if and .root.Values.temporal.tls.enabled .root.Values.temporal.tls.secret }}
- {name: temporal, mountPath: /etc/hookturn/temporal, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "hookturn.connectionVolumes" -}}
{{- with .root.Values.nats.credsSecret }}
- name: nats
  secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: {{ $.component }}.creds, path: {{ $.component }}.creds}]}
{{- end }}
{{- with .root.Values.nats.tls.secret }}
- name: nats-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if and .root.Values.temporal.tls.enabled .root.Values.temporal.tls.secret }}
- name: temporal
  secret: {secretName: {{ .root.Values.temporal.tls.secret }}, defaultMode: 0440}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ ternary "1Gi" "64Mi" (eq .component "code") }}}
{{- end }}

{{- define "hookturn.stepMounts" -}}
- {name: bots, mountPath: /etc/hookturn/bots, readOnly: true}
{{- range $i, $tenant := keys .root.Values.tenantSecrets | sortAlpha }}
- {name: secrets-{{ $i }}, mountPath: /etc/hookturn/secrets/{{ $tenant }}, readOnly: true}
{{- end }}
{{- if .root.Values.payloadKeysSecret }}
- {name: payload-keys, mountPath: /etc/hookturn/payload-keys, readOnly: true}
{{- end }}
{{- if and .root.Values.packagesClaim (ne .component "starter") }}
- {name: packages, mountPath: /etc/hookturn/packages, readOnly: true}
{{- end }}
{{- if eq .component "starter" }}
{{- if and .root.Values.gateway.enabled .root.Values.gateway.tlsSecret }}
- {name: gateway, mountPath: /etc/hookturn/gateway, readOnly: true}
{{- end }}
{{- if .root.Values.operatorTokenSecret.name }}
- {name: operator, mountPath: /etc/hookturn/operator, readOnly: true}
{{- end }}
{{- if and .root.Values.console.enabled .root.Values.console.natsContextSecret.name }}
- {name: console, mountPath: /etc/hookturn/console, readOnly: true}
{{- end }}
{{- if .root.Values.eventTokensSecret.name }}
- {name: events, mountPath: /etc/hookturn/events, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "hookturn.stepVolumes" -}}
- name: bots
{{- if .root.Values.bots.git.enabled }}
  emptyDir: {sizeLimit: 256Mi}
{{- else }}
  configMap: {name: {{ include "hookturn.botsMap" .root }}}
{{- end }}
{{- range $i, $tenant := keys .root.Values.tenantSecrets | sortAlpha }}
- name: secrets-{{ $i }}
  secret: {secretName: {{ index $.root.Values.tenantSecrets $tenant }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.payloadKeysSecret }}
- name: payload-keys
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if and .root.Values.packagesClaim (ne .component "starter") }}
- name: packages
  persistentVolumeClaim: {claimName: {{ .root.Values.packagesClaim }}, readOnly: true}
{{- end }}
{{- if eq .component "starter" }}
{{- if and .root.Values.gateway.enabled .root.Values.gateway.tlsSecret }}
- name: gateway
  secret: {secretName: {{ .root.Values.gateway.tlsSecret }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.operatorTokenSecret.name }}
- name: operator
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if and .root.Values.console.enabled .root.Values.console.natsContextSecret.name }}
- name: console
  secret: {secretName: {{ .root.Values.console.natsContextSecret.name }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.eventTokensSecret.name }}
- name: events
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{- define "hookturn.gitSync" -}}
{{- $git := .Values.bots.git }}
image: {{ $git.image }}
args:
  - --repo={{ required "bots.git.repository is missing" $git.repository }}
  - --ref={{ $git.ref }}
  - --root=/bots
  - --link=current
  - --period={{ $git.period }}
  - --depth=1
{{- if $git.credentialsSecret }}
env:
  - name: GITSYNC_USERNAME
    valueFrom: {secretKeyRef: {name: {{ $git.credentialsSecret }}, key: username}}
  - name: GITSYNC_PASSWORD
    valueFrom: {secretKeyRef: {name: {{ $git.credentialsSecret }}, key: password}}
{{- end }}
securityContext:
{{- include "hookturn.securityContext" . | nindent 2 }}
resources:
{{- toYaml $git.resources | nindent 2 }}
volumeMounts:
  - {name: bots, mountPath: /bots}
  - {name: tmp, mountPath: /tmp}
{{- end }}
