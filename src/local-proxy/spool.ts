import { createHash, randomBytes } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { LimitExceeded } from '#errors.ts'

export interface SpoolOptions {
  /** Kept in memory up to here, then in a file; 1 MiB unless given. */
  readonly memoryBytes?: number
  /** More is refused. */
  readonly maxBytes: number
}

/** A body that was read to its end. Disposing removes its file. */
export interface SpooledBody extends AsyncDisposable {
  readonly size: number
  /** SHA-256, lower-case hex. */
  readonly hash: string
  /** The body from its start; to be used once. */
  open(): Readable
}

/** A body that is larger than the set limit. */
export class BodyTooLarge extends LimitExceeded {
  constructor(maxBytes: number) {
    super(`the request body is larger than ${maxBytes} bytes`, {
      hint: 'send it in parts, or raise TELEPORT_AWS_MAX_BODY_BYTES for this command',
    })
  }
}

/**
 * Reads a body whose hash has to be known before its first byte goes on.
 *
 * @throws {BodyTooLarge} as soon as it is known
 */
export async function spoolBody(
  body: AsyncIterable<Buffer>,
  { memoryBytes = 1_048_576, maxBytes }: SpoolOptions,
): Promise<SpooledBody> {
  await using stack = new AsyncDisposableStack()
  const hash = createHash('sha256')
  let size = 0
  let held: Buffer[] = []
  let file: Awaited<ReturnType<typeof open>> | undefined
  for await (const bytes of body) {
    size += bytes.length
    if (size > maxBytes) throw new BodyTooLarge(maxBytes)
    hash.update(bytes)
    held.push(bytes)
    if (size <= memoryBytes) continue
    if (file === undefined) {
      const path = join(tmpdir(), `.aws-request-${randomBytes(12).toString('hex')}`)
      const opened = await open(path, 'wx+', 0o600)
      stack.defer(async () => {
        await opened.close()
        await rm(path, { force: true })
      })
      file = opened
    }
    await file.writev(held)
    held = []
  }
  const owned = stack.move()
  const stored = file
  return {
    size,
    hash: hash.digest('hex'),
    open: () => (stored === undefined ? Readable.from(held) : stored.createReadStream({ start: 0, autoClose: false })),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}
