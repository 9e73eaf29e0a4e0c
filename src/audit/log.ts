import { InvalidInput } from '#errors.ts'
import type { AuditEvent } from './event.ts'

/**
 * The searchable audit log of a cluster.
 * Implementation: `log-sqlite.ts`.
 */
export interface AuditLog extends AsyncDisposable {
  /** Resolves when the events are on disk. An event is kept once per (time, uid), however often it comes. */
  append(events: readonly AuditEvent[]): Promise<void>
  /** @throws {InvalidCursor} if `after` is not the `next` of an earlier page */
  search(query: AuditQuery): Promise<AuditPage>
}

/** What to find. Everything given must hold; an empty list of types means all. */
export interface AuditQuery {
  /** From this instant on. */
  readonly from?: Date
  /** Up to and without this instant. */
  readonly to?: Date
  readonly types?: readonly string[]
  readonly user?: string
  /** Must occur in the JSON of the event; case of ASCII letters does not matter. */
  readonly text?: string
  /** Default 500, at most 10,000. */
  readonly limit?: number
  /** The newest first. */
  readonly descending?: boolean
  /** `next` of the page before. */
  readonly after?: string
}

export interface AuditPage {
  readonly events: readonly AuditEvent[]
  /** Where the next page begins; undefined after the last. */
  readonly next?: string
}

export const defaultPage = 500
export const maxPage = 10_000

/** The place in the log where a page ended is not one that this log has given. */
export class InvalidCursor extends InvalidInput {
  constructor(cursor: string) {
    super(`"${cursor.slice(0, 64)}" is not a place in the audit log`, {
      hint: 'begin the search again without a start key',
    })
  }
}
