/** Checks a SigV4 signature that we can compute ourselves, because we gave out the key. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { Unauthenticated } from '#errors.ts'
import type { Secret } from '#secret.ts'
import {
  type ChunkSeed,
  canonicalQuery,
  canonicalRequest,
  headerValues,
  hmac,
  type SigningKeys,
  signingKey,
  stringToSign,
  type WireRequest,
} from './sigv4.ts'
import { type Authorization, InvalidAuthorization, type Presigned, parseAmzDate } from './sigv4-authorization.ts'

export interface VerifyOptions {
  readonly request: WireRequest
  readonly authorization: Authorization | Presigned
  /** What the signer used: the stated `x-amz-content-sha256`, else `UNSIGNED-PAYLOAD` for a presigned S3 request, else the hash of the body. */
  readonly payloadHash: string
  readonly secretAccessKey: Secret
  readonly now: Date
  /** How far the signer's clock may be off, either way; AWS allows 15 minutes. */
  readonly clockSkewMs?: number
  readonly signingKeys?: SigningKeys
}

/** A signature that does not fit the request, its key or the present time. */
export class InvalidSignature extends Unauthenticated {}

/**
 * Accepts the request only if `secretAccessKey` signed exactly it, about now. Gives what its chunk signatures begin with.
 *
 * @throws {InvalidSignature}
 * @throws {InvalidAuthorization} when the date is missing
 */
export function verifySignature(options: VerifyOptions): ChunkSeed {
  const { request, authorization, secretAccessKey, signingKeys = signingKey } = options
  const { scope, signedHeaders } = authorization
  const amzDate = isPresigned(authorization) ? authorization.amzDate : dateOf(request)
  verifyTime(options, amzDate)
  if (amzDate.slice(0, 8) !== scope.date) throw refused('the date of the credential scope is not that of the request')
  if (!signedHeaders.includes('host')) throw refused('the Host header is not signed')
  for (const name of signedHeaders) {
    if (headerValues(request.headers, name).length === 0) throw refused(`the signed header "${name}" is missing`)
  }
  const signed = isPresigned(authorization) ? withoutSignature(request) : request
  const { payloadHash } = options
  const canonical = canonicalRequest(signed, { signedHeaders, payloadHash, service: scope.service })
  const key = signingKeys(secretAccessKey.reveal(), scope)
  const expected = hmac(key, stringToSign(amzDate, scope, canonical)).toString('hex')
  if (!equal(expected, authorization.signature)) throw refused('signature verification failed')
  return { signature: expected, key, scope, amzDate }
}

/** Compares in constant time. */
export function equal(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}

const SKEW_MS = 15 * 60_000

const isPresigned = (authorization: Authorization | Presigned): authorization is Presigned =>
  'expiresSeconds' in authorization

function dateOf(request: WireRequest): string {
  const [value, ...more] = headerValues(request.headers, 'x-amz-date')
  if (value === undefined || more.length > 0) {
    throw new InvalidAuthorization('missing or repeated X-Amz-Date', { hint: 'sign with an AWS SDK' })
  }
  return value
}

function verifyTime({ authorization, now, clockSkewMs = SKEW_MS }: VerifyOptions, amzDate: string): void {
  const at = parseAmzDate(amzDate).getTime()
  const lifeMs = isPresigned(authorization) ? authorization.expiresSeconds * 1000 : clockSkewMs
  if (now.getTime() < at - clockSkewMs) throw refused('the request is signed for a later time', 'set the clock')
  if (now.getTime() > at + lifeMs) {
    throw refused(
      isPresigned(authorization) ? 'the presigned URL has expired' : 'the request was signed too long ago',
      'sign it again, and set the clock of the machine that signs',
    )
  }
}

/** The signature cannot cover itself. */
function withoutSignature(request: WireRequest): WireRequest {
  return { ...request, query: canonicalQuery(request.query, 'X-Amz-Signature') }
}

function refused(
  message: string,
  hint = 'use the access key that tsh printed, and no other AWS credentials beside it',
): InvalidSignature {
  return new InvalidSignature(message, { hint })
}
