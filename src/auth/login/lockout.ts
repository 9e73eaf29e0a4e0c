import { z } from 'zod'
import type { Records } from '#auth/records.ts'
import { AccessDenied } from '#errors.ts'
import { RevisionConflict } from '#storage/backend-errors.ts'

/** Limits of failed logins. */
export interface LockoutSettings {
  /** Failures within the window that lock. */
  readonly attempts: number
  readonly windowMs: number
  readonly lockMs: number
}

/** The reference's values. */
export const defaultLockout: LockoutSettings = { attempts: 5, windowMs: 30 * 60_000, lockMs: 30 * 60_000 }

/** Addresses that are remembered per account: a stranger cannot make the list grow, only a successful login does. */
const MAX_KNOWN_ADDRESSES = 16
const STRANGERS = '*'

const bucketSchema = z.object({ failures: z.array(z.number()), lockedUntil: z.number().optional() })
/** What is remembered about the logins of one account. Instants are milliseconds since 1970. */
export const loginHistorySchema = z.object({
  /** Addresses of successful logins, the latest last. */
  known: z.array(z.string()),
  /** Failures, by known address, and of all other addresses together under `*`. */
  buckets: z.record(z.string(), bucketSchema),
})
export type LoginHistory = z.infer<typeof loginHistorySchema>

const emptyHistory: LoginHistory = { known: [], buckets: {} }

/**
 * Failures count by account and address: an address from which the account has logged in before has a count of its
 * own, all other addresses share one. So a stranger who guesses locks out strangers, from however many addresses,
 * and never the place where the account's owner works; and guesses from there lock out that place alone.
 */
const bucketOf = (history: LoginHistory, address: string): string =>
  history.known.includes(address) ? address : STRANGERS

/** Until when this address may not try this account; `undefined`: it may. */
export function lockedUntil(history: LoginHistory, address: string, now: Date): Date | undefined {
  const until = history.buckets[bucketOf(history, address)]?.lockedUntil
  return until !== undefined && until > now.getTime() ? new Date(until) : undefined
}

/** The history after one more failure. */
export function afterFailure(
  history: LoginHistory,
  address: string,
  now: Date,
  { attempts, windowMs, lockMs }: LockoutSettings,
): LoginHistory {
  const name = bucketOf(history, address)
  const recent = (history.buckets[name]?.failures ?? []).filter((at) => at > now.getTime() - windowMs)
  const failures = [...recent, now.getTime()].slice(-attempts)
  // One of two guesses at the same time locks, and the other is counted after it: that must not unlock.
  const present = lockedUntil(history, address, now)?.getTime()
  const bucket =
    failures.length >= attempts
      ? { failures: [], lockedUntil: now.getTime() + lockMs }
      : { failures, ...(present !== undefined && { lockedUntil: present }) }
  return { ...history, buckets: { ...history.buckets, [name]: bucket } }
}

/** The history after a success: the address is known, and its failures are forgotten. */
export function afterSuccess(history: LoginHistory, address: string): LoginHistory {
  const known = [...history.known.filter((other) => other !== address), address].slice(-MAX_KNOWN_ADDRESSES)
  const buckets = Object.fromEntries(
    Object.entries(history.buckets).filter(
      ([name]) => name === STRANGERS || (known.includes(name) && name !== address),
    ),
  )
  return { known, buckets }
}

/** Keeps the histories. */
export interface Lockout {
  /** @throws {AccessDenied} with the same text whether the account exists or not. */
  check(account: string, address: string): Promise<void>
  recordFailure(account: string, address: string): Promise<void>
  recordSuccess(account: string, address: string): Promise<void>
  /** Forgets failures and locks, not the known addresses: what an administrator's reset does. */
  clear(account: string): Promise<void>
  /** Forgets everything about a removed account. */
  forget(account: string): Promise<void>
}

export function createLockout({
  records,
  clock,
  settings = defaultLockout,
}: {
  records: Records<LoginHistory>
  clock: () => Date
  settings?: LockoutSettings
}): Lockout {
  const change = async (account: string, next: (history: LoginHistory) => LoginHistory): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      const found = await records.find(account)
      const value = next(found?.value ?? emptyHistory)
      // An account without known addresses may be a name that somebody made up: it is forgotten in time.
      const expires = new Date(clock().getTime() + settings.windowMs + settings.lockMs)
      try {
        await records.put(account, value, {
          ifRevision: found?.revision ?? 'absent',
          ...(value.known.length === 0 && { expires }),
        })
        return
      } catch (error) {
        // Two logins of one account at the same time: each failure must count.
        if (!(error instanceof RevisionConflict) || attempt >= 20) throw error
      }
    }
  }
  return {
    async check(account, address) {
      const now = clock()
      const until = lockedUntil((await records.find(account))?.value ?? emptyHistory, address, now)
      if (!until) return
      const minutes = Math.ceil((until.getTime() - now.getTime()) / 60_000)
      throw new AccessDenied(`user has exceeded maximum failed login attempts`, {
        hint: `try again in ${minutes} minutes, or ask an administrator to reset the account`,
      })
    },
    recordFailure: (account, address) =>
      change(account, (history) => afterFailure(history, address, clock(), settings)),
    recordSuccess: (account, address) => change(account, (history) => afterSuccess(history, address)),
    clear: (account) => change(account, ({ known }) => ({ known, buckets: {} })),
    async forget(account) {
      await records.delete(account)
    },
  }
}
