/**
 * The bytes of a spool file: a header, then frames, each written once and never changed.
 *
 *     header   "ASPOOL1\n", 8 random bytes: the generation, new whenever the file is made anew
 *     frame    length of the body (4 bytes, big-endian), CRC-32 of the body (4 bytes), body
 *     body     one letter, then the JSON of an audit event
 *
 * Letters: `E` an event. `I` an intent: the event of a call that is about to be made, to be delivered only if its
 * outcome never comes. `O` the outcome of the intent with the same uid: the event as it is delivered.
 */
import { crc32 } from 'node:zlib'
import { isAuditEvent } from './codes.ts'
import type { AuditEvent } from './event.ts'

export type FrameType = 'E' | 'I' | 'O'

export interface Frame {
  readonly type: FrameType
  readonly event: AuditEvent
  /** Offset of the first byte after it. */
  readonly end: number
}

/** What stands at the start of `bytes`. */
export interface DecodedFrames {
  readonly frames: readonly Frame[]
  /** Bytes of whole, sound frames. */
  readonly length: number
  /** What follows them: nothing, the beginning of a frame, or bytes that can not be one. */
  readonly rest: 'nothing' | 'incomplete' | 'damaged'
}

const MAGIC = Buffer.from('ASPOOL1\n')
const GENERATION_BYTES = 8
const PREFIX_BYTES = 8

export const headerBytes: number = MAGIC.length + GENERATION_BYTES
/** Longer bodies are not written, and not believed when read. */
export const maxBodyBytes: number = 256 * 1024

/** @param generation 8 bytes */
export function encodeHeader(generation: Buffer): Buffer {
  return Buffer.concat([MAGIC, generation])
}

/** The generation in hexadecimal, or undefined if this is not the header of a spool. */
export function decodeHeader(bytes: Buffer): string | undefined {
  if (bytes.length < headerBytes || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  return bytes.subarray(MAGIC.length, headerBytes).toString('hex')
}

/** One frame. The event has been trimmed before. */
export function encodeFrame(type: FrameType, event: AuditEvent): Buffer {
  const body = Buffer.from(type + JSON.stringify(event))
  if (body.length > maxBodyBytes) throw new Error(`an event of ${body.length} bytes was not trimmed`)
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(body.length)
  prefix.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([prefix, body])
}

/**
 * Reads frames from the start of `bytes` and stops at the first byte that belongs to none. Never throws: the bytes may
 * be what a crash or a broken disk left. `start` is the offset of `bytes` in its file. At most `limit` frames are read.
 */
export function decodeFrames(bytes: Buffer, start: number, limit = Number.POSITIVE_INFINITY): DecodedFrames {
  const frames: Frame[] = []
  let at = 0
  const stop = (rest: DecodedFrames['rest']): DecodedFrames => ({ frames, length: at, rest })
  while (at < bytes.length && frames.length < limit) {
    if (bytes.length - at < PREFIX_BYTES) return stop('incomplete')
    const length = bytes.readUInt32BE(at)
    if (length === 0 || length > maxBodyBytes) return stop('damaged')
    const body = bytes.subarray(at + PREFIX_BYTES, at + PREFIX_BYTES + length)
    if (body.length < length) return stop('incomplete')
    const decoded = crc32(body) === bytes.readUInt32BE(at + 4) ? decodeBody(body) : undefined
    if (decoded === undefined) return stop('damaged')
    at += PREFIX_BYTES + length
    frames.push({ ...decoded, end: start + at })
  }
  return stop('nothing')
}

function decodeBody(body: Buffer): { type: FrameType; event: AuditEvent } | undefined {
  const type = String.fromCharCode(body[0] ?? 0)
  if (type !== 'E' && type !== 'I' && type !== 'O') return undefined
  try {
    const event: unknown = JSON.parse(body.toString('utf8', 1))
    return isAuditEvent(event) ? { type, event } : undefined
  } catch {
    return undefined
  }
}
