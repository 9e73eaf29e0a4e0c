import { randomUUID } from 'node:crypto'
import { Conflict } from '#errors.ts'
import { type Lock, type LockTarget, parseLock } from '#resources/lock.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import type { AuditTrail, EventFields } from './audit-trail.ts'
import type { LiveResources } from './live-resources.ts'

/** The longest that any certificate of a user can still be valid. */
const LOCK_MS = 30 * 3_600_000
/** Marks these locks. */
export const removalLabel = 'teleport.internal/removal'

/**
 * Locks that stop certificates which say more than is true any more: of a removed user, with a role that was taken
 * away, of an app session that was ended. They expire when no such certificate can be left.
 */
export interface RemovalLocks {
  /**
   * Stops everything that fits the target.
   * @param actor fields of the events
   * @param expires when none of those certificates can be left; 30 hours from now unless it is known better
   */
  stop(target: LockTarget, message: string, actor: EventFields, expires?: Date): Promise<void>
  /** Takes back what `stop` did for this very target, because it is true again. */
  release(target: LockTarget, actor: EventFields): Promise<void>
  /**
   * Refuses a new user with the name of one who was removed a short while ago: the lock on the old one's certificates
   * would stop the new one, and without it those certificates would open what the new one may.
   * @throws {Conflict}
   */
  checkReuse(user: string): Promise<void>
}

export function createRemovalLocks({
  store,
  live,
  trail,
  clock,
}: {
  store: ResourceStore
  live: Pick<LiveResources, 'known'>
  trail: AuditTrail
  clock: () => Date
}): RemovalLocks {
  const find = async (target: LockTarget): Promise<readonly Lock[]> =>
    (await store.list<Lock>('lock')).filter(
      ({ metadata, spec }) => metadata.labels?.[removalLabel] === 'yes' && sameTarget(spec.target, target),
    )
  return {
    async stop(target, message, actor, expires = new Date(clock().getTime() + LOCK_MS)) {
      const now = clock()
      const lock = parseLock({
        kind: 'lock',
        version: 'v2',
        metadata: { name: randomUUID(), labels: { [removalLabel]: 'yes' } },
        spec: {
          target,
          message,
          created_at: now.toISOString(),
          created_by: 'system',
          expires: expires.toISOString(),
        },
      })
      const fields = { ...actor, name: lock.metadata.name, target, expires: lock.spec.expires }
      const stored = await trail.around('lock.created', fields, () => store.create(lock))
      await live.known('lock', stored.metadata.name, stored.metadata.revision)
    },
    async release(target, actor) {
      for (const { metadata } of await find(target)) {
        const fields = { ...actor, name: metadata.name, target }
        await trail.around('lock.deleted', fields, () => store.delete('lock', metadata.name))
        await live.known('lock', metadata.name)
      }
    },
    async checkReuse(user) {
      const [lock] = await find({ user })
      if (!lock) return
      const until = lock.spec.expires ?? 'it is removed'
      throw new Conflict(`a user "${user}" was removed and certificates of theirs may be valid until ${until}`, {
        hint: `wait, or run "tctl rm lock/${lock.metadata.name}" if none of them can be in wrong hands`,
      })
    },
  }
}

function sameTarget(one: LockTarget, other: LockTarget): boolean {
  const fields = (target: LockTarget): string => JSON.stringify(Object.entries(target).sort())
  return fields(one) === fields(other)
}
