import type { Fail } from './envelope.ts'
import type { RoleConditions } from './role-conditions.ts'

const verbs = [
  '*',
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
  'exec',
  'portforward',
]

const clusterWide = [
  'namespace',
  'kube_node',
  'persistentvolume',
  'clusterrole',
  'clusterrolebinding',
  'certificatesigningrequest',
]

/** Kinds of role version v7 with their names from v8 on. */
const plurals: Readonly<Record<string, string>> = {
  pod: 'pods',
  secret: 'secrets',
  configmap: 'configmaps',
  namespace: 'namespaces',
  service: 'services',
  serviceaccount: 'serviceaccounts',
  kube_node: 'nodes',
  persistentvolume: 'persistentvolumes',
  persistentvolumeclaim: 'persistentvolumeclaims',
  deployment: 'deployments',
  replicaset: 'replicasets',
  statefulset: 'statefulsets',
  daemonset: 'daemonsets',
  clusterrole: 'clusterroles',
  kube_role: 'roles',
  clusterrolebinding: 'clusterrolebindings',
  rolebinding: 'rolebindings',
  cronjob: 'cronjobs',
  job: 'jobs',
  certificatesigningrequest: 'certificatesigningrequests',
  ingress: 'ingresses',
}

/** Kinds of the core API group, which need no `api_group` in v8. */
const core = [
  'pods',
  'secrets',
  'configmaps',
  'namespaces',
  'services',
  'serviceaccounts',
  'nodes',
  'persistentvolumes',
  'persistentvolumeclaims',
  'endpoints',
  'events',
  'limitranges',
  'podtemplates',
  'replicationcontrollers',
  'resourcequotas',
]

type Entry = NonNullable<RoleConditions['kubernetes_resources']>[number]

/** Refuses entries that the role's version does not know, in the words of the reference. */
export function checkKubernetesResources(
  entries: readonly Entry[],
  version: string,
  path: readonly PropertyKey[],
  fail: Fail,
): void {
  entries.forEach((entry, index) => {
    const at = [...path, index]
    checkVerbs(entry, version, at, fail)
    checkKind(entry, version, at, fail)
    if (!entry.name) fail([...at, 'name'], 'KubernetesResource must include Name')
  })
}

function checkVerbs({ verbs: listed = [] }: Entry, version: string, at: readonly PropertyKey[], fail: Fail): void {
  const known = version === 'v7' || version === 'v8' ? verbs : ['*']
  for (const verb of listed) {
    if (verb.includes('{{')) continue
    if (!known.includes(verb)) {
      fail(
        [...at, 'verbs'],
        `KubernetesResource verb ${JSON.stringify(verb)} is invalid or unsupported; Supported: [${known.join(' ')}]`,
      )
    }
    if (verb === '*' && listed.length > 1) {
      fail([...at, 'verbs'], `KubernetesResource verb ${JSON.stringify(verb)} cannot be used with other verbs`)
    }
  }
}

function checkKind(
  { kind, api_group: group, namespace }: Entry,
  version: string,
  at: readonly PropertyKey[],
  fail: Fail,
): void {
  const quoted = JSON.stringify(kind)
  if (version !== 'v8') {
    if (group) {
      fail(
        [...at, 'api_group'],
        `API Group ${JSON.stringify(group)} is not supported in role version "${version}". Upgrade the role version to "v8"`,
      )
    }
    const known = version === 'v7' ? ['*', ...Object.keys(plurals)] : ['pod']
    if (known.includes(kind)) {
      if (version !== 'v7') {
        if (!namespace) fail([...at, 'namespace'], `KubernetesResource ${quoted} must include Namespace`)
      } else if (!namespace && !clusterWide.includes(kind)) {
        fail([...at, 'namespace'], `KubernetesResource kind ${quoted} must include Namespace`)
      }
      return
    }
    if (Object.hasOwn(plurals, kind) || Object.values(plurals).includes(kind)) {
      fail(
        [...at, 'kind'],
        `KubernetesResource kind ${quoted} is not supported in role version "${version}". Upgrade the role version to "v8"`,
      )
    }
    fail(
      [...at, 'kind'],
      `KubernetesResource kind ${quoted} is invalid or unsupported; Supported: [${known.join(' ')}]`,
    )
  }
  if (kind === '') fail([...at, 'kind'], 'KubernetesResource must include Kind')
  if (Object.hasOwn(plurals, kind)) {
    fail([...at, 'kind'], `KubernetesResource kind ${quoted} is invalid. Please use plural name for role version "v8"`)
  }
  if (!group && kind !== '*' && !core.includes(kind)) {
    fail([...at, 'api_group'], `KubernetesResource api_group is required for resource ${quoted} in role version "v8"`)
  }
}
