/**
 * The `aws-chunked` framing of S3 uploads: each chunk under its own signature, or a checksum in a trailer, or both.
 *
 * @see Amazon S3 API Reference, "Signature Calculations: Transferring Payload in Multiple Chunks" and "... trailing headers"
 */
import { createHash, type Hash } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import { sameText } from './credentials.ts'
import { hmac, sha256, type VerifiedSignature } from './signature.ts'

/** What the headers of a request promised of its framed body. */
export interface ChunkRules {
  /** Chunks carry signatures that go on from this one; `undefined` for the unsigned form. */
  readonly signature: VerifiedSignature | undefined
  /** Lower-case names that `x-amz-trailer` promised. */
  readonly trailers: readonly string[]
  /** `x-amz-decoded-content-length` */
  readonly decodedLength: number
}

/** Only the last chunk may be smaller. */
const minChunkBytes = 8192
const maxHeaderBytes = 256
const maxTrailerBytes = 16_384

/**
 * Takes framed bytes in any pieces and gives the data in them. Data is given before the signature of its chunk is
 * checked: nothing may come of it before `end` returned.
 *
 * States: `header` until a size line is whole, `data` until its bytes came, `gap` until CRLF, then `header` again;
 * after the chunk of size 0, `trailer` to the end.
 */
export class ChunkDecoder {
  readonly #rules: ChunkRules
  #state: 'header' | 'data' | 'gap' | 'trailer' = 'header'
  #pending = Buffer.alloc(0)
  #left = 0
  #size = 0
  #total = 0
  #sawSmall = false
  #hash: Hash = createHash('sha256')
  #stated = ''
  #previous: string

  constructor(rules: ChunkRules) {
    this.#rules = rules
    this.#previous = rules.signature?.claim.signature ?? ''
  }

  /** @throws {AwsError} as soon as a chunk breaks a rule */
  push(piece: Buffer): readonly Buffer[] {
    const data: Buffer[] = []
    let bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, piece]) : piece
    this.#pending = Buffer.alloc(0)
    while (bytes.length > 0) {
      if (this.#state === 'data') {
        const part = bytes.subarray(0, this.#left)
        bytes = bytes.subarray(part.length)
        this.#left -= part.length
        if (this.#rules.signature) this.#hash.update(part)
        data.push(part)
        if (this.#left === 0) this.#state = 'gap'
      } else if (this.#state === 'gap') {
        if (bytes.length < 2) return this.#keep(bytes, data)
        if (bytes[0] !== 13 || bytes[1] !== 10) throw incomplete()
        bytes = bytes.subarray(2)
        this.#endChunk()
        this.#state = 'header'
      } else if (this.#state === 'header') {
        const end = bytes.indexOf('\r\n')
        if (end > maxHeaderBytes || (end < 0 && bytes.length > maxHeaderBytes)) throw incomplete()
        if (end < 0) return this.#keep(bytes, data)
        this.#startChunk(bytes.toString('latin1', 0, end))
        bytes = bytes.subarray(end + 2)
      } else {
        if (bytes.length > maxTrailerBytes) throw malformedTrailer()
        return this.#keep(bytes, data)
      }
    }
    return data
  }

  /**
   * To be called when the body ended. Gives the trailers by lower-case name.
   *
   * @throws {AwsError} for a missing end, a wrong length, or a trailer that is not as promised and signed
   */
  end(): ReadonlyMap<string, string> {
    if (this.#state !== 'trailer') throw incomplete()
    if (this.#total !== this.#rules.decodedLength) throw incomplete()
    const text = this.#pending.toString('latin1')
    const signed = this.#rules.signature !== undefined
    if (this.#rules.trailers.length === 0) {
      if (text !== '\r\n') throw incomplete()
      return new Map()
    }
    const lines = text.split(/\r?\n/).filter((line) => line !== '')
    // Some clients end a trailer with LF, or with LF and an empty line before its signature, as the reference shows it.
    if (!/^(?:[^\r\n]+(?:\r\n|\n\r\n|\n))+\r\n$/.test(text)) throw malformedTrailer()
    const last = signed ? /^x-amz-trailer-signature:\s*([0-9a-f]{64})$/.exec(lines.pop() ?? '') : undefined
    if (signed && !last) throw malformedTrailer()
    const trailers = new Map(
      lines.map((line) => {
        const [, name, value] = /^([A-Za-z0-9-]+):\s*(.*?)\s*$/.exec(line) ?? []
        if (name === undefined || value === undefined) throw malformedTrailer()
        return [name.toLowerCase(), value] as const
      }),
    )
    if (trailers.size !== lines.length || this.#rules.trailers.some((name) => !trailers.has(name)))
      throw malformedTrailer()
    if (trailers.size !== this.#rules.trailers.length) throw malformedTrailer()
    if (last) this.#checkTrailer(trailers, last[1] ?? '')
    return trailers
  }

  #keep(bytes: Buffer, data: readonly Buffer[]): readonly Buffer[] {
    this.#pending = Buffer.from(bytes)
    return data
  }

  #startChunk(line: string): void {
    const pattern = this.#rules.signature
      ? /^([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})$/
      : /^([0-9a-fA-F]{1,16})$/
    const match = pattern.exec(line)
    if (!match) throw incomplete()
    this.#size = Number.parseInt(match[1] ?? '', 16)
    this.#stated = match[2] ?? ''
    this.#total += this.#size
    if (this.#total > this.#rules.decodedLength) throw incomplete()
    if (this.#size > 0 && this.#sawSmall) {
      throw new AwsError(
        'InvalidChunkSizeError',
        403,
        'Only the last chunk is allowed to have a size less than 8192 bytes',
      )
    }
    this.#sawSmall = this.#size < minChunkBytes
    this.#left = this.#size
    this.#hash = createHash('sha256')
    if (this.#size > 0) this.#state = 'data'
    else {
      this.#endChunk()
      this.#state = 'trailer'
    }
  }

  #endChunk(): void {
    this.#check('AWS4-HMAC-SHA256-PAYLOAD', [sha256(''), this.#hash.digest('hex')], this.#stated)
  }

  #checkTrailer(trailers: ReadonlyMap<string, string>, stated: string): void {
    const canonical = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('')
    this.#check('AWS4-HMAC-SHA256-TRAILER', [sha256(canonical)], stated)
  }

  #check(kind: string, hashes: readonly string[], stated: string): void {
    const { signature } = this.#rules
    if (!signature) return
    const { claim, scope, signingKey } = signature
    const expected = hmac(signingKey, [kind, claim.timestamp, scope, this.#previous, ...hashes].join('\n')).toString(
      'hex',
    )
    if (!sameText(expected, stated)) {
      throw new AwsError(
        'SignatureDoesNotMatch',
        403,
        'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
      )
    }
    this.#previous = expected
  }
}

const incomplete = (): AwsError => new AwsError('IncompleteBody', 400, 'The request body terminated unexpectedly')
const malformedTrailer = (): AwsError =>
  new AwsError(
    'MalformedTrailerError',
    400,
    'The request contained trailing data that was not well-formed or did not conform to our published schema.',
  )
