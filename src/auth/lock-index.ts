import type { LockTargets } from '#rbac/locks.ts'
import type { Lock } from '#resources/lock.ts'

/** All locks, found by whom they can be meant for: every call asks, and each app session that ends leaves one behind. */
export interface LockIndex {
  /** The few locks that may fit; whether one does is for `findLock`. */
  candidates(targets: LockTargets): readonly Lock[]
  /** @param lock left out: it is gone */
  change(name: string, lock: Lock | undefined): void
}

export function createLockIndex(): LockIndex {
  const keys = new Map<string, string>()
  const byTarget = new Map<string, Map<string, Lock>>()
  return {
    candidates: (targets) => keysOf(targets).flatMap((key) => [...(byTarget.get(key)?.values() ?? [])]),
    change(name, lock) {
      const oldKey = keys.get(name)
      if (oldKey !== undefined) {
        const group = byTarget.get(oldKey)
        group?.delete(name)
        if (group?.size === 0) byTarget.delete(oldKey)
        keys.delete(name)
      }
      if (!lock) return
      const key = keyOf(lock)
      keys.set(name, key)
      byTarget.set(key, (byTarget.get(key) ?? new Map<string, Lock>()).set(name, lock))
    },
  }
}

/** A lock with several fields fits only if all do, so it is found by the one that fewest identities share. */
const fields = [
  'app_session',
  'access_request',
  'bot_instance_id',
  'mfa_device',
  'device',
  'server_id',
  'user',
  'join_token',
  'login',
  'role',
] as const

function keyOf({ spec: { target } }: Lock): string {
  const field = fields.find((field) => target[field] !== undefined)
  return field === undefined ? '' : `${field}:${target[field]}`
}

function keysOf(targets: LockTargets): readonly string[] {
  const values: Readonly<Record<(typeof fields)[number], readonly (string | undefined)[]>> = {
    app_session: [targets.appSession],
    access_request: targets.accessRequests ?? [],
    bot_instance_id: [targets.botInstanceId],
    mfa_device: [targets.mfaDevice],
    device: [targets.device],
    server_id: [targets.serverId],
    user: [targets.user],
    join_token: [targets.joinToken],
    login: targets.logins ?? [],
    role: targets.roles ?? [],
  }
  return fields.flatMap((field) => values[field].flatMap((value) => (value === undefined ? [] : [`${field}:${value}`])))
}
