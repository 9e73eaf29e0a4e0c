/**
 * Rotation of an authority's key, as a table: nothing here waits, signs or stores.
 *
 * - `standby`: one key. Leads to `init`.
 * - `init`: a new key is trusted, the old one signs. Leads to `update_clients`, `rollback`.
 * - `update_clients`: the new key signs, the old one is trusted; servers still show old certificates.
 *   Leads to `update_servers`, `rollback`.
 * - `update_servers`: servers show new certificates, both keys are trusted. Leads to `standby` without the old key, `rollback`.
 * - `rollback`: the old key signs again, the new one is trusted. Leads to `standby` without the new key.
 */
import { InvalidInput } from '#errors.ts'

export const rotationPhases = ['standby', 'init', 'update_clients', 'update_servers', 'rollback'] as const
export type RotationPhase = (typeof rotationPhases)[number]

/** The keys of one authority in one phase. `Key` is whatever the caller keeps for a key. */
export interface RotatingKeys<Key> {
  readonly phase: RotationPhase
  /** These sign. */
  readonly active: readonly Key[]
  /** These are trusted beside them. */
  readonly trusted: readonly Key[]
}

/** A phase that the present one does not lead to. */
export class RotationRefused extends InvalidInput {
  constructor(from: RotationPhase, to: RotationPhase) {
    super(`a rotation in phase "${from}" cannot go to "${to}"`, {
      hint: `go on with one of: ${leadsTo[from].join(', ')}`,
    })
  }
}

/** What each phase leads to, the usual next one first. */
export const leadsTo: Readonly<Record<RotationPhase, readonly RotationPhase[]>> = {
  standby: ['init'],
  init: ['update_clients', 'rollback'],
  update_clients: ['update_servers', 'rollback'],
  update_servers: ['standby', 'rollback'],
  rollback: ['standby'],
}

/**
 * The keys after the step to `target`.
 * @param newKey is asked for at `init` alone
 * @throws {RotationRefused}
 */
export function rotate<Key>(keys: RotatingKeys<Key>, target: RotationPhase, newKey: () => Key): RotatingKeys<Key> {
  const { phase, active, trusted } = keys
  if (!leadsTo[phase].includes(target)) throw new RotationRefused(phase, target)
  switch (target) {
    case 'init':
      return { phase: target, active, trusted: [newKey()] }
    case 'update_clients':
      return { phase: target, active: trusted, trusted: active }
    case 'update_servers':
      return { phase: target, active, trusted }
    case 'standby':
      return { phase: target, active, trusted: [] }
    case 'rollback':
      // In `init` the new key has not signed yet: there is nothing to turn back.
      return phase === 'init' ? { phase: target, active, trusted } : { phase: target, active: trusted, trusted: active }
  }
}

/** When an automatic rotation goes to each phase: after one, two and three thirds of the grace period. */
export function rotationSchedule(
  started: Date,
  gracePeriodMs: number,
): Readonly<Record<'update_clients' | 'update_servers' | 'standby', Date>> {
  const after = (thirds: number): Date => new Date(started.getTime() + Math.floor((gracePeriodMs * thirds) / 3))
  return { update_clients: after(1), update_servers: after(2), standby: after(3) }
}

/** The step of an automatic rotation that is due at `now`, or `undefined`. One at a time, even after a long sleep. */
export function dueStep(
  phase: RotationPhase,
  started: Date,
  gracePeriodMs: number,
  now: Date,
): RotationPhase | undefined {
  const [next] = leadsTo[phase]
  if (next === undefined || next === 'init' || phase === 'rollback') return undefined
  const schedule = rotationSchedule(started, gracePeriodMs)
  return next !== 'rollback' && now >= schedule[next] ? next : undefined
}
