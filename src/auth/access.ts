import type { HandlerContext } from '@connectrpc/connect'
import { AccessDenied, Unauthenticated } from '#errors.ts'
import type { HostIdentity, SystemRole, UserIdentity } from '#identity/identity.ts'
import { decideResource, type Verb } from '#rbac/decide-resource.ts'
import { explain } from '#rbac/decision.ts'
import { findLock, identityTargets, lockMessage } from '#rbac/locks.ts'
import { createRoleSet, type RoleSet } from '#rbac/role-set.ts'
import type { Resource } from '#resources/resource.ts'
import type { Role } from '#resources/role.ts'
import type { User } from '#resources/user.ts'
import { type Caller, callerOf } from '#rpc/caller.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import type { Traits } from '#traits/traits.ts'
import type { LiveResources } from './live-resources.ts'
import type { LockIndex } from './lock-index.ts'

/** A caller whose certificate counts at this moment: not locked, not removed, not limited to another use. */
export type Identified = IdentifiedUser | IdentifiedMember | IdentifiedAdmin

/** A person or a bot, with the roles of their certificate as they are now. */
export interface IdentifiedUser {
  readonly kind: 'user'
  readonly caller: Extract<Caller, { kind: 'user' }>
  readonly identity: UserIdentity
  readonly user: User
  readonly roles: RoleSet
}

/** A part of the cluster: an agent, a proxy. */
interface IdentifiedMember {
  readonly kind: 'member'
  readonly caller: Extract<Caller, { kind: 'member' }>
  readonly identity: HostIdentity
}

/** The local administrator of the Auth host, who may do everything. */
interface IdentifiedAdmin extends Omit<IdentifiedMember, 'kind'> {
  readonly kind: 'admin'
}

/** Who calls, and what they may do. Every handler begins with one of these. */
export interface Access {
  /** @throws {Unauthenticated} without a certificate @throws {AccessDenied} when locked */
  identify(context: Pick<HandlerContext, 'values'>): Promise<Identified>
  /** A person or a bot, or the administrator never. @throws {AccessDenied} */
  user(context: Pick<HandlerContext, 'values'>): Promise<IdentifiedUser>
  /** A member with one of these system roles. @throws {AccessDenied} */
  member(context: Pick<HandlerContext, 'values'>, ...roles: readonly SystemRole[]): Promise<IdentifiedMember>
  /** The local administrator. @throws {AccessDenied} */
  admin(context: Pick<HandlerContext, 'values'>): Promise<IdentifiedAdmin>
  /** Refuses unless the rules of a user's roles allow the verb; the administrator may, members may not. @throws {AccessDenied} */
  authorize(who: Identified, verb: Verb, kind: string, resource?: Resource): void
  /** The same as an answer. */
  mayDo(who: Identified, verb: Verb, kind: string, resource?: Resource): boolean
  /** Roles by name as they are now; a name without a role gives no rights. */
  roleSet(names: readonly string[], traits: Traits, userName: string): RoleSet
  /** Refuses when a lock is in force for this identity. @throws {AccessDenied} */
  checkLocks(identity: UserIdentity | HostIdentity): void
  /** For a stream that is open already: refuses once the certificate expired or a lock is in force. */
  checkStream(who: Identified): void
}

export function createAccess({
  store,
  live,
  locks,
  clock,
}: {
  store: ResourceStore
  live: Pick<LiveResources, 'find'>
  locks: Pick<LockIndex, 'candidates'>
  clock: () => Date
}): Access {
  const roleSet: Access['roleSet'] = (names, traits, userName) => {
    const roles = names.map((name) => live.find<Role>('role', name))
    return createRoleSet(
      roles.filter((role) => role !== undefined),
      traits,
      { userName },
    )
  }
  const checkLocks: Access['checkLocks'] = (identity) => {
    const targets = identityTargets(identity)
    const lock = findLock(locks.candidates(targets), targets, clock())
    if (lock) throw new AccessDenied(lockMessage(lock), { hint: 'ask an administrator what the lock is for' })
  }
  const identifyUser = async (caller: Extract<Caller, { kind: 'user' }>): Promise<IdentifiedUser> => {
    const { identity } = caller
    if (identity.usage !== undefined) {
      throw new AccessDenied(`this certificate is only for ${identity.usage.join(' and ')}`, {
        hint: 'use the certificate of the login',
      })
    }
    checkLocks(identity)
    const user = await store.find<User>('user', identity.name)
    if (!user) throw new Unauthenticated(`the user "${identity.name}" no longer exists`, { hint: 'log in again' })
    const { status } = user.spec
    if (status?.is_locked) {
      throw new AccessDenied(status.locked_message ?? 'the user is locked', { hint: 'ask an administrator' })
    }
    return {
      kind: 'user',
      caller,
      identity,
      user,
      roles: roleSet(identity.roles, identity.traits, identity.name),
    }
  }
  const identify: Access['identify'] = async (context) => {
    const caller = callerOf(context)
    switch (caller.kind) {
      case 'anonymous':
        throw new Unauthenticated('this call needs a client certificate', { hint: 'log in, or join the cluster' })
      case 'user':
        return identifyUser(caller)
      case 'member': {
        const { identity } = caller
        if (identity.roles.includes('Admin')) return { kind: 'admin', caller, identity }
        checkLocks(identity)
        return { kind: 'member', caller, identity }
      }
    }
  }
  const mayDo: Access['mayDo'] = (who, verb, kind, resource) => {
    if (who.kind !== 'user') return who.kind === 'admin'
    return decideResource(who.roles, { kind, verb, resource }).allowed
  }
  const notFor = (who: Identified): AccessDenied =>
    new AccessDenied(`this call is not for ${describe(who)}`, { hint: 'use an identity that this call is meant for' })
  return {
    identify,
    roleSet,
    checkLocks,
    mayDo,
    checkStream(who) {
      if (who.identity.expires <= clock()) {
        throw new Unauthenticated('the client certificate expired', { hint: 'log in again, or renew the certificate' })
      }
      if (who.kind !== 'admin') checkLocks(who.identity)
    },
    authorize(who, verb, kind, resource) {
      if (mayDo(who, verb, kind, resource)) return
      const decision = who.kind === 'user' ? decideResource(who.roles, { kind, verb, resource }) : undefined
      const denied = `access denied to perform action ${JSON.stringify(verb)} on ${JSON.stringify(kind)}`
      throw new AccessDenied(decision ? explain(decision) : denied, {
        hint: `ask for a role whose allow.rules have the resource "${kind}" with the verb "${verb}"`,
        cause: decision,
      })
    },
    async user(context) {
      const who = await identify(context)
      if (who.kind !== 'user') throw notFor(who)
      return who
    },
    async member(context, ...roles) {
      const who = await identify(context)
      if (who.kind !== 'member' || !who.identity.roles.some((role) => roles.includes(role))) throw notFor(who)
      return who
    },
    async admin(context) {
      const who = await identify(context)
      if (who.kind !== 'admin') throw notFor(who)
      return who
    },
  }
}

function describe(who: Identified): string {
  switch (who.kind) {
    case 'user':
      return 'users'
    case 'admin':
      return 'the local administrator'
    case 'member':
      return `members with the role ${who.identity.roles.join(', ')}`
  }
}
