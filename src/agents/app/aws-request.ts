/** Takes apart an AWS request as the local proxy on the workstation sends it. Pure: nothing of it is signed or sent here. */
import { type AwsEndpoint, mayBeSignedFor, parseAwsHost } from '#aws/endpoint.ts'
import { forwarding, type PayloadMode, payloadModes } from '#aws/forwarding.ts'
import { dropHeaders, headerValues, isS3, type Scope } from '#aws/sigv4.ts'
import { type Authorization, dropPresigned, parseAuthorization, parsePresigned } from '#aws/sigv4-authorization.ts'
import { streamingPayload, streamingPayloadTrailer, streamingUnsignedTrailer } from '#aws/sigv4-chunks.ts'
import { InvalidInput } from '#errors.ts'
import { withoutHopByHop } from '#net/raw-headers.ts'

/** What is to be signed anew and sent. */
export interface AwsRequest {
  readonly method: string
  /** As sent. */
  readonly path: string
  /** Without `?` and without the fields of a presigned signature. */
  readonly query: string
  /** Host header to send, as the client wrote it: `s3.us-east-1.amazonaws.com`. */
  readonly host: string
  readonly endpoint: AwsEndpoint
  /** The client's credential scope: region and service to sign for. */
  readonly scope: Scope
  /** Placeholder key id by which the client signed. */
  readonly accessKeyId: string
  /** Names that the client signed; the others travel unsigned. */
  readonly signedHeaders: readonly string[]
  /** Raw pairs to send on: without ours, without the old `Authorization`, with the right `Host`. */
  readonly headers: readonly string[]
  readonly payloadHash: string
  readonly payloadMode: PayloadMode
  /** Names of trailers that follow a body of signed chunks. */
  readonly trailerNames: readonly string[] | undefined
}

/** A request that did not come through the local proxy, or that it should not have let through. */
class InvalidAwsRequest extends InvalidInput {}

/**
 * @param request `url` is path and query; `rawHeaders` as Node gives them
 * @throws {InvalidAwsRequest}
 * @throws {InvalidAuthorization}
 */
export function parseAwsRequest({
  method,
  url,
  rawHeaders,
}: {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
}): AwsRequest {
  const { host, endpoint } = parseTarget(rawHeaders)
  if (!url.startsWith('/')) throw invalid('the request has no path of its own', VIA_TSH)
  const at = url.indexOf('?')
  const path = at === -1 ? url : url.slice(0, at)
  const sentQuery = at === -1 ? '' : url.slice(at + 1)
  const isPresigned = one(rawHeaders, forwarding.presigned) === '1'
  const authorization = parseSignature(rawHeaders, sentQuery, isPresigned)
  checkMeaning({ method, path, endpoint, authorization })
  const { payloadMode, payloadHash } = parsePayload(rawHeaders)
  const trailer = one(rawHeaders, forwarding.trailer)
  return {
    method,
    path,
    query: isPresigned ? dropPresigned(sentQuery) : sentQuery,
    host,
    endpoint,
    scope: authorization.scope,
    accessKeyId: authorization.accessKeyId,
    signedHeaders: authorization.signedHeaders,
    headers: ['Host', host, ...dropOurs(withoutHopByHop(rawHeaders))],
    payloadHash,
    payloadMode,
    trailerNames: trailer?.split(','),
  }
}

const VIA_TSH = 'call AWS through "tsh aws" or "tsh proxy aws", which set this'

/** Exactly one, and AWS's own: a second header, or a name that merely looks like AWS's, would steer what we sign to a stranger. */
function parseTarget(headers: readonly string[]): { host: string; endpoint: AwsEndpoint } {
  const [host, ...more] = headerValues(headers, forwarding.host)
  const endpoint = host === undefined || more.length > 0 ? undefined : parseAwsHost(host)
  const isHttps = host !== undefined && /^[^:]+(:443)?$/.test(host)
  if (host === undefined || endpoint === undefined || !isHttps) {
    throw invalid('proxied requests must include X-Forwarded-Host header with an AWS service endpoint', VIA_TSH)
  }
  return { host, endpoint }
}

function parseSignature(headers: readonly string[], query: string, isPresigned: boolean): Authorization {
  if (isPresigned) {
    const presigned = parsePresigned(query)
    if (presigned === undefined) throw invalid('the query holds no signature', VIA_TSH)
    return presigned
  }
  const [authorization, ...more] = headerValues(headers, 'authorization')
  if (authorization === undefined || more.length > 0) throw invalid('the request is not signed exactly once', VIA_TSH)
  return parseAuthorization(authorization)
}

/** What is signed must mean the same to us, who name and record it, and to AWS. */
function checkMeaning({
  method,
  path,
  endpoint,
  authorization: { scope },
}: Pick<AwsRequest, 'method' | 'path' | 'endpoint'> & { readonly authorization: Authorization }): void {
  // TRACE would send the signed headers back to the caller (RFC 9110 §9.3.8).
  if (!METHODS.has(method)) throw invalid(`AWS knows no method ${method}`, 'call AWS with one of its own clients')
  if (!mayBeSignedFor(endpoint, scope.service)) {
    throw invalid(
      `a request to ${endpoint.host} is not signed for the service ${JSON.stringify(scope.service)}`,
      'sign for the service that the host belongs to',
    )
  }
  if (!isS3(scope.service) && path.split('/').some((part) => /^(\.|%2e){1,2}$/i.test(part))) {
    throw invalid('the path has "." or ".." in it', 'send the path that is meant')
  }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** How the body arrives and what is signed for it must fit together. */
function parsePayload(headers: readonly string[]): { payloadMode: PayloadMode; payloadHash: string } {
  const payloadHash = one(headers, forwarding.payloadHash)
  const mode = one(headers, forwarding.payloadMode)
  const payloadMode = payloadModes.find((known) => known === mode)
  if (payloadHash === undefined || payloadMode === undefined) throw invalid('the body is not described', VIA_TSH)
  const fits: Readonly<Record<PayloadMode, boolean>> = {
    whole: /^([0-9a-f]{64}|UNSIGNED-PAYLOAD)$/.test(payloadHash) || payloadHash === streamingUnsignedTrailer,
    'signed-chunks': payloadHash === streamingPayload,
    'signed-chunks-trailer': payloadHash === streamingPayloadTrailer,
  }
  if (!fits[payloadMode]) throw invalid('the body is not what its hash says', VIA_TSH)
  return { payloadMode, payloadHash }
}

function one(headers: readonly string[], name: string): string | undefined {
  const [value, ...more] = headerValues(headers, name)
  if (more.length > 0) throw invalid(`the header ${name} is there more than once`, VIA_TSH)
  return value
}

/** `X-Forwarded-*` and `X-Teleport-*` are between us and the local proxy; AWS sees neither them nor the placeholders. */
function dropOurs(headers: readonly string[]): string[] {
  const names = headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  const ours = names.filter((name) => name.startsWith('x-forwarded-') || name.startsWith('x-teleport-'))
  return dropHeaders(
    headers,
    new Set([...ours, 'host', 'authorization', 'trailer', 'x-real-ip', 'forwarded', 'teleport-jwt-assertion']),
  )
}

const invalid = (message: string, hint: string): InvalidAwsRequest => new InvalidAwsRequest(message, { hint })
