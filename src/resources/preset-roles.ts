import { parseRole, type Role } from './role.ts'

const everything = { '*': ['*'] }

/** Opens what the user's own traits say: apps, clusters and the cloud principals in them. */
const access = parseRole({
  kind: 'role',
  version: 'v8',
  metadata: {
    name: 'access',
    description: 'Access cluster resources',
    labels: { 'teleport.internal/resource-type': 'preset' },
  },
  spec: {
    options: { max_session_ttl: '30h0m0s' },
    allow: {
      app_labels: everything,
      kubernetes_labels: everything,
      workload_identity_labels: everything,
      logins: ['{{internal.logins}}'],
      kubernetes_groups: ['{{internal.kubernetes_groups}}'],
      kubernetes_users: ['{{internal.kubernetes_users}}'],
      kubernetes_resources: [{ kind: '*', api_group: '*', namespace: '*', name: '*', verbs: ['*'] }],
      aws_role_arns: ['{{internal.aws_role_arns}}'],
      azure_identities: ['{{internal.azure_identities}}'],
      gcp_service_accounts: ['{{internal.gcp_service_accounts}}'],
      rules: [{ resources: ['event'], verbs: ['list', 'read'] }],
    },
  },
})

const configurationKinds = [
  'access_list',
  'access_monitoring_rule',
  'app',
  'auth_connector',
  'bot',
  'bot_instance',
  'cluster_auth_preference',
  'cluster_name',
  'cluster_networking_config',
  'github',
  'integration',
  'kube_cluster',
  'lock',
  'login_rule',
  'oidc',
  'plugin',
  'role',
  'saml',
  'session_recording_config',
  'static_host_user',
  'token',
  'trusted_cluster',
  'user',
  'workload_identity',
]

/** Changes configuration, so that it can make itself anything; opens no resource. */
const editor = parseRole({
  kind: 'role',
  version: 'v8',
  metadata: {
    name: 'editor',
    description: 'Edit cluster configuration',
    labels: { 'teleport.internal/resource-type': 'preset' },
  },
  spec: {
    options: { max_session_ttl: '30h0m0s' },
    allow: {
      rules: [
        { resources: configurationKinds, verbs: ['list', 'create', 'read', 'update', 'delete'] },
        { resources: ['cert_authority'], verbs: ['list', 'readnosecrets', 'rotate'] },
        { resources: ['event', 'session'], verbs: ['list', 'read'] },
        { resources: ['app_server', 'kube_server', 'proxy', 'auth_server', 'instance'], verbs: ['list', 'read'] },
      ],
    },
  },
})

/** Reads what happened. */
const auditor = parseRole({
  kind: 'role',
  version: 'v8',
  metadata: {
    name: 'auditor',
    description: 'Review cluster events and replay sessions',
    labels: { 'teleport.internal/resource-type': 'preset' },
  },
  spec: {
    options: { max_session_ttl: '30h0m0s' },
    allow: {
      rules: [
        { resources: ['session', 'event', 'session_tracker'], verbs: ['list', 'read'] },
        { resources: ['instance', 'lock'], verbs: ['list', 'read'] },
        { resources: ['cluster_alert'], verbs: ['list', 'read'] },
      ],
    },
  },
})

/** Roles that a new cluster begins with. */
export const presetRoles: readonly Role[] = [access, editor, auditor]
