{{/* A Deployment of one component: worker, code or starter. */}}
{{- define "hookturn.deployment" -}}
{{- $v := .root.Values }}
{{- $own := index $v .component }}
{{- $gateway := and (eq .component "starter") $v.gateway.enabled }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "hookturn.name" .root }}-{{ .component }}
  labels: {{- include "hookturn.labels" . | nindent 4 }}
spec:
  {{- if not $own.autoscaling.enabled }}
  replicas: {{ $own.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "hookturn.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {{- include "hookturn.labels" . | nindent 8 }}
      annotations:
        checksum/bots: {{ toJson $v.bots.files | sha256sum }}
        {{- with $own.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "hookturn.serviceAccount" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $v.image.pullSecrets }}
      imagePullSecrets: {{- range . }}
        - {name: {{ . }}}
      {{- end }}
      {{- end }}
      {{- if eq .component "code" }}
      hostUsers: false
      securityContext: {fsGroup: 10001}
      {{- else }}
      securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      {{- end }}
      terminationGracePeriodSeconds: {{ add $v.stopTimeoutSeconds (ternary 30 15 $gateway) }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "hookturn.selector" $ | nindent 14 }}
        {{- end }}
      {{- with $own.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $v.bots.git.enabled }}
      initContainers:
        - name: bots-first
          {{- include "hookturn.gitSync" .root | replace "--depth=1" "--depth=1\n  - --one-time" | nindent 10 }}
        - name: bots
          restartPolicy: Always
          {{- include "hookturn.gitSync" .root | nindent 10 }}
      {{- end }}
      containers:
        - name: hookturn
          image: {{ include "hookturn.image" . }}
          imagePullPolicy: {{ $v.image.pullPolicy }}
          {{- if eq .component "starter" }}
          command: [/usr/local/bin/starter]
          args: [run]
          {{- else }}
          command: [/usr/local/bin/worker]
          args: [--task-queues={{ ternary "hookturn-code" "hookturn" (eq .component "code") }}]
          {{- end }}
          env:
            {{- include "hookturn.environment" . | trim | nindent 12 }}
            {{- include "hookturn.stepEnvironment" . | trim | nindent 12 }}
            {{- range $name, $value := $own.env }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
          ports:
            - {name: admin, containerPort: 9090}
            {{- if $gateway }}
            - {name: gateway, containerPort: {{ $v.gateway.port }}}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: admin}
            periodSeconds: 2
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /healthz, port: admin}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: admin}
            periodSeconds: 5
            timeoutSeconds: 5
          {{- if $gateway }}
          lifecycle:
            preStop: {sleep: {seconds: 10}} # the load balancer stops sending requests first
          {{- end }}
          resources: {{- toYaml $own.resources | nindent 12 }}
          securityContext:
            {{- include (ternary "hookturn.codeSecurityContext" "hookturn.securityContext" (eq .component "code")) .root | nindent 12 }}
          volumeMounts:
            {{- include "hookturn.connectionMounts" . | trim | nindent 12 }}
            {{- include "hookturn.stepMounts" . | trim | nindent 12 }}
      volumes:
        {{- include "hookturn.connectionVolumes" . | trim | nindent 8 }}
        {{- include "hookturn.stepVolumes" . | trim | nindent 8 }}
{{- end }}
