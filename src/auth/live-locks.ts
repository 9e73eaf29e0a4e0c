import { setTimeout as wait } from 'node:timers/promises'
import type { Log } from '#log.ts'
import type { LockTargets } from '#rbac/locks.ts'
import type { Lock } from '#resources/lock.ts'
import type { ResourceStore } from '#storage/resource-store.ts'

/**
 * All locks in memory, by whom they can be meant for: every call asks, and an app session that somebody ends leaves one
 * behind for hours.
 */
export interface LiveLocks extends AsyncDisposable {
  /** The few locks that may fit; whether one does is for `findLock`. */
  candidates(targets: LockTargets): readonly Lock[]
  /** Resolves once this write is known here, so that whoever made it sees it in force. @param revision left out: a delete */
  known(name: string, revision?: string): Promise<void>
}

const RETRY_MS = 200
/** Longer than any write takes to come back; a later write of the same lock may have hidden this one. */
const KNOWN_MS = 2_000

/** Follows the locks of the store. Resolves when all that exist are known. */
export async function openLiveLocks({ store, log }: { store: ResourceStore; log: Log }): Promise<LiveLocks> {
  const closing = new AbortController()
  const ready = Promise.withResolvers<void>()
  const byName = new Map<string, Lock>()
  const byTarget = new Map<string, Map<string, Lock>>()
  let changed = Promise.withResolvers<void>()

  const remove = (name: string): void => {
    const old = byName.get(name)
    if (!old) return
    byName.delete(name)
    const key = keyOf(old)
    const group = byTarget.get(key)
    group?.delete(name)
    if (group?.size === 0) byTarget.delete(key)
  }
  const put = (lock: Lock): void => {
    const { name } = lock.metadata
    remove(name)
    byName.set(name, lock)
    const key = keyOf(lock)
    const group = byTarget.get(key) ?? new Map<string, Lock>()
    byTarget.set(key, group.set(name, lock))
  }
  const follow = async (): Promise<void> => {
    const present = new Set<string>()
    for await (const event of store.watch(['lock'], undefined, closing.signal)) {
      switch (event.type) {
        case 'snapshot-start':
          present.clear()
          break
        case 'snapshot-end':
          for (const name of [...byName.keys()]) if (!present.has(name)) remove(name)
          ready.resolve()
          break
        case 'put':
          present.add(event.resource.metadata.name)
          put(event.resource as Lock) // the only kind that is watched
          break
        case 'deleted':
          present.delete(event.name)
          remove(event.name)
          break
        case 'progress':
          continue
      }
      changed.resolve()
      changed = Promise.withResolvers()
    }
  }
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      try {
        await follow()
      } catch (error) {
        if (closing.signal.aborted) return
        log.warn('the locks cannot be followed; trying again', { error })
        await wait(RETRY_MS, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
  }
  const running = run()
  await ready.promise

  return {
    candidates: (targets) => keysOf(targets).flatMap((key) => [...(byTarget.get(key)?.values() ?? [])]),
    async known(name, revision) {
      const limit = AbortSignal.any([AbortSignal.timeout(KNOWN_MS), closing.signal])
      const over = new Promise<void>((resolve) => limit.addEventListener('abort', () => resolve(), { once: true }))
      while (byName.get(name)?.metadata.revision !== revision && !limit.aborted) {
        await Promise.race([changed.promise, over])
      }
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await running
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
