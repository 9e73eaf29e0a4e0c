import type { LocalUsers } from '#auth/login/local-users.ts'
import type { Clock } from '#clock.ts'
import { Conflict } from '#errors.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import type { Role } from '#resources/role.ts'
import type { User } from '#resources/user.ts'
import { ResourceChanged, ResourceExists, ResourceNotFound } from '#storage/resource-errors.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import type { Access, Identified } from './access.ts'
import { type AuditTrail, actorFields } from './audit-trail.ts'
import type { LiveResources } from './live-resources.ts'
import type { RemovalLocks } from './removal-locks.ts'
import {
  checkDocument,
  checkOrigin,
  checkRemovable,
  checkWritable,
  completeDocument,
  eventOf,
  isSingleton,
  roleChanges,
} from './resource-rules.ts'

/** Changes of resources by people: decided, checked, recorded, and with what follows from them. */
export interface ResourceChanges {
  create(who: Identified, resource: Resource): Promise<Resource>
  /** Conditional when the document carries a revision. */
  update(who: Identified, resource: Resource): Promise<Resource>
  upsert(who: Identified, resource: Resource, confirm: boolean): Promise<{ resource: Resource; created: boolean }>
  delete(who: Identified, kind: string, name: string): Promise<void>
}

export interface ResourceChangesOptions {
  readonly store: ResourceStore
  readonly access: Access
  readonly trail: AuditTrail
  readonly locks: RemovalLocks
  readonly live: Pick<LiveResources, 'known'>
  readonly localUsers: LocalUsers
  readonly clock: Clock
}

/** Name of who writes, for `created_by`. */
const nameOf = (who: Identified): string => (who.kind === 'user' ? who.identity.name : who.identity.hostId)

export function createResourceChanges(options: ResourceChangesOptions): ResourceChanges {
  const { store, access, trail, locks, live, localUsers, clock } = options

  /** Runs the change with its event, if it has one. */
  const recorded = <T>(
    who: Identified,
    what: 'created' | 'updated' | 'deleted',
    resource: Resource,
    change: () => Promise<T>,
  ): Promise<T> => {
    const event = eventOf(what, resource)
    if (!event) return change()
    const actor = actorFields(who.caller)
    return trail.around(event.type, { ...event.fields, ...actor, updated_by: actor.user }, change)
  }

  /** Roles and locks are in force for every call that begins after the answer. */
  const inForce = async (resource: Resource): Promise<Resource> => {
    const { kind, metadata } = resource
    await live.known(kind, metadata.name, metadata.revision)
    return resource
  }

  const insert = async (who: Identified, resource: Resource): Promise<Resource> => {
    access.authorize(who, 'create', resource.kind, resource)
    checkDocument(resource, undefined)
    if (resource.kind === 'user') {
      await checkRoles(store, (resource as User).spec.roles)
      await locks.checkReuse(resource.metadata.name)
    }
    const complete = completeDocument(resource, undefined, nameOf(who), clock())
    return inForce(await recorded(who, 'created', complete, () => store.create(complete)))
  }

  const replace = async (who: Identified, resource: Resource, old: Resource, confirm: boolean): Promise<Resource> => {
    access.authorize(who, 'update', resource.kind, old)
    access.authorize(who, 'update', resource.kind, resource)
    checkDocument(resource, old)
    checkOrigin(old, confirm)
    const complete = completeDocument(resource, old, nameOf(who), clock())
    const { revision } = old.metadata
    const atRevision = {
      ...complete,
      metadata: { ...complete.metadata, ...(revision !== undefined && { revision }) },
    }
    if (resource.kind === 'user') return replaceUser(who, atRevision as User, old as User)
    return inForce(await recorded(who, 'updated', atRevision, () => store.update(atRevision)))
  }

  const replaceUser = async (who: Identified, user: User, old: User): Promise<Resource> => {
    const { name } = user.metadata
    const { removed, added } = roleChanges(old, user)
    await checkRoles(store, added)
    const actor = actorFields(who.caller)
    const stored = await recorded(who, 'updated', user, async () => {
      // Before the change: there is no moment at which the role is gone and its certificates still open something.
      for (const role of removed) await locks.stop({ user: name, role }, `the role "${role}" was removed`, actor)
      return store.update(user)
    })
    for (const role of added) await locks.release({ user: name, role }, actor)
    if (user.spec.status?.is_locked === false) await localUsers.unlock(name)
    return stored
  }

  const removeUser = async (who: Identified, user: Resource): Promise<void> => {
    const { name } = user.metadata
    await recorded(who, 'deleted', user, async () => {
      await locks.stop({ user: name }, 'the user was removed', actorFields(who.caller))
      await localUsers.remove(name)
      await store.delete('user', name)
    })
  }

  return {
    async create(who, resource) {
      checkWritable(resource.kind)
      return insert(who, withoutRevision(resource))
    },
    async update(who, resource) {
      checkWritable(resource.kind)
      const { kind, metadata } = resource
      const old = await store.find(kind, metadata.name)
      if (!old) {
        access.authorize(who, 'update', kind, resource)
        throw new ResourceNotFound(kind, metadata.name)
      }
      if (metadata.revision !== undefined && metadata.revision !== old.metadata.revision) {
        access.authorize(who, 'update', kind, old)
        throw new ResourceChanged(kind, metadata.name)
      }
      return replace(who, resource, old, false)
    },
    async upsert(who, resource, confirm) {
      checkWritable(resource.kind)
      for (let attempt = 0; ; attempt++) {
        const old = await store.find(resource.kind, resource.metadata.name)
        try {
          return old
            ? { resource: await replace(who, resource, old, confirm), created: false }
            : { resource: await insert(who, withoutRevision(resource)), created: true }
        } catch (error) {
          // Somebody else wrote between our reading and our writing: what they did is read, and replaced.
          const isRace =
            error instanceof ResourceChanged || error instanceof ResourceExists || error instanceof ResourceNotFound
          if (!isRace || attempt >= 5) throw error
        }
      }
    },
    async delete(who, kind, name) {
      checkRemovable(kind)
      const resource = await store.find(kind, name)
      access.authorize(who, 'delete', kind, resource)
      if (!resource) throw new ResourceNotFound(kind, name)
      checkOrigin(resource, false)
      if (isSingleton(kind)) return resetSingleton(who, resource)
      if (kind === 'user') return removeUser(who, resource)
      if (kind === 'role') await checkRoleUnused(who, name)
      await recorded(who, 'deleted', resource, () => store.delete(kind, name))
      await live.known(kind, name)
    },
  }

  /** There is always one: removing it brings the defaults back. */
  async function resetSingleton(who: Identified, old: Resource): Promise<void> {
    const parse = findKind(old.kind)?.parse
    if (!parse) throw new Error(`no kind ${old.kind}`)
    const fresh = parse({ kind: old.kind, metadata: { name: old.metadata.name } })
    await recorded(who, 'deleted', fresh, () => store.upsert(fresh))
  }

  /** Users with a role that is gone could no longer log in, and a new role of that name would be theirs. */
  async function checkRoleUnused(who: Identified, role: string): Promise<void> {
    const users = (await store.list<User>('user')).filter(({ spec }) => spec.roles.includes(role))
    if (users.length === 0) return
    const names = users.map(({ metadata }) => metadata.name)
    const some = names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')
    const by = access.mayDo(who, 'list', 'user') ? some : 'users'
    throw new Conflict(`role "${role}" is in use by ${by}`, {
      hint: 'take it away from them first with "tctl users update NAME --set-roles …"',
    })
  }
}

/** @throws {ResourceNotFound} naming the first role that does not exist */
async function checkRoles(store: ResourceStore, names: readonly string[]): Promise<void> {
  for (const name of names) await store.get<Role>('role', name)
}

function withoutRevision(resource: Resource): Resource {
  const { revision: _, ...metadata } = resource.metadata
  return { ...resource, metadata }
}
