import { z } from 'zod'
import { auditEvent } from '#audit/codes.ts'
import type { AuditEvent } from '#audit/event.ts'
import type { AuditLog } from '#audit/log.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import type { Caller } from '#rpc/caller.ts'
import type { Backend } from '#storage/backend.ts'
import { openRecords } from './records.ts'

/** Type of an event, and its fields beside the envelope. */
export type EventType = Parameters<typeof auditEvent>[0]
export type EventFields = Readonly<Record<string, unknown>>

/** How the Auth Service writes its own events. */
export interface AuditTrail {
  /** Resolves when the event is on disk. */
  record(type: EventType, fields: EventFields): Promise<void>
  /** The same for events that belong together: one write. */
  recordAll(...events: readonly (readonly [EventType, EventFields])[]): Promise<void>
  /**
   * Makes a change whose event cannot be lost: the event is noted before the change, and is in the log before the
   * answer. If the process dies in between, the next start writes the event with `outcome: "unknown"`.
   * A change that throws leaves no event.
   */
  around<T>(type: EventType, fields: EventFields, change: () => Promise<T>): Promise<T>
}

export interface AuditTrailOptions {
  readonly backend: Backend
  readonly auditLog: AuditLog
  readonly clusterName: string
  readonly clock: Clock
  readonly log: Log
}

const noteSchema = z.object({ event: z.record(z.string(), z.unknown()) })

/** Opens the trail, and first completes what a sudden end left open. */
export async function openAuditTrail(options: AuditTrailOptions): Promise<AuditTrail> {
  const { backend, auditLog, clusterName, clock, log } = options
  const notes = openRecords(backend, 'pending_events', noteSchema)
  for (const { name, value } of await notes.list()) {
    const event = value.event as AuditEvent // written below, from an event
    log.warn('the service ended in the middle of a change: its outcome is unknown', { event: event.event, uid: name })
    await auditLog.append([{ ...event, outcome: 'unknown' }])
    await notes.delete(name)
  }
  const build = (type: EventType, fields: EventFields): AuditEvent =>
    auditEvent(type, fields, { clock, cluster: clusterName })
  return {
    async record(type, fields) {
      await auditLog.append([build(type, fields)])
    },
    async recordAll(...events) {
      await auditLog.append(events.map(([type, fields]) => build(type, fields)))
    },
    async around(type, fields, change) {
      const event = build(type, fields)
      await notes.put(event.uid, { event })
      let result: Awaited<ReturnType<typeof change>>
      try {
        result = await change()
      } catch (error) {
        await notes.delete(event.uid)
        throw error
      }
      await auditLog.append([event])
      await notes.delete(event.uid)
      return result
    },
  }
}

/** The fields that say who did it. @see Audit events of the reference, "user metadata" and "connection metadata" */
export function actorFields(caller: Caller): EventFields {
  const from = caller.address === '' ? {} : { 'addr.remote': caller.address }
  switch (caller.kind) {
    case 'anonymous':
      return from
    case 'member':
      return {
        user: `${caller.identity.hostId}.${caller.identity.cluster}`,
        user_kind: 3,
        user_roles: caller.identity.roles,
        ...from,
      }
    case 'user': {
      const { name, botName, impersonator, accessRequests, cluster } = caller.identity
      return {
        user: name,
        user_kind: botName === undefined ? 1 : 2,
        user_cluster_name: cluster,
        ...(botName !== undefined && { bot_name: botName }),
        ...(impersonator !== undefined && { impersonator }),
        ...(accessRequests.length > 0 && { access_requests: accessRequests }),
        ...from,
      }
    }
  }
}
