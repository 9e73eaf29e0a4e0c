import type { Role } from '#resources/role.ts'
import { frozen } from '#resources/schema.ts'

const readable = [
  'node',
  'proxy',
  'auth_server',
  'tunnel',
  'cluster_auth_preference',
  'cluster_name',
  'cluster_networking_config',
  'ssh_session',
  'app_server',
  'remote_cluster',
  'kube_server',
  'db_server',
  'db',
  'app',
  'windows_desktop_service',
  'windows_desktop',
  'kube_cluster',
]

/**
 * What everyone who is signed in may do: see of which parts the cluster consists. It opens nothing, limits no session
 * and is in no listing. Not parsed as a role, because nobody may write one of this name.
 */
export const implicitRole: Role = frozen({
  kind: 'role',
  version: 'v8',
  metadata: { name: 'default-implicit-role' },
  spec: {
    options: {},
    allow: {
      rules: [
        { resources: readable, verbs: ['list', 'read'] },
        { resources: ['cert_authority'], verbs: ['list', 'readnosecrets'] },
        { resources: ['usage_event'], verbs: ['create'] },
      ],
    },
    deny: {},
  },
})
