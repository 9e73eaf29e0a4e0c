/**
 * Signed chunks of S3 uploads, `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` and `…-TRAILER`: check and unwrap, wrap and sign.
 *
 * States of the decoder: `size` (a header line) leads to `data` for a size above zero, `data` to `gap` (its CRLF), `gap`
 * to `size`; a size of zero leads to `trailer` (lines up to an empty one), and that to `done`.
 *
 * @see Amazon S3 API reference "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks",
 * "… Including Trailing Headers"
 */
import { createHash } from 'node:crypto'
import { InvalidInput } from '#errors.ts'
import { type ChunkSeed, emptyHash, formatScope, hmac, sha256Hex } from './sigv4.ts'
import { equal } from './sigv4-verify.ts'

export const streamingPayload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
export const streamingPayloadTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
export const streamingUnsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

/** A trailing header: `['x-amz-checksum-crc32c', 'sOO8/Q==']`. */
export type Trailer = readonly [name: string, value: string]

export interface ChunkDecoderOptions {
  /** From the verified signature of the request. */
  readonly seed: ChunkSeed
  /** Names announced in `x-amz-trailer`, lower case; left out: the body has no trailer. */
  readonly trailerNames?: readonly string[]
  /** From `x-amz-decoded-content-length`. */
  readonly decodedLength?: number
  /** Largest chunk, which must be held in memory to be checked; 16 MiB unless given. */
  readonly maxChunkBytes?: number
}

/** A body whose framing or signatures are not what the request promised. */
export class InvalidChunk extends InvalidInput {}

/** What is left to send when the whole body has been verified. */
export interface DecodedEnd {
  /** The last data, withheld until now. */
  readonly data: Buffer
  readonly trailers: readonly Trailer[]
}

/**
 * Takes the body in pieces of any size. Gives a chunk only after its signature held and a later chunk followed, so that
 * whoever sends on what this gives cannot complete an upload that was tampered with at its end.
 */
export class ChunkDecoder {
  readonly #options: ChunkDecoderOptions
  #state: 'size' | 'data' | 'gap' | 'trailer' | 'done' = 'size'
  #pending: Buffer = Buffer.alloc(0)
  #pieces: Buffer[] = []
  #missing = 0
  #claimed = ''
  #previous: string
  #withheld: Buffer = Buffer.alloc(0)
  #released: Buffer[] = []
  #total = 0
  #trailers: Trailer[] = []

  constructor(options: ChunkDecoderOptions) {
    this.#options = options
    this.#previous = options.seed.signature
  }

  /**
   * Data that may go on, possibly none.
   *
   * @throws {InvalidChunk} and then the decoder may not be used further
   */
  push(bytes: Buffer): readonly Buffer[] {
    this.#released = []
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    while (this.#pending.length > 0 && this.#step()) {
      // each step takes what it needs
    }
    return this.#released
  }

  /**
   * The rest, when the body has ended.
   *
   * @throws {InvalidChunk} when it ended early, or its length is not the announced one
   */
  end(): DecodedEnd {
    if (this.#state !== 'done') throw invalid('the body ends before its final chunk')
    if (this.#options.decodedLength !== undefined && this.#options.decodedLength !== this.#total) {
      throw invalid('the body is not as long as x-amz-decoded-content-length says')
    }
    return { data: this.#withheld, trailers: this.#trailers }
  }

  #step(): boolean {
    switch (this.#state) {
      case 'size':
        return this.#readSize()
      case 'data':
        return this.#readData()
      case 'gap':
        return this.#readGap()
      case 'trailer':
        return this.#readTrailer()
      default:
        throw invalid('data follows the final chunk')
    }
  }

  #readSize(): boolean {
    const line = this.#takeLine(MAX_SIZE_LINE)
    if (line === undefined) return false
    const [, size = '', signature = ''] = /^([0-9A-Fa-f]{1,8});chunk-signature=([0-9a-f]{64})$/.exec(line) ?? []
    if (size === '') throw invalid('a chunk has no well-formed header')
    this.#missing = Number.parseInt(size, 16)
    if (this.#missing > (this.#options.maxChunkBytes ?? MAX_CHUNK)) throw invalid('a chunk is larger than the limit')
    this.#claimed = signature
    this.#total += this.#missing
    if (this.#options.decodedLength !== undefined && this.#total > this.#options.decodedLength) {
      throw invalid('the body is longer than x-amz-decoded-content-length says')
    }
    if (this.#missing > 0) this.#state = 'data'
    else {
      this.#verify(Buffer.alloc(0))
      this.#state = 'trailer'
    }
    return true
  }

  #readData(): boolean {
    const piece = this.#take(Math.min(this.#missing, this.#pending.length))
    this.#pieces.push(piece)
    this.#missing -= piece.length
    if (this.#missing > 0) return true
    const chunk = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#verify(chunk)
    if (this.#withheld.length > 0) this.#released.push(this.#withheld)
    this.#withheld = chunk
    this.#state = 'gap'
    return true
  }

  #readGap(): boolean {
    if (this.#pending.length < 2) return false
    if (this.#take(2).toString('latin1') !== '\r\n') throw invalid('a chunk is longer than its header says')
    this.#state = 'size'
    return true
  }

  #readTrailer(): boolean {
    const line = this.#takeLine(MAX_TRAILER_LINE)
    if (line === undefined) return false
    if (line === '') {
      this.#verifyTrailer()
      this.#state = 'done'
      return true
    }
    const [, name = '', value = ''] = /^([A-Za-z0-9-]{1,64}):([\x20-\x7e]*)$/.exec(line) ?? []
    if (name === '' || this.#options.trailerNames === undefined) throw invalid('the body ends with an unexpected line')
    if (this.#trailers.length > this.#options.trailerNames.length) throw invalid('the trailer has too many lines')
    this.#trailers.push([name.toLowerCase(), value.trim()])
    return true
  }

  #verify(chunk: Buffer): void {
    const expected = chunkSignature(this.#options.seed, this.#previous, [chunk])
    if (!equal(expected, this.#claimed)) throw invalid('a chunk signature does not match its data')
    this.#previous = expected
  }

  #verifyTrailer(): void {
    const { trailerNames, seed } = this.#options
    if (trailerNames === undefined) return
    const last = this.#trailers.pop()
    if (last === undefined || last[0] !== 'x-amz-trailer-signature') throw invalid('the trailer is not signed')
    const names = this.#trailers.map(([name]) => name).sort()
    if (names.join() !== [...trailerNames].sort().join()) throw invalid('the trailer is not the one announced')
    const expected = trailerSignature(seed, this.#previous, this.#trailers)
    if (!equal(expected, last[1])) throw invalid('the trailer signature does not match')
  }

  #take(count: number): Buffer {
    const taken = this.#pending.subarray(0, count)
    this.#pending = this.#pending.subarray(count)
    return taken
  }

  #takeLine(limit: number): string | undefined {
    const at = this.#pending.indexOf('\r\n')
    if (at > limit || (at === -1 && this.#pending.length > limit)) throw invalid('a line of the framing is too long')
    if (at === -1) return undefined
    return this.#take(at + 2).toString('latin1', 0, at)
  }
}

/**
 * Unwraps a whole body; `onTrailers` is called after everything verified, before the last data is given.
 *
 * @throws {InvalidChunk} from the iterator; what was given before is then no complete body
 */
export async function* decodeChunks(
  body: AsyncIterable<Buffer>,
  options: ChunkDecoderOptions & { readonly onTrailers?: (trailers: readonly Trailer[]) => void },
): AsyncGenerator<Buffer> {
  const decoder = new ChunkDecoder(options)
  for await (const bytes of body) yield* decoder.push(bytes)
  const { data, trailers } = decoder.end()
  options.onTrailers?.(trailers)
  if (data.length > 0) yield data
}

export interface ChunkEncoderOptions {
  /** From `signRequest`. */
  readonly seed: ChunkSeed
  /** Asked when the body has ended; left out: no trailer. */
  readonly trailers?: () => readonly Trailer[]
  readonly chunkBytes?: number
}

/** Wraps a body in signed chunks of 64 KiB. An error of the body ends it without a final chunk. */
export async function* encodeChunks(
  body: AsyncIterable<Uint8Array>,
  { seed, trailers, chunkBytes = CHUNK_BYTES }: ChunkEncoderOptions,
): AsyncGenerator<Buffer> {
  let previous = seed.signature
  let gathered: Uint8Array[] = []
  let size = 0
  const wrap = (): Buffer => {
    previous = chunkSignature(seed, previous, gathered)
    const head = Buffer.from(`${size.toString(16)};chunk-signature=${previous}\r\n`)
    const wrapped = Buffer.concat([head, ...gathered, CRLF])
    gathered = []
    size = 0
    return wrapped
  }
  for await (const bytes of body) {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + chunkBytes - size)
      gathered.push(piece)
      size += piece.length
      at += piece.length
      if (size === chunkBytes) yield wrap()
    }
  }
  if (size > 0) yield wrap()
  previous = chunkSignature(seed, previous, [])
  yield Buffer.from(
    `0;chunk-signature=${previous}\r\n${trailers === undefined ? '' : trailerLines(seed, previous, trailers())}\r\n`,
  )
}

/**
 * Bytes that `encodeChunks` will write, for `Content-Length`; `undefined` when a trailer of unknown length is announced.
 */
export function encodedLength(
  decodedLength: number,
  options: { readonly trailerNames?: readonly string[]; readonly chunkBytes?: number } = {},
): number | undefined {
  const { trailerNames, chunkBytes = CHUNK_BYTES } = options
  const full = Math.floor(decodedLength / chunkBytes)
  const rest = decodedLength % chunkBytes
  const frame = (size: number): number => size.toString(16).length + SIGNATURE_EXTENSION + 4 + size
  let length = full * frame(chunkBytes) + (rest > 0 ? frame(rest) : 0) + frame(0)
  if (trailerNames === undefined) return length
  for (const name of trailerNames) {
    const value = CHECKSUM_LENGTH[name]
    if (value === undefined) return undefined
    length += name.length + 1 + value + 2
  }
  return length + 'x-amz-trailer-signature:'.length + 64 + 2
}

const CHUNK_BYTES = 65_536
const MAX_CHUNK = 16 * 1024 * 1024
const MAX_SIZE_LINE = 96
const MAX_TRAILER_LINE = 1024
const SIGNATURE_EXTENSION = ';chunk-signature='.length + 64
const CRLF = Buffer.from('\r\n')
/** Base64 of 4, 8, 20, 32, 64 and 16 bytes. */
const CHECKSUM_LENGTH: Readonly<Record<string, number>> = {
  'x-amz-checksum-crc32': 8,
  'x-amz-checksum-crc32c': 8,
  'x-amz-checksum-crc64nvme': 12,
  'x-amz-checksum-sha1': 28,
  'x-amz-checksum-sha256': 44,
  'x-amz-checksum-sha512': 88,
  'x-amz-checksum-md5': 24,
  'x-amz-checksum-xxhash3': 12,
  'x-amz-checksum-xxhash64': 12,
  'x-amz-checksum-xxhash128': 24,
}

function chunkSignature({ key, scope, amzDate }: ChunkSeed, previous: string, pieces: readonly Uint8Array[]): string {
  const sha256 = createHash('sha256')
  for (const piece of pieces) sha256.update(piece)
  const hash = sha256.digest('hex')
  const text = ['AWS4-HMAC-SHA256-PAYLOAD', amzDate, formatScope(scope), previous, emptyHash, hash].join('\n')
  return hmac(key, text).toString('hex')
}

function trailerSignature({ key, scope, amzDate }: ChunkSeed, previous: string, trailers: readonly Trailer[]): string {
  const lines = trailers.map(([name, value]) => `${name}:${value}\n`).sort()
  const text = ['AWS4-HMAC-SHA256-TRAILER', amzDate, formatScope(scope), previous, sha256Hex(lines.join(''))].join('\n')
  return hmac(key, text).toString('hex')
}

function trailerLines(seed: ChunkSeed, previous: string, trailers: readonly Trailer[]): string {
  const lines = trailers.map(([name, value]) => `${name}:${value}\r\n`).sort()
  return `${lines.join('')}x-amz-trailer-signature:${trailerSignature(seed, previous, trailers)}\r\n`
}

function invalid(message: string): InvalidChunk {
  return new InvalidChunk(`invalid signed upload: ${message}`, {
    hint: 'send the upload again; if it stays, report the client and its version',
  })
}
