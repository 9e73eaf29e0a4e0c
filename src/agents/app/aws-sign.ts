/** Signs a request anew, with the credentials of the role, and frames its body where the signature goes through it. */
import type http from 'node:http'
import { Readable } from 'node:stream'
import { type AwsCredentials, dropHeaders, type SignedRequest, type SigningKeys, signRequest } from '#aws/sigv4.ts'
import { encodeChunks, encodedLength, type Trailer } from '#aws/sigv4-chunks.ts'
import { rawHeader } from '#net/raw-headers.ts'
import { RefusedWhileServing } from './admit.ts'
import type { AwsRequest } from './aws-request.ts'

export interface SigningOptions {
  /** Whose body it is, unless `form` holds it. */
  readonly request: http.IncomingMessage
  /** The whole body, where it has been read already. */
  readonly form: Buffer | undefined
  readonly credentials: AwsCredentials
  readonly at: Date
  readonly signingKeys: SigningKeys
}

/** What goes upstream: raw pairs, and the body, which is read as it is sent. */
export interface SignedAwsRequest {
  readonly headers: readonly string[]
  readonly body: Readable | undefined
}

/** @throws {RefusedWhileServing} if a body of signed chunks does not say how long its content is */
export function signForAws(aws: AwsRequest, options: SigningOptions): SignedAwsRequest {
  const { request, form, credentials, at, signingKeys } = options
  const { scope, payloadHash, signedHeaders, trailerNames } = aws
  const sign = (headers: readonly string[]): SignedRequest =>
    signRequest({
      request: { ...aws, headers },
      credentials,
      region: scope.region,
      service: scope.service,
      at,
      payloadHash,
      signedHeaders,
      signingKeys,
    })
  if (aws.payloadMode === 'whole') {
    if (form === undefined) return { headers: sign(aws.headers).headers, body: hasBody(request) ? request : undefined }
    // The body is here already: waiting for leave to send it would wait for nothing, unless the client signed that.
    const isAsking = signedHeaders.includes('expect')
    const headers = isAsking ? aws.headers : dropHeaders(aws.headers, new Set(['expect']))
    return { headers: sign(headers).headers, body: Readable.from([form], { objectMode: false }) }
  }
  const length = encodedLength(decodedLength(aws), trailerNames === undefined ? {} : { trailerNames })
  const framed = dropHeaders(aws.headers, new Set(['content-length']))
  const { headers, seed } = sign(length === undefined ? framed : [...framed, 'Content-Length', String(length)])
  const trailers = trailerNames === undefined ? {} : { trailers: () => trailersOf(request.rawTrailers, trailerNames) }
  return { headers, body: Readable.from(encodeChunks(request, { seed, ...trailers })) }
}

/** By its headers (RFC 9112 §6). */
export function hasBody({ rawHeaders }: Pick<http.IncomingMessage, 'rawHeaders'>): boolean {
  return rawHeader(rawHeaders, 'content-length') !== undefined || isOfUnknownLength({ rawHeaders })
}

export function isOfUnknownLength({ rawHeaders }: Pick<http.IncomingMessage, 'rawHeaders'>): boolean {
  return rawHeader(rawHeaders, 'transfer-encoding') !== undefined
}

function decodedLength(aws: AwsRequest): number {
  const text = rawHeader(aws.headers, 'x-amz-decoded-content-length') ?? ''
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new RefusedWhileServing({
    allowed: false,
    code: 'invalid',
    reason: 'length-missing',
    message: 'a body of signed chunks needs X-Amz-Decoded-Content-Length',
    hint: 'send the length of the content in that header',
  })
}

/** Those that were announced, in that order: nothing else goes into the signed trailer. */
function trailersOf(raw: readonly string[], names: readonly string[]): readonly Trailer[] {
  return names.map((name) => [name, rawHeader(raw, name) ?? ''] as const)
}
