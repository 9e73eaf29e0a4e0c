/** May this caller send this request to this app now? Asked for every request, and again while one is under way. */
import { AccessError, type ErrorCode, unreachable } from '#errors.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { partitionMismatch } from '#rbac/aws-partition.ts'
import { type AppRequest, decideApp } from '#rbac/decide-app.ts'
import { explain } from '#rbac/decision.ts'
import { findLock, identityTargets, isLockViewUnreliable, lockMessage, staleLocksText } from '#rbac/locks.ts'
import { createRoleSet, type RoleSet } from '#rbac/role-set.ts'
import { type App, appFamily } from '#resources/app.ts'
import type { AuthPreference } from '#resources/cluster-config.ts'
import type { Lock } from '#resources/lock.ts'
import type { Role } from '#resources/role.ts'

/** What the agent knows of the cluster at this moment: read from its live copy. */
export interface ClusterView {
  readonly cluster: string
  /** Host id of this agent, which can be locked too. */
  readonly hostId: string
  readonly locks: readonly Lock[]
  /** A role that is not there any more is left out. */
  readonly role: (name: string) => Role | undefined
  /** Whether the role is there and cannot be read at all. */
  readonly isUnreadable: (role: string) => boolean
  readonly preference: AuthPreference | undefined
  /** Everything up to this instant is known; the epoch: nothing was ever known. */
  readonly asOf: Date
  readonly maxLockAgeMs?: number
  readonly app: (name: string) => App | undefined
}

/** The answer. `message` and `hint` are for the caller; `detail` is for the log alone. */
export type Admission =
  | { readonly allowed: true; readonly app: App; readonly route: RouteToApp; readonly grantedBy: readonly string[] }
  | Refusal

export interface Refusal {
  readonly allowed: false
  readonly code: ErrorCode
  /** One word for the audit log: `locked`, `expired`, `aws-role-not-allowed`. */
  readonly reason: string
  readonly message: string
  readonly hint: string
  readonly detail?: string
}

/** Why a request that was under way is cut: something has changed since it was let in. */
export class RefusedWhileServing extends AccessError {
  override readonly code: ErrorCode
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal.message, { hint: refusal.hint })
    this.code = refusal.code
    this.refusal = refusal
  }
}

/** Decides with what is known at `now`. `roles` keeps compiled roles between calls. */
export function admit(identity: UserIdentity, view: ClusterView, { now, roles }: AdmitOptions): Admission {
  const early = refuseCertificate(identity, view, now) ?? refuseStanding(identity, view, { now, roles })
  if (early !== undefined) return early
  const route = identity.routeToApp
  const app = route && view.app(route.name)
  if (route === undefined || app === undefined) return unknownApp(route?.name)
  const request = appRequest(identity, app, view.preference)
  if (appFamily(app) === 'aws' && request.awsRoleArn === undefined) {
    return {
      allowed: false,
      code: 'denied',
      reason: 'aws-role-missing',
      message: `the certificate for app "${app.metadata.name}" names no AWS role`,
      hint: `run "tsh apps login --aws-role ROLE ${app.metadata.name}"`,
    }
  }
  const decision = decideApp(roles.of(identity, view), request)
  const mismatch = decision.allowed && request.awsRoleArn !== undefined && partitionMismatch(app, request.awsRoleArn)
  if (mismatch) return { allowed: false, code: 'denied', reason: 'aws-partition', ...mismatch }
  if (decision.allowed) return { allowed: true, app, route, grantedBy: decision.grantedBy }
  const needsMfa = decision.reason === 'mfa-required' || decision.reason === 'device-required'
  return {
    allowed: false,
    code: 'denied',
    reason: decision.reason,
    message: `access to app "${app.metadata.name}" is denied: ${explain(decision)}`,
    hint: needsMfa
      ? `run "tsh apps login ${app.metadata.name}" and prove it`
      : decision.reason === 'denied-by-role'
        ? 'ask an administrator which of your roles it is'
        : 'if you were given a role since you signed in, sign in again with "tsh login"; else ask an administrator for one',
    ...(decision.deniedBy === undefined ? {} : { detail: `denied by role ${decision.deniedBy}` }),
  }
}

export interface AdmitOptions {
  readonly now: Date
  readonly roles: RoleSets
}

/** Compiled roles of identities, kept until `forget` says that a role has changed. */
export class RoleSets {
  #sets = new WeakMap<UserIdentity, RoleSet>()

  of(identity: UserIdentity, view: ClusterView): RoleSet {
    const kept = this.#sets.get(identity)
    if (kept !== undefined) return kept
    // A role that was removed gives nothing any more; what it denied, its removal allows.
    const roles = identity.roles.flatMap((name) => view.role(name) ?? [])
    const set = createRoleSet(roles, identity.traits, { userName: identity.name })
    this.#sets.set(identity, set)
    return set
  }

  forget(): void {
    this.#sets = new WeakMap()
  }
}

/** What the certificate itself must be: an app certificate of this cluster that has not expired. */
function refuseCertificate(identity: UserIdentity, view: ClusterView, now: Date): Refusal | undefined {
  const refused = (reason: string, message: string): Refusal => ({
    allowed: false,
    code: 'unauthenticated',
    reason,
    message,
    hint: 'sign in again with "tsh login", then "tsh apps login"',
  })
  if (now >= identity.expires)
    return refused('expired', `your certificate expired at ${identity.expires.toISOString()}`)
  if (identity.usage?.includes('apps') !== true) return refused('wrong-usage', 'the certificate is not for apps')
  const { routeToApp: route } = identity
  if (route === undefined) return refused('wrong-usage', 'the certificate names no app')
  if (identity.cluster !== view.cluster || route.cluster !== view.cluster) {
    return refused('wrong-cluster', 'the certificate is of another cluster')
  }
  return undefined
}

/** What can be held against a caller whatever they ask for: an agent that knows nothing, stale or binding locks, lost roles. */
function refuseStanding(identity: UserIdentity, view: ClusterView, { now, roles }: AdmitOptions): Refusal | undefined {
  if (view.asOf.getTime() === 0) {
    return {
      allowed: false,
      code: 'unavailable',
      reason: 'not-ready',
      message: 'this agent has not heard from the auth service yet',
      hint: 'try again in a moment; if it goes on, have the agent’s connection to the cluster checked',
    }
  }
  const set = roles.of(identity, view)
  const strictRole = set.roles.some(({ options }) => options.lock === 'strict')
  const looseRole = set.roles.some(({ options }) => options.lock === 'best_effort')
  const clusterMode = view.preference?.spec.locking_mode ?? 'best_effort'
  const mode = strictRole ? 'strict' : looseRole ? 'best_effort' : clusterMode
  const { asOf, maxLockAgeMs } = view
  if (isLockViewUnreliable({ mode, asOf, now, ...(maxLockAgeMs === undefined ? {} : { maxAgeMs: maxLockAgeMs }) })) {
    return {
      allowed: false,
      code: 'unavailable',
      reason: 'locks-unreliable',
      message: staleLocksText,
      hint: 'have the connection between this agent and the auth service restored',
    }
  }
  const lock =
    findLock(view.locks, identityTargets(identity), now) ?? findLock(view.locks, { serverId: view.hostId }, now)
  if (lock !== undefined) {
    return {
      allowed: false,
      code: 'denied',
      reason: 'locked',
      message: lockMessage(lock),
      hint: 'ask your administrator why',
      detail: `lock ${lock.metadata.name}`,
    }
  }
  const lost = identity.roles.find((name) => view.isUnreadable(name))
  if (lost === undefined) return undefined
  return {
    allowed: false,
    code: 'denied',
    reason: 'role-unreadable',
    message: 'one of your roles cannot be read by this agent',
    hint: 'have the agent upgraded to the version of the auth service',
    detail: `role ${lost}`,
  }
}

function unknownApp(name: string | undefined): Refusal {
  return {
    allowed: false,
    code: 'not-found',
    reason: 'app-not-found',
    message: `app "${name}" is not served by this agent any more`,
    hint: 'run "tsh apps ls" to see what there is',
  }
}

function appRequest(identity: UserIdentity, app: App, preference: AuthPreference | undefined): AppRequest {
  const { awsRoleArn, azureIdentity } = identity.routeToApp ?? {}
  const clusterMfa = preference?.spec.require_session_mfa ?? 'no'
  return {
    app,
    ...(awsRoleArn === undefined ? {} : { awsRoleArn }),
    ...(azureIdentity === undefined ? {} : { azureIdentity }),
    state: {
      mfaRequired: clusterMfa === 'no' ? 'per-role' : 'always',
      mfaVerified: identity.mfaDeviceId !== undefined,
      deviceVerified: false,
    },
  }
}

/** Status of a refusal over HTTP. */
export function httpStatus(code: ErrorCode): number {
  switch (code) {
    case 'invalid':
      return 400
    case 'unauthenticated':
    case 'denied':
      return 403
    case 'not-found':
      return 404
    case 'already-exists':
    case 'conflict':
      return 409
    case 'exhausted':
      return 429
    case 'unavailable':
      return 503
    default:
      throw unreachable(code)
  }
}
