/** Access keys: the long-term ones of users and the temporary ones of sessions. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '#clock.ts'
import { Secret } from '#secret.ts'
import type { Account } from './account.ts'
import { newId, type User } from './account.ts'
import type { Principal, UserPrincipal } from './principal.ts'

/** A key pair as the lab knows it. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  /** Only temporary keys have one, and then it must come with every request. */
  readonly sessionToken: Secret | undefined
  readonly expiration: Date | undefined
  readonly principal: Principal
  readonly createdAt: Date
}

/** Every key of every account. */
export class AccessKeys {
  readonly #keys = new Map<string, AccessKey>()
  readonly #clock: Clock
  #sweepAt = 1000

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(accessKeyId: string): AccessKey | undefined {
    return this.#keys.get(accessKeyId)
  }

  /** A long-term key of a user: `AKIA…`. */
  createForUser(account: Account, user: User): AccessKey {
    const principal: UserPrincipal = { kind: 'user', account, user, temporary: false, arn: user.arn, userId: user.id }
    return this.#add({ prefix: 'AKIA', principal, seconds: undefined })
  }

  /** A temporary key: `ASIA…` with a session token. */
  issue(principal: Principal, seconds: number): AccessKey {
    return this.#add({ prefix: 'ASIA', principal, seconds })
  }

  delete(accessKeyId: string): boolean {
    return this.#keys.delete(accessKeyId)
  }

  /** The long-term keys of a user, oldest first. */
  ofUser(user: User): readonly AccessKey[] {
    return [...this.#keys.values()].filter(
      ({ principal, sessionToken }) => principal.kind === 'user' && principal.user === user && !sessionToken,
    )
  }

  /** Keys that ended a day ago are forgotten: until then their holder is told that they expired. */
  #sweep(now: Date): void {
    for (const [id, { expiration }] of this.#keys) {
      if (expiration && now.getTime() - expiration.getTime() > 24 * 3600_000) this.#keys.delete(id)
    }
    this.#sweepAt = this.#keys.size * 2 + 1000
  }

  #add({
    prefix,
    principal,
    seconds,
  }: {
    prefix: string
    principal: Principal
    seconds: number | undefined
  }): AccessKey {
    const now = this.#clock()
    const key: AccessKey = {
      accessKeyId: newId(prefix).slice(0, 20),
      secretAccessKey: new Secret(randomBytes(30).toString('base64')),
      sessionToken: seconds === undefined ? undefined : new Secret(randomBytes(192).toString('base64')),
      expiration: seconds === undefined ? undefined : new Date(Math.floor(now.getTime() / 1000 + seconds) * 1000),
      principal,
      createdAt: now,
    }
    this.#keys.set(key.accessKeyId, key)
    if (this.#keys.size > this.#sweepAt) this.#sweep(now)
    return key
  }
}

/** Compares texts of any length without telling where they differ. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
