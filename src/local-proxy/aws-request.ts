/**
 * What to do with one request that an AWS client sent through the local proxy: whose it is, whether that signer made it,
 * how its body travels and which headers go to the agent.
 */

import { type AwsEndpoint, isSessionManagerHost, parseAwsHost } from '#aws/endpoint.ts'
import { forwarding, type PayloadMode } from '#aws/forwarding.ts'
import {
  type ChunkSeed,
  emptyHash,
  headerValues,
  isS3,
  type SigningKeys,
  unsignedPayload,
  type WireRequest,
} from '#aws/sigv4.ts'
import { type Authorization, parseAuthorization, parsePresigned } from '#aws/sigv4-authorization.ts'
import { streamingPayload, streamingPayloadTrailer, streamingUnsignedTrailer } from '#aws/sigv4-chunks.ts'
import { verifySignature } from '#aws/sigv4-verify.ts'
import { InvalidInput, Unauthenticated } from '#errors.ts'
import type { Secret } from '#secret.ts'
import { isPlaceholderId } from './placeholder-credentials.ts'

/** How a body is treated before it may go on. */
export type BodyPlan =
  /** Goes on as it comes: its hash or mode is signed, and AWS checks it. */
  | { readonly kind: 'stream'; readonly payloadHash: string }
  /** Is read to its end and hashed first. `stated`: what the client says the hash is. */
  | { readonly kind: 'spool'; readonly stated?: string }
  /** Signed chunks, unwrapped and checked here. */
  | {
      readonly kind: 'chunks'
      readonly payloadHash: string
      readonly trailerNames?: readonly string[]
      readonly decodedLength: number
    }

/** A request that carries a signature. */
export interface SignedAwsRequest {
  readonly wire: WireRequest
  readonly endpoint: AwsEndpoint
  readonly authorization: Authorization
  readonly isPresigned: boolean
  readonly plan: BodyPlan
}

/** A request that is not signed for us: nothing of ours goes with it. */
interface ForeignRequest {
  readonly endpoint: AwsEndpoint
}

export type AwsRequest =
  | { readonly kind: 'signed'; readonly signed: SignedAwsRequest }
  | { readonly kind: 'foreign'; readonly foreign: ForeignRequest }

/** The host that was called is not one that this proxy stands in for. */
export class NotAwsHost extends InvalidInput {}

/** The access key of the request is none that this proxy knows. */
export class UnknownAccessKey extends Unauthenticated {}

/** A kind of signature or body that AWS has and this proxy does not. */
export class UnsupportedPayload extends InvalidInput {}

/**
 * Reads a request. Unsigned requests (`--no-sign-request`, web identity) and those presigned with a key that is not a
 * placeholder are foreign: they need no identity of ours.
 *
 * @throws {NotAwsHost}
 * @throws {InvalidAuthorization}
 * @throws {UnsupportedPayload}
 */
export function readAwsRequest(wire: WireRequest): AwsRequest {
  const hosts = headerValues(wire.headers, 'host')
  const endpoint = hosts.length === 1 ? parseAwsHost(hosts[0] ?? '') : undefined
  if (endpoint === undefined || isSessionManagerHost(endpoint.host)) {
    throw new NotAwsHost(`${JSON.stringify(hosts.join(', '))} is not an AWS API host`, {
      hint: 'use the proxy address as HTTPS_PROXY, not as an endpoint URL',
    })
  }
  if (!wire.path.startsWith('/')) {
    throw new NotAwsHost('the request names another server than its connection', { hint: 'send a path, not a URL' })
  }
  if (headerValues(wire.headers, 'upgrade').some((value) => /\bwebsocket\b/i.test(value))) {
    throw unsupported(
      'WebSockets are not supported',
      'use an operation that does not stream both ways, or AWS credentials of your own',
    )
  }
  const headers = headerValues(wire.headers, 'authorization')
  const presigned = headers.length === 0 ? parsePresigned(wire.query) : undefined
  if (headers.length === 0 && (presigned === undefined || !isPlaceholderId(presigned.accessKeyId))) {
    refuseVersionTwo(wire.query)
    return { kind: 'foreign', foreign: { endpoint } }
  }
  const authorization = presigned ?? parseAuthorization(headers.length === 1 ? (headers[0] ?? '') : '')
  const isPresigned = presigned !== undefined
  return {
    kind: 'signed',
    signed: { wire, endpoint, authorization, isPresigned, plan: planBody(wire, authorization, isPresigned) },
  }
}

/** @throws {InvalidSignature} unless `secretAccessKey` signed the request with this payload hash, about now */
export function verifyAwsRequest(
  { wire, authorization }: SignedAwsRequest,
  check: {
    readonly payloadHash: string
    readonly secretAccessKey: Secret
    readonly now: Date
    readonly signingKeys: SigningKeys
  },
): ChunkSeed {
  return verifySignature({ request: wire, authorization, ...check })
}

/** Headers for the agent: the client's own, without any that only we may set, and ours. */
export function headersForAgent(
  { wire, isPresigned, plan }: SignedAwsRequest,
  { payloadHash, spooledSize }: { payloadHash: string; spooledSize?: number },
): string[] {
  const headers: string[] = []
  for (let index = 0; index + 1 < wire.headers.length; index += 2) {
    const name = wire.headers[index] ?? ''
    if (!isReserved(name.toLowerCase(), { isSpooled: spooledSize !== undefined, isDecoded: plan.kind === 'chunks' })) {
      headers.push(name, wire.headers[index + 1] ?? '')
    }
  }
  const mode: PayloadMode =
    plan.kind !== 'chunks' ? 'whole' : plan.trailerNames === undefined ? 'signed-chunks' : 'signed-chunks-trailer'
  headers.push(forwarding.host, headerValues(wire.headers, 'host')[0] ?? '')
  headers.push(forwarding.payloadHash, payloadHash, forwarding.payloadMode, mode)
  if (isPresigned) headers.push(forwarding.presigned, '1')
  if (spooledSize !== undefined && (spooledSize > 0 || hasBody(wire.headers)))
    headers.push('Content-Length', String(spooledSize))
  if (plan.kind === 'chunks') {
    if (plan.trailerNames === undefined) headers.push('Content-Length', String(plan.decodedLength))
    else headers.push(forwarding.trailer, plan.trailerNames.join(','))
  }
  return headers
}

/** Has the request a body, by its headers (RFC 9112 §6)? */
export function hasBody(headers: readonly string[]): boolean {
  const [length] = headerValues(headers, 'content-length')
  return (length !== undefined && length !== '0') || headerValues(headers, 'transfer-encoding').length > 0
}

/** Links that an SDK presigned in the old way with our placeholders: AWS would only say that it does not know the key. */
function refuseVersionTwo(query: string): void {
  const fields = new URLSearchParams(query)
  if (fields.has('Signature') && isPlaceholderId(fields.get('AWSAccessKeyId') ?? '')) {
    throw unsupported(
      'the link is presigned with AWS signature version 2, which is not supported',
      'presign with version 4: signature_version "s3v4" in boto3, "aws configure set default.s3.signature_version s3v4" for the AWS CLI',
    )
  }
}

function planBody(wire: WireRequest, { scope }: Authorization, isPresigned: boolean): BodyPlan {
  const [stated, ...more] = headerValues(wire.headers, 'x-amz-content-sha256')
  if (more.length > 0) throw unsupported('x-amz-content-sha256 is given twice', 'sign with an AWS SDK')
  if (isPresigned && isS3(scope.service)) return { kind: 'stream', payloadHash: stated ?? unsignedPayload }
  switch (stated) {
    case undefined:
      return hasBody(wire.headers) ? { kind: 'spool' } : { kind: 'stream', payloadHash: emptyHash }
    case unsignedPayload:
    case streamingUnsignedTrailer:
      return { kind: 'stream', payloadHash: stated }
    case streamingPayload:
    case streamingPayloadTrailer:
      return planChunks(wire, stated)
  }
  if (stated.startsWith('STREAMING-AWS4-ECDSA-'))
    throw unsupported('SigV4A signed uploads are not supported', 'use a regional endpoint')
  if (stated.endsWith('-EVENTS')) {
    throw unsupported(
      'signed event streams are not supported',
      'use an operation that does not stream to AWS, or AWS credentials of your own',
    )
  }
  if (!/^[0-9a-f]{64}$/.test(stated))
    throw unsupported('x-amz-content-sha256 has an unknown value', 'sign with an AWS SDK')
  return isS3(scope.service) || !hasBody(wire.headers)
    ? { kind: 'stream', payloadHash: stated }
    : { kind: 'spool', stated }
}

function planChunks(wire: WireRequest, payloadHash: string): BodyPlan {
  const [length = ''] = headerValues(wire.headers, 'x-amz-decoded-content-length')
  if (!/^\d{1,15}$/.test(length)) throw unsupported('x-amz-decoded-content-length is missing', 'sign with an AWS SDK')
  const decodedLength = Number(length)
  if (payloadHash === streamingPayload) return { kind: 'chunks', payloadHash, decodedLength }
  const trailerNames = headerValues(wire.headers, 'x-amz-trailer')
    .flatMap((value) => value.split(','))
    .map((name) => name.trim().toLowerCase())
  if (trailerNames.length === 0 || !trailerNames.every((name) => /^x-amz-[a-z0-9-]{1,64}$/.test(name))) {
    throw unsupported('x-amz-trailer is missing or names no trailer of AWS', 'sign with an AWS SDK')
  }
  return { kind: 'chunks', payloadHash, decodedLength, trailerNames }
}

/** A client could otherwise steer the agent, or have our own headers dropped by naming them in `Connection`. */
function isReserved(name: string, body: { readonly isSpooled: boolean; readonly isDecoded: boolean }): boolean {
  if (name.startsWith('x-forwarded-') || name.startsWith('x-teleport-') || name.startsWith('proxy-')) return true
  if (RESERVED.has(name)) return true
  if (body.isSpooled && (name === 'content-length' || name === 'expect')) return true
  return body.isDecoded && (name === 'content-length' || name === 'trailer')
}

const RESERVED: ReadonlySet<string> = new Set([
  'connection',
  'forwarded',
  'keep-alive',
  'te',
  'teleport-jwt-assertion',
  'transfer-encoding',
  'upgrade',
  'via',
  'x-real-ip',
])

function unsupported(message: string, hint: string): UnsupportedPayload {
  return new UnsupportedPayload(message, { hint })
}
