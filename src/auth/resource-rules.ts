/** Rules of single kinds that hold whoever writes: what may be written at all, and what the writer may not set. */
import { AccessDenied, Conflict, InvalidInput } from '#errors.ts'
import { product } from '#product.ts'
import type { JoinToken } from '#resources/join-token.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import type { User } from '#resources/user.ts'
import type { EventFields, EventType } from './audit-trail.ts'
import { removalLabel } from './removal-locks.ts'
import { maskTokenName } from './visibility.ts'

/** Who owns a resource: `defaults`, `config-file` or `dynamic`. */
export const originLabel = `${product.labelPrefix}origin`
/** Labels that only the cluster itself sets: they say what a lock or a user is for. */
const internalLabels = [removalLabel, 'teleport.internal/bot']

/** What people write. Everything else is announced by members or made by the cluster. */
const writable = [
  'role',
  'user',
  'token',
  'app',
  'lock',
  'cluster_auth_preference',
  'cluster_networking_config',
  'session_recording_config',
]
const removable = [...writable, 'app_server', 'proxy', 'auth_server']

export const isSingleton = (kind: string): boolean => findKind(kind)?.singletonName !== undefined

/** @throws {AccessDenied} */
export function checkWritable(kind: string): void {
  if (writable.includes(kind)) return
  throw new AccessDenied(`resources of kind "${kind}" are not written by hand`, {
    hint: 'the cluster and its members write them',
  })
}

/** @throws {AccessDenied} */
export function checkRemovable(kind: string): void {
  if (removable.includes(kind)) return
  throw new AccessDenied(`resources of kind "${kind}" are not removed by hand`, { hint: 'the cluster keeps them' })
}

/**
 * Checks what does not depend on who asks.
 * @param old what the document replaces
 * @throws {InvalidInput}
 */
export function checkDocument(resource: Resource, old: Resource | undefined): void {
  const { kind, metadata } = resource
  for (const key of Object.keys(metadata.labels ?? {})) {
    if (internalLabels.includes(key) && metadata.labels?.[key] !== old?.metadata.labels?.[key]) {
      throw new InvalidInput(`the label "${key}" is set by the cluster alone`, { hint: 'leave it out' })
    }
  }
  const origin = metadata.labels?.[originLabel]
  if (!isSingleton(kind) && origin === 'config-file' && old?.metadata.labels?.[originLabel] !== origin) {
    throw new InvalidInput(`the label "${originLabel}: config-file" is set by the cluster alone`, {
      hint: 'leave it out',
    })
  }
  if (kind === 'user' && metadata.name.startsWith('bot-')) {
    throw new InvalidInput('names of users that begin with "bot-" belong to bots', {
      hint: 'choose another name, or use "tctl bots add"',
    })
  }
  if (kind === 'user' && (resource as User).spec.local_auth !== undefined) {
    throw new InvalidInput('spec.local_auth cannot be written', {
      hint: 'leave it out: users set their password with an invite or reset link',
    })
  }
  if (kind === 'token' && (resource as JoinToken).spec.roles.some((role) => role === 'Auth')) {
    throw new InvalidInput('a token cannot give the role "Auth"', { hint: 'leave the role out' })
  }
}

/** Settings of the configuration file stay until the file changes, unless the writer says that they know. @throws {Conflict} */
export function checkOrigin(old: Resource | undefined, confirm: boolean): void {
  if (old?.metadata.labels?.[originLabel] !== 'config-file' || confirm) return
  throw new Conflict(`"${old.metadata.name}" is set in the configuration file of the Auth Service`, {
    hint: 'change it there, or repeat with --confirm: then it holds until the service starts again',
  })
}

/** The document with what the cluster sets: who owns it, who made it. */
export function completeDocument(resource: Resource, old: Resource | undefined, author: string, now: Date): Resource {
  const { kind, metadata, spec } = resource
  if (isSingleton(kind)) {
    return { ...resource, metadata: { ...metadata, labels: { ...metadata.labels, [originLabel]: 'dynamic' } } }
  }
  if (kind === 'user') {
    const created = (old as User | undefined)?.spec.created_by ?? {
      time: now.toISOString(),
      user: { name: author },
    }
    return { ...resource, spec: { ...(spec as User['spec']), created_by: created } }
  }
  if (kind === 'lock' && !old) {
    return { ...resource, spec: { ...(spec as object), created_at: now.toISOString(), created_by: author } }
  }
  return resource
}

const eventNames: Readonly<Record<string, readonly [created: EventType, updated: EventType, deleted?: EventType]>> = {
  role: ['role.created', 'role.updated', 'role.deleted'],
  user: ['user.create', 'user.update', 'user.delete'],
  app: ['app.create', 'app.update', 'app.delete'],
  lock: ['lock.created', 'lock.created', 'lock.deleted'],
  token: ['join_token.create', 'join_token.create'],
  cluster_auth_preference: ['auth_preference.update', 'auth_preference.update', 'auth_preference.update'],
  cluster_networking_config: [
    'cluster_networking_config.update',
    'cluster_networking_config.update',
    'cluster_networking_config.update',
  ],
  session_recording_config: [
    'session_recording_config.update',
    'session_recording_config.update',
    'session_recording_config.update',
  ],
}

/** The event of a change; `undefined` for a change that the reference has no event for. */
export function eventOf(
  change: 'created' | 'updated' | 'deleted',
  resource: Resource,
): { readonly type: EventType; readonly fields: EventFields } | undefined {
  const [created, updated, deleted] = eventNames[resource.kind] ?? []
  const type = change === 'created' ? created : change === 'updated' ? updated : deleted
  return type && { type, fields: fieldsOf(resource) }
}

function fieldsOf(resource: Resource): EventFields {
  const { kind, metadata } = resource
  const common = { name: metadata.name, expires: metadata.expires ?? '0001-01-01T00:00:00Z' }
  switch (kind) {
    case 'user':
      return { ...common, roles: (resource as User).spec.roles, connector: 'local' }
    case 'token': {
      const { roles, join_method } = (resource as JoinToken).spec
      return { ...common, name: join_method === 'token' ? maskTokenName(common.name) : common.name, roles, join_method }
    }
    case 'app': {
      const { uri, public_addr = '' } = resource.spec as { uri: string; public_addr?: string } // parsed as an app
      return { ...common, app_uri: uri, app_public_addr: public_addr, app_labels: metadata.labels ?? {} }
    }
    case 'lock':
      return { ...common, target: (resource.spec as { target: unknown }).target }
    default:
      return common
  }
}

/** Roles that `old` had and `user` has not, and the other way round. */
export function roleChanges(old: User, user: User): { readonly removed: string[]; readonly added: string[] } {
  return {
    removed: old.spec.roles.filter((role) => !user.spec.roles.includes(role)),
    added: user.spec.roles.filter((role) => !old.spec.roles.includes(role)),
  }
}
