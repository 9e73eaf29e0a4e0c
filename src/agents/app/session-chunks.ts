import { randomUUID } from 'node:crypto'
import type { AuditEmitter, AuditEvent } from '#audit/event.ts'
import type { Clock } from '#clock.ts'

/** Divides the use of an app session into pieces of at most five minutes; each begins with an event. */
export interface SessionChunks {
  /**
   * The id of the present piece of the session; where a new one begins, `began` makes its event, which is on disk
   * before this resolves.
   */
  current(sessionId: string, began: (chunkId: string) => AuditEvent): Promise<string>
}

const CHUNK_MS = 5 * 60_000
const MAX_SESSIONS = 100_000

interface Chunk {
  readonly id: Promise<string>
  readonly endsAt: number
}

export function createSessionChunks({ audit, clock }: { audit: AuditEmitter; clock: Clock }): SessionChunks {
  const chunks = new Map<string, Chunk>()
  return {
    current(sessionId, began) {
      const now = clock().getTime()
      const present = chunks.get(sessionId)
      if (present !== undefined && now < present.endsAt) return present.id
      const id = randomUUID()
      const written = audit.emit(began(id)).then(() => id)
      // A piece whose event could not be written has not begun.
      written.catch(() => chunks.delete(sessionId))
      chunks.delete(sessionId) // to the end of the order: what began first is forgotten first
      chunks.set(sessionId, { id: written, endsAt: now + CHUNK_MS })
      for (const [oldest, { endsAt }] of chunks) {
        if (endsAt > now && chunks.size <= MAX_SESSIONS) break
        chunks.delete(oldest)
      }
      return written
    },
  }
}
