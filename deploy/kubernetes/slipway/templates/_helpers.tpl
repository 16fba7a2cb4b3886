{{- define "slipway.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "server") */}}
{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "slipway.labels" -}}
{{ include "slipway.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "slipway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slipway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "slipway.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "slipway.hasWorkers" -}}
{{- if and (eq .Values.mode "scaled") (or (gt (int .Values.worker.replicas) 0) (ne .Values.worker.autoscaling.kind "none")) -}}yes{{- end -}}
{{- end -}}

{{- define "slipway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "slipway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The settings file of a component: the chart's own, then those of `config`. */}}
{{- define "slipway.settings" -}}
{{- $v := .root.Values -}}
{{- $settings := dict "http.address" "0.0.0.0" "http.port" 8080 "model.control_mode" $v.models.controlMode -}}
{{- if eq $v.models.controlMode "poll" }}{{- $_ := set $settings "model.poll_interval" $v.models.pollInterval }}{{- end -}}
{{- if eq $v.models.source "s3" }}
{{- $_ := set $settings "model.fetch_directory" (printf "%s/fetched" $v.models.path) }}
{{- $_ := set $settings "model.fetch_timeout" (printf "%ds" (int $v.models.s3.timeoutSeconds)) }}
{{- end -}}
{{- $_ := set $settings "drain.grace" (printf "%ds" (int $v.drain.graceSeconds)) -}}
{{- if eq .component "server" -}}
{{- $_ := set $settings "drain.delay" (printf "%ds" (int $v.drain.delaySeconds)) -}}
{{- if include "slipway.hasWorkers" .root }}{{- $_ := set $settings "worker.enabled" false }}{{- end -}}
{{- end -}}
{{- if eq $v.mode "single" }}{{- $_ := set $settings "data.directory" "/var/lib/slipway" }}{{- end -}}
{{- with $v.worker.queues }}{{- $_ := set $settings "queue.consume" . }}{{- end -}}
{{- toYaml (merge $settings $v.config) -}}
{{- end -}}

{{- define "slipway.modelVolume" -}}
{{- with .Values.models -}}
{{- if eq .source "pvc" }}
- name: models
  persistentVolumeClaim: {claimName: {{ required "models.pvc.claimName: which volume has the models?" .pvc.claimName }}, readOnly: true}
{{- else if ne .source "image" }}
- name: models
  emptyDir: {sizeLimit: {{ .sizeLimit }}}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What fills the model directory; it has the same rights as the server, and writes there and to /tmp alone. */}}
{{- define "slipway.modelContainer" -}}
{{- with .Values.models -}}
{{- if eq .source "init" }}
- name: models
  image: {{ required "models.init.image: what fills the model directory?" .init.image }}
  {{- with .init.command }}
  command: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .init.args }}
  args: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .init.env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  securityContext: {{- include "slipway.containerSecurity" $ | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  volumeMounts:
    - {name: models, mountPath: {{ .path }}}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What is served: where models lie. */}}
{{- define "slipway.places" -}}
{{- if eq .Values.models.source "s3" -}}
{{- if not .Values.models.s3.places }}{{ fail "models.s3.places: s3://BUCKET/KEY#sha256=DIGEST of the models" }}{{ end -}}
{{- toYaml .Values.models.s3.places -}}
{{- else -}}
- {{ .Values.models.path }}
{{- end -}}
{{- end -}}

{{- define "slipway.secretEnvironment" -}}
{{- if eq .Values.models.source "s3" }}
{{- with .Values.models.s3 }}
{{- with .region }}
- {name: AWS_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
{{- end }}
{{- with .existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .Values.mode "scaled" }}
- name: SLIPWAY_DATA_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.existingSecret: the Secret with the address of PostgreSQL, which servers and workers share" .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}
{{- with .Values.secrets.existingSecret }}
- name: SLIPWAY_SQS_ACCESS_KEYS
  valueFrom: {secretKeyRef: {name: {{ . }}, key: sqs-access-keys, optional: true}}
- name: SLIPWAY_JOBS_CALLBACK_SECRET
  valueFrom: {secretKeyRef: {name: {{ . }}, key: callback-secret, optional: true}}
{{- end }}
{{- end -}}

{{- define "slipway.spread" -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" .root.Values.topologySpread.zone "kubernetes.io/hostname" .root.Values.topologySpread.node }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: {{ $when }}
  labelSelector:
    matchLabels: {{- include "slipway.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* The pod of a component: (dict "root" $ "component" "server" "command" "serve"). */}}
{{- define "slipway.podTemplate" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $own := get $v .component -}}
metadata:
  labels:
    {{- include "slipway.labels" . | nindent 4 }}
    {{- with $own.podLabels }}{{ toYaml . | nindent 4 }}{{- end }}
  annotations:
    checksum/config: {{ include "slipway.settings" . | sha256sum }}
    {{- with $own.podAnnotations }}{{ toYaml . | nindent 4 }}{{- end }}
spec:
  serviceAccountName: {{ include "slipway.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Above drain.delay + drain.grace: what was accepted is answered before the process is killed. There is no preStop: on
  # SIGTERM the server turns unready and goes on accepting for drain.delay, which is what a sleep would be for.
  terminationGracePeriodSeconds: {{ add $v.drain.delaySeconds $v.drain.graceSeconds $v.drain.marginSeconds }}
  securityContext: {{- include "slipway.podSecurity" $root | nindent 4 }}
  {{- with $v.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $own.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq $v.mode "scaled" }}
  topologySpreadConstraints: {{- include "slipway.spread" . | trim | nindent 4 }}
  {{- end }}
  {{- with include "slipway.modelContainer" $root | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: slipway
      image: {{ include "slipway.image" $root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        - {{ .command }}
        {{- include "slipway.places" $root | nindent 8 }}
        - --config=/etc/slipway/{{ .component }}.yaml
      {{- with include "slipway.secretEnvironment" $root | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8080, protocol: TCP}
      # The server answers health from its first milliseconds, while models load: loading for long is no reason to restart.
      # Only fetching comes before.
      startupProbe:
        httpGet: {path: /v2/health/live, port: http}
        periodSeconds: 1
        failureThreshold: {{ if eq $v.models.source "s3" }}{{ add 60 $v.models.s3.timeoutSeconds }}{{ else }}60{{ end }}
      livenessProbe:
        httpGet: {path: /v2/health/live, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /v2/health/ready, port: http}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 1
      resources: {{- toYaml $own.resources | nindent 8 }}
      securityContext: {{- include "slipway.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/slipway, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if ne $v.models.source "image" }}
        - name: models
          mountPath: {{ $v.models.path }}
          readOnly: {{ ne $v.models.source "s3" }}
          {{- if and (eq $v.models.source "pvc") $v.models.pvc.subPath }}
          subPath: {{ $v.models.pvc.subPath }}
          {{- end }}
        {{- end }}
        {{- if and (eq $v.mode "scaled") $v.database.caKey }}
        - {name: database, mountPath: /etc/slipway-database, readOnly: true}
        {{- end }}
        {{- if eq $v.mode "single" }}
        - {name: data, mountPath: /var/lib/slipway}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "slipway.fullname" $root }}}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if and (eq $v.mode "scaled") $v.database.caKey }}
    - name: database
      secret:
        secretName: {{ $v.database.existingSecret }}
        items: [{key: {{ $v.database.caKey }}, path: ca.crt}]
    {{- end }}
    {{- with include "slipway.modelVolume" $root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}
