import type { Clock } from '#clock.ts'
import type { RateLimit } from './config.ts'

/**
 * By what an address is counted: itself, and of IPv6 its network, because whoever has one address of a /64 has all.
 *
 * @example limitKey('2001:db8::7') is '2001:db8:0:0'
 * @see RFC 6177 §2, RFC 4291 §2.5.1
 */
export function limitKey(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0')
  return [...before, ...zeros, ...after].slice(0, 4).join(':').toLowerCase()
}

/** Rates for many keys, such as client addresses. A key that has been quiet for long enough is forgotten. */
export class TokenBuckets {
  readonly #limit: RateLimit
  readonly #clock: Clock
  /** When the bucket will be full again, in milliseconds: all that has to be remembered of it. */
  readonly #fullAt = new Map<string, number>()

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit
    this.#clock = clock
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#fullAt.size
  }

  /** Takes one, if there is one. */
  take(key: string): boolean {
    if (this.isEmpty(key)) return false
    const now = this.#clock().getTime()
    if (this.#fullAt.size > 10_000) this.#forgetFull(now)
    this.#fullAt.set(key, Math.max(now, this.#fullAt.get(key) ?? 0) + this.#millisecondsEach())
    return true
  }

  isEmpty(key: string): boolean {
    return this.waitMs(key) > 0
  }

  /** How long until there is one. */
  waitMs(key: string): number {
    const fullAt = this.#fullAt.get(key) ?? 0
    const each = this.#millisecondsEach()
    return Math.max(0, fullAt - this.#clock().getTime() - (this.#limit.burst - 1) * each)
  }

  #millisecondsEach(): number {
    return 60_000 / this.#limit.perMinute
  }

  #forgetFull(now: number): void {
    for (const [key, fullAt] of this.#fullAt) if (fullAt <= now) this.#fullAt.delete(key)
  }
}
