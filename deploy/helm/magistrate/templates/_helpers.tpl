{{- define "magistrate.labels" -}}
app.kubernetes.io/name: magistrate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "magistrate.selector" -}}
app.kubernetes.io/name: magistrate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "magistrate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "magistrate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "magistrate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "magistrate.pod" -}}
metadata:
  labels:
    {{- include "magistrate.selector" . | nindent 4 }}
  annotations:
    checksum/values: {{ toJson .Values | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- include "magistrate.podSecurity" . | nindent 4 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "magistrate.selector" . | nindent 10 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .Values.database.url }}
  initContainers:
    - name: migrate
      image: {{ include "magistrate.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [migrate]
      securityContext:
        {{- include "magistrate.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /var/lib/magistrate }
        - { name: tmp, mountPath: /tmp }
  {{- end }}
  containers:
    - name: magistrate
      image: {{ include "magistrate.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - { name: MAGISTRATE_LISTEN, value: "0.0.0.0:7700" }
        - { name: MAGISTRATE_OPS_LISTEN, value: {{ .Values.metrics.enabled | ternary "127.0.0.1:7702,0.0.0.0:7703" "127.0.0.1:7702" | quote }} }
        - { name: MAGISTRATE_DRAIN_DELAY, value: {{ .Values.drainDelaySeconds | quote }} }
        - { name: MAGISTRATE_LOG, value: {{ .Values.telemetry.log | quote }} }
        - { name: MAGISTRATE_LOG_FORMAT, value: json }
        - name: MAGISTRATE_NODE
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - { name: MAGISTRATE_TLS_CERTIFICATE_FILE, value: /run/magistrate/tls/tls.crt }
        - { name: MAGISTRATE_TLS_KEY_FILE, value: /run/magistrate/tls/tls.key }
        {{- if .Values.ledger.signingKeySecret }}
        - { name: MAGISTRATE_SIGNING_KEY_FILE, value: /run/magistrate/signing/signing.key }
        {{- end }}
        {{- with .Values.defaultNamespace }}
        - { name: MAGISTRATE_DEFAULT_NAMESPACE, value: {{ . | quote }} }
        {{- end }}
        {{- with .Values.telemetry.otlpEndpoint }}
        - { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
        {{- end }}
        {{- if .Values.database.url }}
        - { name: MAGISTRATE_LEDGER_CLASS, value: {{ .Values.ledger.class | quote }} }
        - { name: MAGISTRATE_DATABASE_URL, value: {{ .Values.database.url | quote }} }
        - { name: MAGISTRATE_DATABASE_PASSWORD_FILE, value: /run/magistrate/database/password }
        {{- end }}
      ports:
        - { name: grpc, containerPort: 7700 }
        {{- if .Values.metrics.enabled }}
        - { name: metrics, containerPort: 7703 }
        {{- end }}
      startupProbe:
        exec: { command: [/usr/bin/magistrate, health, --live] }
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        exec: { command: [/usr/bin/magistrate, health, --live] }
        periodSeconds: 10
        timeoutSeconds: 6
      readinessProbe:
        exec: { command: [/usr/bin/magistrate, health, --ready] }
        periodSeconds: 2
        timeoutSeconds: 6
        failureThreshold: 1
      securityContext:
        {{- include "magistrate.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - { name: tls, mountPath: /run/magistrate/tls, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        {{- if .Values.ledger.signingKeySecret }}
        - { name: signing, mountPath: /run/magistrate/signing, readOnly: true }
        {{- end }}
        {{- if .Values.database.url }}
        - { name: database, mountPath: /run/magistrate/database, readOnly: true }
        {{- end }}
        - { name: data, mountPath: /var/lib/magistrate }
  volumes:
    - name: tls
      secret:
        secretName: {{ required "tls.secret is required: a secret of type kubernetes.io/tls" .Values.tls.secret }}
        defaultMode: 0440
    - name: tmp
      emptyDir: { sizeLimit: 16Mi }
    {{- with .Values.ledger.signingKeySecret }}
    - name: signing
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.database.url }}
    - name: data
      emptyDir: { sizeLimit: {{ .Values.ledger.journalSize }} }
    - name: database
      secret:
        secretName: {{ required "database.passwordSecret is required with database.url" .Values.database.passwordSecret }}
        defaultMode: 0440
    {{- end }}
{{- end }}
