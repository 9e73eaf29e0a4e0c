/** Bytes of objects: small ones in memory, others in files of the lab's own directory. */

import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'

type Segment = { readonly size: number; readonly bytes: Buffer } | { readonly size: number; readonly file: string }

/** The content of an object, in pieces that follow one another. */
export interface Content {
  readonly size: number
  readonly segments: readonly Segment[]
}

const inMemoryBytes = 65_536
/** Bytes that are gathered for one write to a file. */
const writeBytes = 1024 * 1024

/** Keeps what comes; memory stays flat. Whatever goes wrong, no file is left behind. */
export async function keepContent(source: AsyncIterable<Buffer>, directory: string): Promise<Content> {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let size = 0
  const file = join(directory, randomUUID())
  let handle: FileHandle | undefined
  const flush = async (): Promise<void> => {
    handle ??= await open(file, 'wx', 0o600)
    if (waitingBytes > 0) await handle.writev(waiting)
    waiting = []
    waitingBytes = 0
  }
  try {
    for await (const chunk of source) {
      size += chunk.length
      waitingBytes += chunk.length
      waiting.push(chunk)
      if (waitingBytes > writeBytes) await flush()
    }
    if (handle || size > inMemoryBytes) await flush()
  } catch (error) {
    await handle?.close()
    await rm(file, { force: true })
    throw error
  }
  await handle?.close()
  if (size === 0) return { size, segments: [] }
  return { size, segments: [handle ? { size, file } : { size, bytes: Buffer.concat(waiting) }] }
}

/** One content after the other, without copying. */
export function joinContents(contents: readonly Content[]): Content {
  const segments = contents.flatMap((content) => content.segments)
  return { size: segments.reduce((sum, { size }) => sum + size, 0), segments }
}

/** Bytes `start` to `end`, both included. */
export function readContent(content: Content, start = 0, end = content.size - 1): Readable {
  return Readable.from(readSegments(content, start, end), { objectMode: false })
}

async function* readSegments({ segments }: Content, start: number, end: number): AsyncGenerator<Buffer> {
  let offset = 0
  for (const segment of segments) {
    const from = Math.max(start - offset, 0)
    const to = Math.min(end - offset, segment.size - 1)
    offset += segment.size
    if (from > to) continue
    if ('bytes' in segment) yield segment.bytes.subarray(from, to + 1)
    else yield* createReadStream(segment.file, { start: from, end: to, highWaterMark: 262_144 })
  }
}

/** Removes the files of a content that no object holds any more. */
export async function dropContent({ segments }: Content): Promise<void> {
  for (const segment of segments) if ('file' in segment) await rm(segment.file, { force: true })
}
