{{- define "connector.name" -}}
{{- if contains "connector" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-connector" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "connector.selector" -}}
app.kubernetes.io/name: engage-connector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "connector.labels" -}}
{{ include "connector.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "connector.configMap" -}}
{{- .Values.project.existingConfigMap | default (include "connector.name" .) }}
{{- end }}

{{- define "connector.models" -}}
{{- if .Values.project.existingModels }}{{ .Values.project.existingModels }}
{{- else if .Values.project.models }}{{ include "connector.name" . }}-models{{ end }}
{{- end }}

{{/* What serve and the CronJobs have in common: a pod without its container's arguments. */}}
{{- define "connector.pod" -}}
{{- with .Values.serviceAccount.name -}}
serviceAccountName: {{ . }}
{{ end -}}
automountServiceAccountToken: {{ not (empty .Values.serviceAccount.name) }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: state
    {{- if .Values.persistence.enabled }}
    persistentVolumeClaim:
      claimName: {{ .Values.persistence.existingClaim | default (include "connector.name" .) }}
    {{- else }}
    emptyDir: {}
    {{- end }}
  - name: tmp
    emptyDir: {}
  {{- if not .Values.project.inImage }}
  - name: project
    configMap:
      name: {{ include "connector.configMap" . }}
  {{- with include "connector.models" . }}
  - name: models
    configMap:
      name: {{ . }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "connector.container" -}}
name: connector
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if or .Values.secret.existing .Values.envFrom }}
envFrom:
  {{- with .Values.secret.existing }}
  - secretRef:
      name: {{ . }}
  {{- end }}
  {{- with .Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: state
    mountPath: /project/.connector
  - name: tmp
    mountPath: /tmp
  {{- if not .Values.project.inImage }}
  - name: project
    mountPath: /project/activations.yaml
    subPath: activations.yaml
  {{- if include "connector.models" . }}
  - name: models
    mountPath: /project/models
  {{- end }}
  {{- end }}
{{- end }}
