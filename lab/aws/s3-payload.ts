/** Bodies of S3 uploads: unframed, with every hash, chunk signature, trailer and checksum checked before anything is kept. */
import { createHash } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import type { Call } from './call.ts'
import { type Checksum, type ChecksumAlgorithm, checksumAlgorithms, startChecksum } from './checksum.ts'
import { ChunkDecoder } from './chunks.ts'
import { payloadModeOf, streamingModes } from './payload-mode.ts'
import { type Content, dropContent, keepContent } from './s3-content.ts'

/** A checksum that the client stated and that was found right. */
export interface StatedChecksum {
  readonly algorithm: ChecksumAlgorithm
  /** Base64, with `-3` behind it where it is a checksum of three parts' checksums. */
  readonly value: string
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
}

/** A body that kept all its promises. */
export interface ReceivedBody {
  readonly content: Content
  /** Hex of MD5, as in an ETag. */
  readonly md5: string
  readonly checksum: StatedChecksum | undefined
}

/** The most that one request may carry: 5 GiB. */
const maxPutBytes = 5 * 1024 ** 3

/**
 * Receives the body of PutObject or UploadPart into `directory`.
 *
 * @throws {AwsError} XAmzContentSHA256Mismatch, SignatureDoesNotMatch, BadDigest, IncompleteBody and their kin
 */
export async function receiveBody(call: Call, directory: string): Promise<ReceivedBody> {
  const { headers } = call
  const mode = payloadModeOf(call.request)
  const framed = streamingModes.some((known) => known === mode)
  if (!framed && mode.startsWith('STREAMING-')) {
    throw new AwsError('NotImplemented', 501, 'A header you provided implies functionality that is not implemented.', {
      fields: { Header: 'x-amz-content-sha256' },
    })
  }
  if (!framed && !['signed', 'UNSIGNED-PAYLOAD', 'none'].includes(mode)) {
    throw new AwsError(
      'InvalidArgument',
      400,
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 value.',
    )
  }
  const length = headers['content-length']
  if (length === undefined && !(framed && headers['x-amz-decoded-content-length'])) throw missingLength()
  if (Number(length) > maxPutBytes + 64 * 1024 ** 2) {
    throw new AwsError('EntityTooLarge', 400, 'Your proposed upload exceeds the maximum allowed size', {
      fields: { ProposedSize: String(length), MaxSizeAllowed: String(maxPutBytes) },
    })
  }
  const stated = statedChecksum(call)
  const md5 = startChecksum('md5')
  const running = stated && startChecksum(stated.algorithm)
  const decoder = framed ? decoderFor(call, mode) : undefined
  const hash = mode === 'signed' ? createHash('sha256') : undefined
  const trailers = { found: new Map<string, string>() as ReadonlyMap<string, string> }
  const content = await keepContent(decoded(call, { decoder, sums: [md5, running, hash], trailers }), directory)
  try {
    const computed = hash?.digest('hex')
    const statedHash = String(headers['x-amz-content-sha256'])
    if (computed !== undefined && computed !== statedHash) throw contentHashMismatch(statedHash, computed)
    const digest = md5.digest()
    const contentMd5 = headers['content-md5']
    if (typeof contentMd5 === 'string') checkMd5(contentMd5, digest)
    const checksum = stated && running ? checkChecksum(stated, running, trailers.found) : undefined
    return { content, md5: digest.toString('hex'), checksum }
  } catch (error) {
    await dropContent(content)
    throw error
  }
}

interface Decoding {
  readonly decoder: ChunkDecoder | undefined
  readonly sums: readonly (Pick<Checksum, 'update'> | undefined)[]
  readonly trailers: { found: ReadonlyMap<string, string> }
}

async function* decoded(call: Call, { decoder, sums, trailers }: Decoding): AsyncGenerator<Buffer> {
  for await (const piece of call.openBody()) {
    for (const data of decoder ? decoder.push(piece) : [piece]) {
      for (const sum of sums) sum?.update(data)
      yield data
    }
  }
  if (decoder) trailers.found = decoder.end()
}

function decoderFor(call: Call, mode: string): ChunkDecoder {
  const signed = mode !== 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
  const length = call.headers['x-amz-decoded-content-length']
  if (typeof length !== 'string' || !/^\d{1,16}$/.test(length)) throw missingLength()
  const trailers = trailerNames(call)
  if (mode.endsWith('-TRAILER') !== trailers.length > 0) {
    throw new AwsError('InvalidRequest', 400, 'The value specified in the x-amz-trailer header is not supported')
  }
  return new ChunkDecoder({
    signature: signed ? call.caller?.signature : undefined,
    trailers,
    decodedLength: Number(length),
  })
}

function trailerNames(call: Call): readonly string[] {
  const header = call.headers['x-amz-trailer']
  return typeof header === 'string' ? header.split(',').map((name) => name.trim().toLowerCase()) : []
}

interface Stated {
  readonly algorithm: ChecksumAlgorithm
  /** `undefined` when it comes in the trailer. */
  readonly value: string | undefined
}

function statedChecksum(call: Call): Stated | undefined {
  const inTrailer = trailerNames(call)
  const found = checksumAlgorithms.flatMap((algorithm): Stated[] => {
    const name = `x-amz-checksum-${algorithm}`
    const value = call.headers[name]
    if (typeof value === 'string') return [{ algorithm, value }]
    return inTrailer.includes(name) ? [{ algorithm, value: undefined }] : []
  })
  if (found.length > 1) {
    throw new AwsError(
      'InvalidRequest',
      400,
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const unknown = inTrailer.find(
    (name) => !checksumAlgorithms.some((algorithm) => name === `x-amz-checksum-${algorithm}`),
  )
  if (unknown !== undefined)
    throw new AwsError('InvalidRequest', 400, 'The value specified in the x-amz-trailer header is not supported')
  return found[0]
}

function checkChecksum(
  { algorithm, value }: Stated,
  running: Checksum,
  trailers: ReadonlyMap<string, string>,
): StatedChecksum {
  const stated = value ?? trailers.get(`x-amz-checksum-${algorithm}`) ?? ''
  const digest = running.digest()
  const bytes = Buffer.from(stated, 'base64')
  if (bytes.length !== digest.length || bytes.toString('base64') !== stated) {
    throw new AwsError('InvalidRequest', 400, `Value for x-amz-checksum-${algorithm} header is invalid.`)
  }
  if (!bytes.equals(digest)) {
    throw new AwsError(
      'BadDigest',
      400,
      `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
    )
  }
  return { algorithm, value: stated, type: 'FULL_OBJECT' }
}

function checkMd5(stated: string, digest: Buffer): void {
  const bytes = Buffer.from(stated, 'base64')
  if (bytes.length !== 16) throw new AwsError('InvalidDigest', 400, 'The Content-MD5 you specified was invalid.')
  if (!bytes.equals(digest)) {
    throw new AwsError('BadDigest', 400, 'The Content-MD5 you specified did not match what we received.', {
      fields: { ExpectedDigest: stated, CalculatedDigest: digest.toString('base64') },
    })
  }
}

/** The refusal of a body that does not hash to what was stated. */
export function contentHashMismatch(stated: string, computed: string): AwsError {
  return new AwsError(
    'XAmzContentSHA256Mismatch',
    400,
    "The provided 'x-amz-content-sha256' header does not match what was computed.",
    { fields: { ClientComputedContentSHA256: stated, S3ComputedContentSHA256: computed } },
  )
}

const missingLength = (): AwsError =>
  new AwsError('MissingContentLength', 411, 'You must provide the Content-Length HTTP header.')
