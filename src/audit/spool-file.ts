import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, copyFile, type FileHandle, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '#log.ts'
import type { AuditEvent } from './event.ts'
import {
  type DecodedFrames,
  decodeFrames,
  decodeHeader,
  encodeFrame,
  encodeHeader,
  type Frame,
  headerBytes,
  maxBodyBytes,
} from './spool-format.ts'

/** What a spool file held when it was opened. */
export interface SpoolContents {
  readonly file: SpoolFile
  /** Intents whose outcome is not in the file. */
  readonly openIntents: ReadonlyMap<string, AuditEvent>
  /** Events that are not acknowledged. */
  readonly pending: number
}

/**
 * Opens or makes a spool file. What a sudden end left of a half-written frame is cut off; bytes that no crash explains
 * are kept aside in `PATH.damaged` and reported.
 */
export async function openSpoolFile(path: string, log: Log): Promise<SpoolContents> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const found = await openExisting(path, log)
  const file = found ?? (await createFile(path, []))
  const openIntents = new Map<string, AuditEvent>()
  let pending = 0
  for (let at = headerBytes; ; ) {
    const { frames, length, rest } = await file.read(at)
    for (const { type, event, end } of frames) {
      if (type === 'I') openIntents.set(event.uid, event)
      if (type === 'O') openIntents.delete(event.uid)
      if (type !== 'I' && end > file.acknowledged) pending++
    }
    at += length
    if (rest !== 'nothing' && length === 0) await cut(file, { at, rest, log })
    if (length === 0) break
  }
  if (file.acknowledged > file.end) await file.acknowledge(headerBytes)
  return { file, openIntents, pending }
}

/**
 * The file and what is known of it. Neither `append` nor reads and `acknowledge` may overlap with `rewrite`, nor with
 * themselves: their caller sees to that.
 */
export class SpoolFile {
  readonly path: string
  #handle: FileHandle
  #generation: string
  #end: number
  #acknowledged: number

  constructor(path: string, state: { handle: FileHandle; generation: string; end: number; acknowledged: number }) {
    this.path = path
    this.#handle = state.handle
    this.#generation = state.generation
    this.#end = state.end
    this.#acknowledged = state.acknowledged
  }

  /** Bytes in the file. */
  get end(): number {
    return this.#end
  }

  /** Everything before this offset has been delivered. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Resolves when the frames are on disk; when it rejects, none of them is in the file. */
  async append(frames: Buffer): Promise<void> {
    try {
      const { bytesWritten } = await this.#handle.write(frames, 0, frames.length, this.#end)
      if (bytesWritten < frames.length) throw new Error(`only ${bytesWritten} of ${frames.length} bytes were written`)
    } catch (error) {
      await this.#handle.truncate(this.#end).catch(() => {}) // the next write goes to the same place
      throw error
    }
    this.#end += frames.length
  }

  /** The frames from `at` on, about a MiB of them and at most `limit`. */
  async read(at: number, limit?: number): Promise<DecodedFrames> {
    const bytes = Buffer.alloc(Math.min(READ_BYTES, Math.max(0, this.#end - at)))
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, at)
    return decodeFrames(bytes.subarray(0, bytesRead), at, limit)
  }

  /**
   * Notes that everything before `offset` has been delivered. Not flushed: after a power cut some of it is delivered
   * again, and the log keeps it once.
   */
  async acknowledge(offset: number): Promise<void> {
    await replaceFile(ackFile(this.path), `${this.#generation} ${offset}\n`)
    this.#acknowledged = offset
  }

  async cut(at: number): Promise<void> {
    await this.#handle.truncate(at)
    await this.#handle.datasync()
    this.#end = at
  }

  /** Makes the file anew without what was delivered, except the intents that are still open. */
  async rewrite(openIntents: Iterable<AuditEvent>): Promise<void> {
    const kept: Frame[] = []
    for (let at = this.#acknowledged; at < this.#end; ) {
      const { frames, length } = await this.read(at)
      if (length === 0) break
      kept.push(...frames)
      at += length
    }
    const keptIntents = new Set(kept.filter(({ type }) => type === 'I').map(({ event }) => event.uid))
    const earlier = [...openIntents].filter(({ uid }) => !keptIntents.has(uid))
    const next = await createFile(this.path, [
      ...earlier.map((event) => encodeFrame('I', event)),
      ...kept.map(({ type, event }) => encodeFrame(type, event)),
    ])
    await this.#handle.close()
    this.#handle = next.#handle
    this.#generation = next.#generation
    this.#end = next.#end
    await this.acknowledge(headerBytes)
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** Each write is on disk when it returns: one turn of a thread, where a write and a flush are two. POSIX open(2), O_DSYNC. */
const READ_WRITE_FLUSHED = constants.O_RDWR | constants.O_DSYNC
const READ_BYTES = 1024 * 1024 + maxBodyBytes

async function openExisting(path: string, log: Log): Promise<SpoolFile | undefined> {
  const handle = await open(path, READ_WRITE_FLUSHED).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
  if (handle === undefined) return undefined
  await handle.chmod(0o600)
  const header = Buffer.alloc(headerBytes)
  const { bytesRead } = await handle.read(header, 0, headerBytes, 0)
  const generation = decodeHeader(header.subarray(0, bytesRead))
  if (generation === undefined) {
    await handle.close()
    await rename(path, `${path}.damaged`)
    log.error('the audit spool is not readable and was moved aside', { path, moved_to: `${path}.damaged` })
    return undefined
  }
  const { size: end } = await handle.stat()
  return new SpoolFile(path, { handle, generation, end, acknowledged: await readAck(path, generation) })
}

/** Written beside, then moved into place: there is always one whole file. */
async function createFile(path: string, frames: readonly Buffer[]): Promise<SpoolFile> {
  const generation = randomBytes(8)
  const temporary = `${path}.new`
  const handle = await open(temporary, READ_WRITE_FLUSHED | constants.O_CREAT | constants.O_TRUNC, 0o600)
  const bytes = Buffer.concat([encodeHeader(generation), ...frames])
  await handle.writeFile(bytes)
  await handle.sync()
  await rename(temporary, path)
  await syncDirectory(dirname(path))
  const state = { handle, generation: generation.toString('hex'), end: bytes.length, acknowledged: headerBytes }
  return new SpoolFile(path, state)
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

async function cut(
  file: SpoolFile,
  { at, rest, log }: { at: number; rest: DecodedFrames['rest']; log: Log },
): Promise<void> {
  const lost = file.end - at
  if (rest === 'damaged') {
    const aside = `${file.path}.damaged`
    await copyFile(file.path, aside)
    await chmod(aside, 0o600)
    log.error('the audit spool is damaged: what follows the damage was kept aside', {
      path: aside,
      offset: at,
      bytes: lost,
    })
  } else log.warn('cut a half-written event off the audit spool', { path: file.path, bytes: lost })
  await file.cut(at)
}

const ackFile = (path: string): string => `${path}.ack`

/** An acknowledgement of another generation, or none, means that nothing of this file was delivered. */
async function readAck(path: string, generation: string): Promise<number> {
  const text = await readFile(ackFile(path), 'utf8').catch(() => '')
  const [, of, offset] = /^([0-9a-f]{16}) (\d{1,15})\n$/.exec(text) ?? []
  return of === generation ? Math.max(headerBytes, Number(offset)) : headerBytes
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}
