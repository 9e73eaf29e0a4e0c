/** Bytes of objects: small ones in memory, others in files of the lab's own directory. */

import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'

type Segment = { readonly size: number; readonly bytes: Buffer } | { readonly size: number; readonly file: string }

/** The content of an object, in pieces that follow one another. */
export interface Content {
  readonly size: number
  readonly segments: readonly Segment[]
}

const inMemoryBytes = 65_536

/** Keeps what comes; memory stays flat. Whatever goes wrong, no file is left behind. */
export async function keepContent(source: AsyncIterable<Buffer>, directory: string): Promise<Content> {
  const chunks: Buffer[] = []
  let size = 0
  const file = join(directory, randomUUID())
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    for await (const chunk of source) {
      size += chunk.length
      if (!handle) {
        chunks.push(chunk)
        if (size <= inMemoryBytes) continue
        handle = await open(file, 'wx', 0o600)
        await handle.writeFile(Buffer.concat(chunks))
      } else await handle.writeFile(chunk)
    }
  } catch (error) {
    await handle?.close()
    await rm(file, { force: true })
    throw error
  }
  await handle?.close()
  if (size === 0) return { size, segments: [] }
  return { size, segments: [handle ? { size, file } : { size, bytes: Buffer.concat(chunks) }] }
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
