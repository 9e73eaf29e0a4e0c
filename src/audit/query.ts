import { InvalidInput } from '#errors.ts'
import { eventCodes } from './codes.ts'
import { type AuditQuery, maxPage } from './log.ts'

/** Filters as people type them for `tctl audit ls`. */
export interface AuditFilters {
  /** An instant (`2030-01-31T12:00:00Z`), a day (`2030-01-31`, UTC) or how long ago (`90m`, `2h`, `7d`). */
  readonly from?: string
  readonly to?: string
  /** Separated by commas: `user.login,cert.create`. */
  readonly types?: string
  readonly user?: string
  readonly text?: string
  readonly limit?: string
  /** `asc` or `desc`; the newest come first where it is left out. */
  readonly order?: string
}

/** A filter that cannot be understood. */
export class InvalidFilter extends InvalidInput {}

/** The query that the filters mean at `now`. @throws {InvalidFilter} */
export function parseAuditFilters(filters: AuditFilters, now: Date): AuditQuery {
  const { from, to, types, user, text, limit, order = 'desc' } = filters
  if (order !== 'asc' && order !== 'desc') {
    throw new InvalidFilter(`"${order}" is not an order`, { hint: 'write asc (oldest first) or desc (newest first)' })
  }
  const query: AuditQuery = {
    descending: order === 'desc',
    ...(from === undefined ? {} : { from: parseInstant(from, now) }),
    ...(to === undefined ? {} : { to: parseInstant(to, now) }),
    ...(types === undefined ? {} : { types: parseTypes(types) }),
    ...(user === undefined ? {} : { user }),
    ...(text === undefined ? {} : { text }),
    ...(limit === undefined ? {} : { limit: parseLimit(limit) }),
  }
  if (query.from !== undefined && query.to !== undefined && query.from >= query.to) {
    throw new InvalidFilter('the search ends before it begins', { hint: 'give a "from" that is earlier than "to"' })
  }
  return query
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseInstant(text: string, now: Date): Date {
  const [, amount, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (amount !== undefined) return new Date(now.getTime() - Number(amount) * (UNIT_MS[unit] ?? 0))
  const isInstant = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
  const instant = new Date(isInstant ? text : Number.NaN)
  if (Number.isNaN(instant.getTime())) {
    throw new InvalidFilter(`"${text}" is not an instant`, {
      hint: 'write a day such as 2030-01-31, an instant such as 2030-01-31T12:00:00Z, or how long ago, such as 2h',
    })
  }
  return instant
}

function parseTypes(text: string): readonly string[] {
  const types = text.split(',').map((type) => type.trim())
  for (const type of types) {
    if (!Object.hasOwn(eventCodes, type)) {
      throw new InvalidFilter(`there is no event type "${type}"`, {
        hint: 'write types such as user.login or cert.create, separated by commas',
      })
    }
  }
  return types
}

function parseLimit(text: string): number {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > maxPage) {
    throw new InvalidFilter(`"${text}" is not a number of events`, { hint: `write a number from 1 to ${maxPage}` })
  }
  return limit
}
