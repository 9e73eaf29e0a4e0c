/** As much of WebSocket as the message channels of Session Manager need, for both ends. @see RFC 6455 */
import { createHash, randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'

/** One unfragmented frame. */
export interface Frame {
  readonly opcode: number
  readonly payload: Buffer
}

/** @see RFC 6455 §5.2 */
export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** What the server answers to `Sec-WebSocket-Key`. @see RFC 6455 §4.2.2 */
export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

/** A frame of less than 64 KiB. Clients mask what they send. @see RFC 6455 §5.2, §5.3 */
export function frame(opcode: number, payload: string | Buffer, { masked = false } = {}): Buffer {
  const content = Buffer.from(payload)
  if (content.length > 65_535) throw new RangeError('this frame is too long for the lab')
  const bit = masked ? 0x80 : 0
  const head =
    content.length < 126
      ? Buffer.from([0x80 | opcode, bit | content.length])
      : Buffer.from([0x80 | opcode, bit | 126, content.length >> 8, content.length & 0xff])
  if (!masked) return Buffer.concat([head, content])
  const mask = randomBytes(4)
  return Buffer.concat([head, mask, content.map((byte, index) => byte ^ (mask[index % 4] ?? 0))])
}

/** The frames of one direction, until the stream ends. Whoever stops earlier may still write. */
export async function* framesOf(stream: Duplex): AsyncGenerator<Frame> {
  let held = Buffer.alloc(0)
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    held = Buffer.concat([held, chunk])
    for (let next = readFrame(held); next !== undefined; next = readFrame(held)) {
      held = held.subarray(next.size)
      yield next.frame
    }
  }
}

function readFrame(bytes: Buffer): { readonly frame: Frame; readonly size: number } | undefined {
  if (bytes.length < 2) return undefined
  const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)]
  if ((first & 0x70) !== 0 || (second & 0x7f) === 127) throw new RangeError('a frame that the lab does not read')
  const isLong = (second & 0x7f) === 126
  if (isLong && bytes.length < 4) return undefined
  const length = isLong ? bytes.readUInt16BE(2) : second & 0x7f
  const maskAt = isLong ? 4 : 2
  const isMasked = (second & 0x80) !== 0
  const start = maskAt + (isMasked ? 4 : 0)
  if (bytes.length < start + length) return undefined
  const mask = bytes.subarray(maskAt, start)
  const content = Buffer.from(bytes.subarray(start, start + length))
  const payload = isMasked ? Buffer.from(content.map((byte, index) => byte ^ (mask[index % 4] ?? 0))) : content
  return { frame: { opcode: first & 0x0f, payload }, size: start + length }
}
