/** Locks: a stop put on someone or something, which binds as soon as it is known. */
import type { Identity } from '#identity/identity.ts'
import type { Lock } from '#resources/lock.ts'

/** Everything by which an identity can be locked. A field that is left out cannot be meant by a lock. */
export interface LockTargets {
  readonly user?: string | undefined
  readonly roles?: readonly string[] | undefined
  readonly logins?: readonly string[] | undefined
  readonly mfaDevice?: string | undefined
  /** Trusted device. */
  readonly device?: string | undefined
  readonly accessRequests?: readonly string[] | undefined
  /** Host id of a member of the cluster. */
  readonly serverId?: string | undefined
  readonly botInstanceId?: string | undefined
  readonly joinToken?: string | undefined
  readonly appSession?: string | undefined
}

/** The first lock that is in force and that fits in every field it sets. */
export function findLock(locks: readonly Lock[], subject: LockTargets, now: Date): Lock | undefined {
  return locks.find((lock) => isInForce(lock, now) && fits(lock, subject))
}

/** By what an identity can be locked, as its certificate says. */
export function identityTargets(identity: Identity): LockTargets {
  if (identity.kind === 'host') return { serverId: identity.hostId }
  return {
    user: identity.name,
    roles: identity.roles,
    mfaDevice: identity.mfaDeviceId,
    accessRequests: identity.accessRequests,
    botInstanceId: identity.botInstanceId,
    appSession: identity.routeToApp?.sessionId,
  }
}

/** `lock targeting User:"alice" is in force: call the security desk` */
export function lockMessage({ spec: { target, message = '' } }: Lock): string {
  const [field = '', value = ''] = Object.entries(target)[0] ?? []
  const name = field
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')
  return `lock targeting ${name}:${JSON.stringify(value)} is in force${message === '' ? '' : `: ${message}`}`
}

/** What `strict` says when nobody knows any more which locks there are. */
export const staleLocksText = 'preventive lock-out due to local lock view becoming unreliable'

/** Age at which a view of the locks is not relied on in `strict` mode: five minutes. */
const MAX_LOCK_AGE_MS = 5 * 60_000

/** Whether everything must be refused because the locks were last known to be current at `asOf`. */
export function isLockViewUnreliable(view: {
  readonly mode: 'best_effort' | 'strict'
  readonly asOf: Date
  readonly now: Date
  readonly maxAgeMs?: number
}): boolean {
  return view.mode === 'strict' && view.now.getTime() - view.asOf.getTime() > (view.maxAgeMs ?? MAX_LOCK_AGE_MS)
}

function isInForce({ metadata, spec }: Lock, now: Date): boolean {
  const expires = spec.expires ?? metadata.expires
  return expires === undefined || Date.parse(expires) > now.getTime()
}

function fits({ spec: { target } }: Lock, subject: LockTargets): boolean {
  const known: Readonly<Record<keyof typeof target, readonly (string | undefined)[]>> = {
    user: [subject.user],
    role: subject.roles ?? [],
    login: subject.logins ?? [],
    mfa_device: [subject.mfaDevice],
    windows_desktop: [],
    access_request: subject.accessRequests ?? [],
    device: [subject.device],
    server_id: [subject.serverId],
    node: [subject.serverId],
    bot_instance_id: [subject.botInstanceId],
    join_token: [subject.joinToken],
    app_session: [subject.appSession],
  }
  const fields = Object.entries(target)
  // A target without fields cannot be written; were one stored, it must not lock everyone out.
  return fields.length > 0 && fields.every(([field, value]) => known[field as keyof typeof target]?.includes(value))
}
