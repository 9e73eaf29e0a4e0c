import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Records } from '#auth/records.ts'
import { InvalidInput, NotFound } from '#errors.ts'
import { Secret } from '#secret.ts'
import type { Write } from '#storage/backend.ts'
import { generateTotpSecret } from './totp.ts'

/** Why a token was made: `invite` for a new user, `reset` for one who starts over. */
export type TokenPurpose = 'invite' | 'reset'

/** Life of a token by purpose, in milliseconds: what is taken when none is asked for, and the most. */
const tokenTtlMs = {
  invite: { usual: 3_600_000, most: 48 * 3_600_000 },
  reset: { usual: 8 * 3_600_000, most: 24 * 3_600_000 },
} as const
const MIN_TTL_MS = 60_000

/** How long a token shall live. @param ttlMs 0: as usual @throws {InvalidInput} */
export function tokenLifeMs(purpose: TokenPurpose, ttlMs: number): number {
  const { usual, most } = tokenTtlMs[purpose]
  const life = ttlMs === 0 ? usual : ttlMs
  if (Number.isSafeInteger(life) && life >= MIN_TTL_MS && life <= most) return life
  throw new InvalidInput(`a link of this kind is valid for 1 minute to ${most / 3_600_000} hours`, {
    hint: 'choose another --ttl',
  })
}

export const userTokenSchema = z.object({
  user: z.string(),
  purpose: z.enum(['invite', 'reset']),
  /** RFC 3339. */
  created: z.string(),
  expires: z.string(),
  /** Base32; the same for the whole life of the token, so that a reloaded page shows the same code to scan. */
  totpSecret: z.string(),
  /** Set once the token was redeemed: it opens nothing any more. */
  used: z.boolean(),
})
export type UserTokenRecord = z.infer<typeof userTokenSchema>

/** A token that is good at this moment. */
export interface UserToken {
  readonly user: string
  readonly purpose: TokenPurpose
  readonly created: Date
  readonly expires: Date
  readonly totpSecret: Secret
}

/** Keeps the tokens: only their SHA-256 is stored, so that whoever reads the state cannot use them. */
export interface UserTokens {
  /** Makes a token; earlier ones of this user are void. @param ttlMs 0: the usual life. @throws {InvalidInput} */
  create(user: string, purpose: TokenPurpose, ttlMs: number): Promise<{ token: Secret; record: UserToken }>
  /** @throws {NotFound} with the same text for a token that never was, that expired and that was used */
  get(token: Secret): Promise<UserToken>
  /** The write that uses the token up, for a list of writes that also sets what the token is for. @throws {NotFound} */
  redeem(token: Secret): Promise<Write>
  /** Makes all tokens of a user void. */
  revoke(user: string): Promise<void>
}

export function createUserTokens({
  records,
  clock,
}: {
  records: Records<UserTokenRecord>
  clock: () => Date
}): UserTokens {
  const find = async (token: Secret): Promise<{ name: string; value: UserTokenRecord; revision: string }> => {
    const found = /^[0-9a-f]{32}$/.test(token.reveal()) ? await records.find(hashOf(token)) : undefined
    if (found && !found.value.used && new Date(found.value.expires) > clock()) return found
    throw new NotFound('this link is not valid: it expired, or it was used already', {
      hint: 'ask an administrator for a new one',
    })
  }
  const revoke = async (user: string): Promise<void> => {
    const theirs = (await records.list()).filter(({ value }) => value.user === user)
    for (const { name } of theirs) await records.delete(name)
  }
  return {
    async create(user, purpose, ttlMs) {
      const life = tokenLifeMs(purpose, ttlMs)
      await revoke(user)
      const token = new Secret(randomBytes(16).toString('hex'))
      const created = clock()
      const expires = new Date(created.getTime() + life)
      const value: UserTokenRecord = {
        user,
        purpose,
        created: created.toISOString(),
        expires: expires.toISOString(),
        totpSecret: generateTotpSecret().reveal(),
        used: false,
      }
      await records.put(hashOf(token), value, { expires, ifRevision: 'absent' })
      return { token, record: read(value) }
    },
    async get(token) {
      return read((await find(token)).value)
    },
    async redeem(token) {
      const { name, value, revision } = await find(token)
      return records.write(name, { ...value, used: true }, { expires: new Date(value.expires), ifRevision: revision })
    },
    revoke,
  }
}

const hashOf = (token: Secret): string => createHash('sha256').update(token.reveal()).digest('hex')

function read({ user, purpose, created, expires, totpSecret }: UserTokenRecord): UserToken {
  return {
    user,
    purpose,
    created: new Date(created),
    expires: new Date(expires),
    totpSecret: new Secret(totpSecret),
  }
}
