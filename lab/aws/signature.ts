/**
 * AWS Signature Version 4 as a service checks it: every rule has its own refusal.
 *
 * @see IAM User Guide, "AWS Signature Version 4 for API requests"; Amazon S3 API Reference, "Authenticating Requests"
 */
import { createHash, createHmac } from 'node:crypto'
import type { AccessKey } from './credentials.ts'
import { sameText } from './credentials.ts'
import { decodePercent, encodePercent, parseRawQuery } from './percent.ts'
import { SignatureProblem } from './signature-problem.ts'

/** A request as it came: nothing decoded, nothing folded. */
export interface WireRequest {
  readonly method: string
  /** `/a%20b/c` */
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  /** Names as they came, with every value. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** What a request claims about its signature. */
export interface SignatureClaim {
  readonly form: 'header' | 'query'
  readonly accessKeyId: string
  /** `20261120` */
  readonly day: string
  readonly region: string
  readonly service: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
  /** `20261120T053857Z` */
  readonly timestamp: string
  readonly at: Date
  /** Life of a presigned request in seconds. */
  readonly expiresSeconds: number | undefined
  readonly sessionToken: string | undefined
}

/** What chunk signatures go on from. */
export interface VerifiedSignature {
  readonly claim: SignatureClaim
  readonly key: AccessKey
  readonly signingKey: Buffer
  /** `20261120/us-east-1/s3/aws4_request` */
  readonly scope: string
}

/** What a claim is held against. */
export interface VerifyOptions {
  readonly request: WireRequest
  /** The last line of the canonical request: a hash or a mode. */
  readonly payloadHash: string
  readonly findKey: (accessKeyId: string) => AccessKey | undefined
  readonly region: string
  readonly service: string
  readonly now: Date
  readonly allowedSkewMs: number
}

const algorithm = 'AWS4-HMAC-SHA256'
const queryNames = ['Credential', 'Date', 'SignedHeaders', 'Signature'].map((name) => `X-Amz-${name}`)

/**
 * Reads the claim from the `Authorization` header or from the query; `undefined` for a request without any.
 *
 * @throws {SignatureProblem} when it is not well-formed, or made with another algorithm
 */
export function parseClaim(request: WireRequest): SignatureClaim | undefined {
  const values = (name: string): string[] => headerValues(request, name)
  const authorization = values('authorization')
  const query = new Map(
    parseRawQuery(request.query).map(({ name, value }) => [decodePercent(name), decodePercent(value)]),
  )
  if (authorization.length > 1) throw malformed('header', 'Only one Authorization header is allowed.')
  if (query.has('X-Amz-Algorithm')) {
    if (authorization.length > 0)
      throw new SignatureProblem(
        'two-mechanisms',
        'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
      )
    return parseQueryClaim(query)
  }
  if (query.has('AWSAccessKeyId') && query.has('Signature')) throw new SignatureProblem('other-algorithm', 'AWS')
  const [header] = authorization
  if (header === undefined) return undefined
  return parseHeaderClaim(header, values('x-amz-date'), values('x-amz-security-token'))
}

/**
 * Checks everything that a signature promises, in the order in which AWS does.
 *
 * @throws {SignatureProblem}
 */
export function verifyClaim(claim: SignatureClaim, options: VerifyOptions): VerifiedSignature {
  const { request, now, allowedSkewMs } = options
  const key = options.findKey(claim.accessKeyId)
  if (!key) throw new SignatureProblem('unknown-key', claim.accessKeyId)
  checkToken(claim, key, now)
  if (claim.timestamp.slice(0, 8) !== claim.day) {
    throw malformed(
      claim.form,
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${claim.day}' != '${claim.timestamp.slice(0, 8)}', from '${claim.timestamp}'.`,
    )
  }
  if (claim.region !== options.region)
    throw new SignatureProblem('wrong-region', claim.region, { expected: options.region })
  if (claim.service !== options.service)
    throw new SignatureProblem('wrong-service', claim.service, { expected: options.service })
  checkTime(claim, now, allowedSkewMs)
  checkSignedHeaders(claim, request)

  const canonical = canonicalRequest(claim, options)
  const scope = `${claim.day}/${claim.region}/${claim.service}/aws4_request`
  const stringToSign = [algorithm, claim.timestamp, scope, sha256(canonical)].join('\n')
  const signingKey = deriveKey(key.secretAccessKey.reveal(), claim)
  if (!sameText(hmac(signingKey, stringToSign).toString('hex'), claim.signature)) {
    throw new SignatureProblem('mismatch', claim.signature, { canonical, stringToSign })
  }
  return { claim, key, signingKey, scope }
}

/** Hex of SHA-256. */
export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

/** HMAC-SHA256. */
export function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** All values of a header, trimmed, in the order of the request. */
export function headerValues(request: WireRequest, name: string): string[] {
  return request.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value.trim())
}

function parseHeaderClaim(header: string, dates: readonly string[], tokens: readonly string[]): SignatureClaim {
  const [scheme = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(header)?.slice(1) ?? [header]
  if (scheme !== algorithm) throw new SignatureProblem('other-algorithm', scheme)
  const parts = new Map<string, string>()
  for (const part of rest.split(',')) {
    const [, name = '', value = ''] = /^\s*(Credential|SignedHeaders|Signature)=(\S+)\s*$/.exec(part) ?? []
    if (name === '' || parts.has(name))
      throw malformed(
        'header',
        `'${part.trim().slice(0, 64)}' not a valid key=value pair (missing equal-sign) in Authorization header.`,
      )
    parts.set(name, value)
  }
  for (const name of ['Credential', 'SignedHeaders', 'Signature']) {
    if (!parts.has(name))
      throw malformed('header', `Authorization header requires '${name}' parameter. Authorization=${scheme}`)
  }
  if (dates.length !== 1) {
    throw malformed('header', "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
  }
  if (tokens.length > 1) throw malformed('header', 'Only one x-amz-security-token is allowed.')
  return claimOf('header', {
    credential: parts.get('Credential') ?? '',
    signedHeaders: parts.get('SignedHeaders') ?? '',
    signature: parts.get('Signature') ?? '',
    timestamp: dates[0] ?? '',
    expires: undefined,
    sessionToken: tokens[0],
  })
}

function parseQueryClaim(query: ReadonlyMap<string, string>): SignatureClaim {
  const named = query.get('X-Amz-Algorithm') ?? ''
  if (named !== algorithm) throw new SignatureProblem('other-algorithm', named)
  for (const name of queryNames) {
    if (!query.has(name))
      throw malformed(
        'query',
        'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
      )
  }
  return claimOf('query', {
    credential: query.get('X-Amz-Credential') ?? '',
    signedHeaders: query.get('X-Amz-SignedHeaders') ?? '',
    signature: query.get('X-Amz-Signature') ?? '',
    timestamp: query.get('X-Amz-Date') ?? '',
    expires: query.get('X-Amz-Expires'),
    sessionToken: query.get('X-Amz-Security-Token'),
  })
}

interface RawClaim {
  readonly credential: string
  readonly signedHeaders: string
  readonly signature: string
  readonly timestamp: string
  readonly expires: string | undefined
  readonly sessionToken: string | undefined
}

function claimOf(form: 'header' | 'query', raw: RawClaim): SignatureClaim {
  const [accessKeyId = '', day = '', region = '', service = '', terminator, ...more] = raw.credential.split('/')
  if (terminator !== 'aws4_request' || more.length > 0 || !/^\w{16,128}$/.test(accessKeyId) || !/^\d{8}$/.test(day)) {
    throw malformed(
      form,
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${raw.credential.slice(0, 128)}'`,
    )
  }
  const at = parseTimestamp(raw.timestamp)
  if (at === undefined) {
    throw malformed(
      form,
      `Date must be in ISO-8601 'basic format'. Got '${raw.timestamp.slice(0, 64)}'. See http://en.wikipedia.org/wiki/ISO_8601`,
    )
  }
  const signedHeaders = raw.signedHeaders.split(';')
  const sorted = [...signedHeaders].sort()
  if (
    signedHeaders.some(
      (name, index) => !/^[a-z0-9_.-]+$/.test(name) || name !== sorted[index] || name === sorted[index + 1],
    )
  ) {
    throw malformed(form, 'SignedHeaders must be lower-case names in alphabetical order.')
  }
  if (!/^[0-9a-f]{64}$/.test(raw.signature)) throw new SignatureProblem('mismatch', raw.signature.slice(0, 128))
  let expiresSeconds: number | undefined
  if (form === 'query' && (raw.expires !== undefined || service === 's3')) {
    expiresSeconds = /^\d{1,6}$/.test(raw.expires ?? '') ? Number(raw.expires) : Number.NaN
    if (!(expiresSeconds >= 1)) throw malformed(form, 'X-Amz-Expires should be a number')
    if (expiresSeconds > 604_800)
      throw malformed(
        form,
        'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
      )
  }
  const { signature, timestamp, sessionToken } = raw
  return {
    form,
    accessKeyId,
    day,
    region,
    service,
    signedHeaders,
    signature,
    timestamp,
    at,
    expiresSeconds,
    sessionToken,
  }
}

function parseTimestamp(text: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (!match) return undefined
  const at = new Date(`${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}Z`)
  return Number.isNaN(at.getTime()) ? undefined : at
}

/** A token must be that of the key: neither missing, nor another's, nor one where the key has none. */
function checkToken(claim: SignatureClaim, key: AccessKey, now: Date): void {
  const token = key.sessionToken?.reveal()
  if (token === undefined ? claim.sessionToken !== undefined : !sameText(token, claim.sessionToken ?? '')) {
    // AWS does not say that a temporary key lacks its token: the key alone is simply not known.
    throw claim.sessionToken === undefined
      ? new SignatureProblem('unknown-key', claim.accessKeyId)
      : new SignatureProblem('wrong-token', claim.sessionToken)
  }
  if (key.expiration && key.expiration <= now) throw new SignatureProblem('expired-token', claim.sessionToken ?? '')
}

function checkTime(claim: SignatureClaim, now: Date, allowedSkewMs: number): void {
  const early = claim.at.getTime() - now.getTime()
  if (claim.expiresSeconds !== undefined) {
    const expires = new Date(claim.at.getTime() + claim.expiresSeconds * 1000)
    if (expires <= now) throw new SignatureProblem('presigned-expired', claim.timestamp, { expires })
    if (early > allowedSkewMs) throw new SignatureProblem('not-yet-current', claim.timestamp)
    return
  }
  if (early > allowedSkewMs) throw new SignatureProblem('not-yet-current', claim.timestamp)
  if (-early > allowedSkewMs) throw new SignatureProblem('too-old', claim.timestamp)
}

/** `host` and every `x-amz-*` header of the request must be under the signature. */
function checkSignedHeaders(claim: SignatureClaim, request: WireRequest): void {
  const must = new Set(
    request.headers
      .map(([name]) => name.toLowerCase())
      .filter(
        (name) =>
          name === 'host' ||
          (name.startsWith('x-amz-') && name !== 'x-amz-security-token') ||
          (name === 'x-amz-security-token' && claim.form === 'header'),
      ),
  )
  must.add('host')
  const missing = [...must].filter((name) => !claim.signedHeaders.includes(name))
  if (missing.length > 0) throw new SignatureProblem('unsigned-headers', missing.join(', '))
}

function canonicalRequest(claim: SignatureClaim, { request, payloadHash, service }: VerifyOptions): string {
  const headers = claim.signedHeaders.map((name) => {
    const values = headerValues(request, name).map((value) => value.replaceAll(/\s+/g, ' '))
    return `${name}:${values.join(',')}\n`
  })
  const query = parseRawQuery(request.query)
    .map(({ name, value }) => [encodePercent(decodePercent(name)), encodePercent(decodePercent(value))] as const)
    .filter(([name]) => claim.form === 'header' || name !== 'X-Amz-Signature')
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  const path = service === 's3' ? canonicalS3Path(request.path) : canonicalPath(request.path)
  return [request.method, path, query, headers.join(''), claim.signedHeaders.join(';'), payloadHash].join('\n')
}

/** S3 takes the path as it is: segments are neither normalised nor encoded twice. */
const canonicalS3Path = (path: string): string =>
  path
    .split('/')
    .map((segment) => encodePercent(decodePercent(segment, 'keep-plus')))
    .join('/')

/** Elsewhere dot segments and doubled slashes go (RFC 3986 §6), and what came encoded is encoded once more. */
function canonicalPath(path: string): string {
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(encodePercent(segment))
  }
  const trailing = path.endsWith('/') && kept.length > 0 ? '/' : ''
  return `/${kept.join('/')}${trailing}`
}

const deriveKey = (secret: string, { day, region, service }: SignatureClaim): Buffer =>
  [day, region, service, 'aws4_request'].reduce<Buffer>((key, part) => hmac(key, part), Buffer.from(`AWS4${secret}`))
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const malformed = (form: 'header' | 'query', message: string): SignatureProblem =>
  new SignatureProblem(form === 'header' ? 'malformed-header' : 'malformed-query', message)
