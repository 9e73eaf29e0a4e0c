/** How long a certificate may live: the shortest limit wins. */
import type { RoleSet } from './role-set.ts'

/** Limits of a certificate that is to be issued. */
export interface SessionTtlRequest {
  readonly roles: RoleSet
  /** What the caller asked for; left out: the default. */
  readonly requestedMs?: number | undefined
  /** `default_session_ttl` of the cluster. */
  readonly defaultMs?: number | undefined
  /** Of the certificate that this one is issued on: it is never outlived. */
  readonly parentExpires?: Date | undefined
  readonly now: Date
}

/** Longest life of any user's certificate: 30 hours. */
const MAX_SESSION_TTL_MS = 30 * 3_600_000
/** Shortest life that is of use to anyone: one minute. Only the parent's end may be nearer. */
const MIN_SESSION_TTL_MS = 60_000
const DEFAULT_SESSION_TTL_MS = 12 * 3_600_000

/** `{ ttlMs: 43_200_000, expires }`; `ttlMs` is 0 or less where the parent certificate is over. */
export function sessionTtl({
  roles,
  requestedMs,
  defaultMs = DEFAULT_SESSION_TTL_MS,
  parentExpires,
  now,
}: SessionTtlRequest): { readonly ttlMs: number; readonly expires: Date } {
  const asked = requestedMs !== undefined && requestedMs > 0 ? requestedMs : defaultMs
  const limit = Math.min(MAX_SESSION_TTL_MS, ...roles.roles.map(({ options }) => options.maxSessionTtlMs))
  const own = Math.max(MIN_SESSION_TTL_MS, Math.min(asked, limit))
  const ttlMs = parentExpires ? Math.min(own, parentExpires.getTime() - now.getTime()) : own
  return { ttlMs, expires: new Date(now.getTime() + ttlMs) }
}
