/** What each kind of caller is shown of a resource: an allow-list of kinds and fields. Not listed is not shown. */
import type { SystemRole } from '#identity/identity.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'

/** Paths of fields, `*` for each item of a list; a path stands for everything below it. */
type Fields = readonly string[]

const everything: Fields = ['metadata', 'spec']
const appFields = ['uri', 'public_addr', 'cloud', 'required_apps', 'use_any_proxy_public_addr']
/** How an app is reached and shown, without what only the agent that serves it needs. */
const appForProxy: Fields = ['metadata', ...appFields.map((field) => `spec.${field}`)]

/** Kinds that agents decide with. A user is in no list: whom an agent serves stands in the certificate. */
const decisions: Readonly<Record<string, Fields>> = {
  role: everything,
  lock: ['metadata.name', 'metadata.expires', 'spec.target', 'spec.message', 'spec.expires'],
  cert_authority: [
    'metadata',
    'spec.type',
    'spec.cluster_name',
    'spec.active_keys.tls.*.cert',
    'spec.active_keys.jwt.*.public_key',
    'spec.additional_trusted_keys.tls.*.cert',
    'spec.additional_trusted_keys.jwt.*.public_key',
  ],
  cluster_auth_preference: [
    'metadata',
    ...[
      'type',
      'connector_name',
      'second_factors',
      'second_factor',
      'require_session_mfa',
      'disconnect_expired_cert',
      'allow_local_auth',
      'allow_passwordless',
      'allow_headless',
      'locking_mode',
      'message_of_the_day',
      'default_session_ttl',
    ].map((field) => `spec.${field}`),
  ],
  cluster_networking_config: everything,
  session_recording_config: everything,
  proxy: everything,
}

const shownTo: Readonly<Partial<Record<SystemRole, Readonly<Record<string, Fields>>>>> = {
  App: { ...decisions, app: everything },
  Kube: decisions,
  Discovery: { cert_authority: decisions.cert_authority ?? [], proxy: everything },
  Proxy: {
    ...decisions,
    app: appForProxy,
    app_server: [
      'metadata',
      'spec.version',
      'spec.hostname',
      'spec.host_id',
      'spec.server_name',
      'spec.app.kind',
      'spec.app.version',
      ...appForProxy.map((field) => `spec.app.${field}`),
    ],
    auth_server: everything,
  },
}

/** Whether a member with these system roles is shown anything of this kind. */
export function mayMemberSee(roles: readonly SystemRole[], kind: string): boolean {
  return roles.some((role) => fieldsFor(role, kind) !== undefined)
}

/** The resource as a member is shown it; `undefined`: not at all. Several system roles add up. */
export function memberView(roles: readonly SystemRole[], resource: Resource): Resource | undefined {
  const fields = roles.flatMap((role) => fieldsFor(role, resource.kind) ?? [])
  if (fields.length === 0) return undefined
  const { kind, version, sub_kind, metadata, spec } = resource
  const { revision } = metadata
  const seen = fields.reduce<unknown>((view, path) => merge(view, pick({ metadata, spec }, path.split('.'))), {})
  const { metadata: shownMetadata, spec: shownSpec } = seen as Pick<Resource, 'metadata' | 'spec'> // picked from these
  return {
    kind,
    version,
    ...(sub_kind !== undefined && { sub_kind }),
    metadata: { ...shownMetadata, name: metadata.name, ...(revision !== undefined && { revision }) },
    spec: shownSpec ?? {},
  }
}

/** Mask of a join token's name, which is its secret: all but the tail, and all of a short one. */
export function maskTokenName(name: string): string {
  const hidden = name.length < 16 ? name.length : Math.floor(name.length * 0.75)
  return '*'.repeat(hidden) + name.slice(hidden)
}

/** The resource without its secrets: for who may read it, and not them. The name of a token is masked. */
export function withoutSecrets(resource: Resource): Resource {
  const secretFields = findKind(resource.kind)?.secretFields ?? []
  const paths = secretFields.filter((path) => path !== 'metadata.name').map((path) => path.split('.'))
  const stripped = paths.reduce<unknown>(omit, resource) as Resource // fields are left out, none is changed
  if (!secretFields.includes('metadata.name') || !isSecretName(resource)) return stripped
  return { ...stripped, metadata: { ...stripped.metadata, name: maskTokenName(resource.metadata.name) } }
}

/** Every other method than `token` makes a mere name of it. A token that could not be parsed may lack the method. */
function isSecretName({ spec }: Resource): boolean {
  const method = isMap(spec) ? spec.join_method : undefined
  return typeof method !== 'string' || method === '' || method === 'token'
}

function fieldsFor(role: SystemRole, kind: string): Fields | undefined {
  const shown = shownTo[role]
  return shown && Object.hasOwn(shown, kind) ? shown[kind] : undefined
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The part of `value` that the path names; `undefined` where there is none. */
function pick(value: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return value
  if (key === '*') return Array.isArray(value) ? value.map((item) => pick(item, rest) ?? {}) : undefined
  if (!isMap(value) || !Object.hasOwn(value, key)) return undefined
  const picked = pick(value[key], rest)
  return picked === undefined ? undefined : { [key]: picked }
}

function omit(value: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return value
  if (key === '*') return Array.isArray(value) ? value.map((item) => omit(item, rest)) : value
  if (!isMap(value) || !Object.hasOwn(value, key)) return value
  const { [key]: inner, ...others } = value
  return rest.length === 0 ? others : { ...others, [key]: omit(inner, rest) }
}

function merge(first: unknown, second: unknown): unknown {
  if (second === undefined) return first
  if (Array.isArray(first) && Array.isArray(second)) return second.map((item, index) => merge(first[index], item))
  if (!isMap(first) || !isMap(second)) return second
  const keys = [...new Set([...Object.keys(first), ...Object.keys(second)])]
  return Object.fromEntries(keys.map((key) => [key, merge(first[key], second[key])]))
}
