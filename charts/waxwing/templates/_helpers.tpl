{{- define "waxwing.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name where it names the chart already, so that a release "waxwing" has a Service "waxwing". */}}
{{- define "waxwing.fullname" -}}
{{- $name := include "waxwing.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Objects without a namespace carry the release's in their name: two releases must not share them. */}}
{{- define "waxwing.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "waxwing.fullname" .) -}}
{{- end -}}

{{- define "waxwing.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "waxwing.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name the ServiceAccount to use, since serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "waxwing.selector" -}}
app.kubernetes.io/name: {{ include "waxwing.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "waxwing.labels" -}}
{{ include "waxwing.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "waxwing.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "waxwing.subject" -}}
- kind: ServiceAccount
  name: {{ include "waxwing.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What the controller does in every namespace that it works in; tests/e2e/chart.rs runs it with exactly this. */}}
{{- define "waxwing.rules" -}}
# Its own resources: what to fetch, what to do with it, and what was done.
- apiGroups: [waxwing.dev]
  resources: [gitsources]
  verbs: [get, list, watch]
- apiGroups: [waxwing.dev]
  resources: [syncs]
  verbs: [get, list, watch, patch]
- apiGroups: [waxwing.dev]
  resources: [secretbackends]
  verbs: [list, watch]
- apiGroups: [waxwing.dev]
  resources: [gitsources/status, secretbackends/status, syncs/status]
  verbs: [patch]
- apiGroups: [waxwing.dev]
  resources: [inventories]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# As whom a Sync acts: whether the account exists, and to act as it.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- if .Values.rbac.constrainedImpersonation }}
- apiGroups: [authentication.k8s.io]
  resources: [serviceaccounts]
  verbs: ["impersonate:serviceaccount"]
- apiGroups: ["*"]
  resources: ["*"]
  verbs: ["impersonate-on:serviceaccount:get", "impersonate-on:serviceaccount:patch", "impersonate-on:serviceaccount:delete"]
{{- else }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [impersonate]
{{- end }}
{{- if .Values.rbac.sourceSecrets }}
# The credentials that a GitSource names.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
{{- if .Values.sealedSecrets.enabled }}
# SealedSecrets of the cluster, and the Secrets that they make. Of these metadata is read.
- apiGroups: [bitnami.com]
  resources: [sealedsecrets]
  verbs: [get, list, watch]
- apiGroups: [bitnami.com]
  resources: [sealedsecrets/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
{{- end }}
# What Syncs apply: to notice drift.
{{- range concat .Values.rbac.follow .Values.rbac.extraFollow }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{/* A ServiceAccount asks the API server what it may do. Everybody may; by constrained impersonation that has to be said. */}}
{{- define "waxwing.reviewRules" -}}
- apiGroups: [authorization.k8s.io]
  resources: [selfsubjectaccessreviews]
  verbs: ["impersonate-on:serviceaccount:create"]
{{- end -}}
