import { type Argon2Parameters, argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { InvalidInput, LimitExceeded } from '#errors.ts'
import type { Secret } from '#secret.ts'

/** Bytes of a password in UTF-8. */
const passwordBytes = { min: 12, max: 128 } as const

/**
 * Argon2id with 19 MiB, two passes and one lane: the first choice of the OWASP Password Storage Cheat Sheet.
 * Each hash keeps its own parameters, so that raising these leaves older hashes valid.
 * @see RFC 9106 §3.1 inputs, §4 parameter choice
 */
const present = { memory: 19_456, passes: 2, parallelism: 1 } as const
const SALT_BYTES = 16
const TAG_BYTES = 32
/** What a stored hash may ask for at most: a damaged record must not stall the process. */
const MAX_MEMORY_KIB = 1_048_576
const MAX_PASSES = 16

/** Hashes and checks passwords, a few at a time. */
export interface PasswordHasher {
  /** For example `$argon2id$v=19$m=19456,t=2,p=1$SALT$TAG`, in the PHC string format. */
  hash(password: Secret): Promise<string>
  /**
   * Whether `password` is the one behind `hash`. Without a hash the answer is no and takes as long,
   * so that time does not tell whether a user exists.
   * @throws {LimitExceeded} when too many wait already
   */
  verify(password: Secret, hash: string | undefined): Promise<boolean>
}

export interface HasherLimits {
  /** Hashes at the same time; each takes 19 MiB and one thread of the pool. */
  readonly concurrency?: number
  /** How many more may wait. */
  readonly queue?: number
}

export function createPasswordHasher({ concurrency = 2, queue = 256 }: HasherLimits = {}): PasswordHasher {
  let running = 0
  const waiting: (() => void)[] = []

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running >= concurrency) {
      if (waiting.length >= queue) {
        throw new LimitExceeded('too many logins at the same time', { hint: 'wait a few seconds and try again' })
      }
      await new Promise<void>((resolve) => waiting.push(resolve)) // whoever ends hands on its place
    } else {
      running++
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }

  return {
    hash: (password) =>
      inTurn(async () => {
        const salt = randomBytes(SALT_BYTES)
        return encodeHash({ ...present, salt, tag: await derive(password, { ...present, salt, tagLength: TAG_BYTES }) })
      }),
    verify: (password, hash) =>
      inTurn(async () => {
        const known = hash === undefined ? undefined : decodeHash(hash)
        const { memory, passes, parallelism, salt, tag } = known ?? { ...present, salt: noSalt, tag: noTag }
        const derived = await derive(password, { memory, passes, parallelism, salt, tagLength: tag.length })
        return timingSafeEqual(derived, tag) && known !== undefined
      }),
  }
}

/** @throws {InvalidInput} unless it is 12 to 128 bytes long. */
export function checkNewPassword(password: Secret): void {
  const bytes = Buffer.byteLength(password.reveal())
  if (bytes >= passwordBytes.min && bytes <= passwordBytes.max) return
  throw new InvalidInput(`a password has ${passwordBytes.min} to ${passwordBytes.max} bytes, this one ${bytes}`, {
    hint: bytes < passwordBytes.min ? 'choose a longer one' : 'choose a shorter one',
  })
}

interface HashParts {
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
  readonly tag: Buffer
}

const noSalt = Buffer.alloc(SALT_BYTES)
const noTag = Buffer.alloc(TAG_BYTES)

function derive(
  password: Secret,
  { salt, ...parameters }: Omit<Argon2Parameters, 'message' | 'nonce'> & { salt: Buffer },
): Promise<Buffer> {
  const message = Buffer.from(password.reveal().normalize('NFC')) // one form, however the keyboard composes
  return new Promise((resolve, reject) => {
    argon2('argon2id', { message, nonce: salt, ...parameters }, (error, tag) => (error ? reject(error) : resolve(tag)))
  })
}

function encodeHash({ memory, passes, parallelism, salt, tag }: HashParts): string {
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(tag)}`
}

/** `undefined` for what no version of ours wrote: such a hash matches nothing. */
function decodeHash(hash: string): HashParts | undefined {
  const match =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,128})$/.exec(
      hash,
    )
  if (!match) return undefined
  const [, memory, passes, parallelism, salt = '', tag = ''] = match
  const parts = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) }
  if (parts.memory < 8 * parts.parallelism || parts.memory > MAX_MEMORY_KIB) return undefined
  if (parts.passes < 1 || parts.passes > MAX_PASSES || parts.parallelism < 1) return undefined
  return { ...parts, salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') }
}

const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
