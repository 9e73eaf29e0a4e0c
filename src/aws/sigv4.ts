/**
 * AWS Signature Version 4: canonical request, string to sign, signing key, signing.
 *
 * @see AWS IAM user guide "Create a signed AWS API request"; Amazon S3 API reference "Authenticating Requests (AWS Signature Version 4)"
 */
import { createHash, createHmac } from 'node:crypto'
import type { Secret } from '#secret.ts'

/** A request as it stands on the wire. */
export interface WireRequest {
  readonly method: string
  /** Path as sent: `/bucket/my%20key`. */
  readonly path: string
  /** Query as sent, without `?`; empty for none. */
  readonly query: string
  /** Names and values in turns, as sent, as in `rawHeaders` of Node: `['Host', 'sts.amazonaws.com', …]`. */
  readonly headers: readonly string[]
}

/** What a signature is for: `20150830/us-east-1/service/aws4_request`. */
export interface Scope {
  /** Day, `YYYYMMDD`. */
  readonly date: string
  readonly region: string
  readonly service: string
}

/** A key pair, with its token when it is temporary. */
export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken?: Secret
}

export interface SignOptions {
  readonly request: WireRequest
  readonly credentials: AwsCredentials
  readonly region: string
  readonly service: string
  readonly at: Date
  /** 64 hex digits of SHA-256 over the body, `UNSIGNED-PAYLOAD` or one of the `STREAMING-…` names. */
  readonly payloadHash: string
  /** Names, in lower case, of headers to sign beside the required ones; left out: all but those that change on the way. */
  readonly signedHeaders?: readonly string[]
  /** Where signing keys come from; pass `createSigningKeys()` to derive each only once a day. */
  readonly signingKeys?: SigningKeys
}

/** A signed request, and what a chain of signed chunks begins with. */
export interface SignedRequest {
  /** The headers to send: those of the request, old signature fields replaced. */
  readonly headers: readonly string[]
  readonly seed: ChunkSeed
}

/** What the first chunk signature is made from. */
export interface ChunkSeed {
  readonly signature: string
  readonly key: Buffer
  readonly scope: Scope
  /** `20150830T123600Z` */
  readonly amzDate: string
}

export type SigningKeys = (secretAccessKey: string, scope: Scope) => Buffer

export const algorithm = 'AWS4-HMAC-SHA256'
export const unsignedPayload = 'UNSIGNED-PAYLOAD'
/** SHA-256 of nothing. */
export const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/**
 * Signs in headers: sets `X-Amz-Date`, `X-Amz-Security-Token`, `X-Amz-Content-Sha256` (S3, or where it stood) and `Authorization`.
 * The request must have exactly the `Host` header that it is sent with.
 */
export function signRequest(options: SignOptions): SignedRequest {
  const { request, credentials, region, service, payloadHash, signingKeys = signingKey } = options
  const amzDate = formatAmzDate(options.at)
  const scope: Scope = { date: amzDate.slice(0, 8), region, service }
  const hadHash = headerValues(request.headers, 'x-amz-content-sha256').length > 0
  const headers = dropHeaders(request.headers, REPLACED)
  headers.push('X-Amz-Date', amzDate)
  if (credentials.sessionToken !== undefined) headers.push('X-Amz-Security-Token', credentials.sessionToken.reveal())
  if (hadHash || isS3(service)) headers.push('X-Amz-Content-Sha256', payloadHash)
  const signedHeaders = namesToSign(headers, options.signedHeaders)
  const canonical = canonicalRequest({ ...request, headers }, { signedHeaders, payloadHash, service })
  const key = signingKeys(credentials.secretAccessKey.reveal(), scope)
  const signature = hmac(key, stringToSign(amzDate, scope, canonical)).toString('hex')
  headers.push(
    'Authorization',
    `${algorithm} Credential=${credentials.accessKeyId}/${formatScope(scope)}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`,
  )
  return { headers, seed: { signature, key, scope, amzDate } }
}

/** The text whose hash is signed. `signedHeaders` are lower case and sorted. */
export function canonicalRequest(
  request: WireRequest,
  options: { readonly signedHeaders: readonly string[]; readonly payloadHash: string; readonly service: string },
): string {
  const { signedHeaders, payloadHash, service } = options
  const lines = signedHeaders.map((name) => `${name}:${canonicalValues(headerValues(request.headers, name))}\n`)
  return [
    request.method,
    canonicalPath(request.path, service),
    canonicalQuery(request.query),
    lines.join(''),
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n')
}

export function stringToSign(amzDate: string, scope: Scope, canonical: string): string {
  return [algorithm, amzDate, formatScope(scope), sha256Hex(canonical)].join('\n')
}

/** HMAC chain from the secret to the key of one day, region and service. */
export function signingKey(secretAccessKey: string, { date, region, service }: Scope): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, date), region), service), 'aws4_request')
}

/** Signing keys that are derived once for each secret, day, region and service; at most 256 are kept. */
export function createSigningKeys(): SigningKeys {
  const kept = new Map<string, Buffer>()
  return (secret, scope) => {
    const name = `${formatScope(scope)}/${secret}`
    const found = kept.get(name)
    if (found !== undefined) return found
    if (kept.size >= 256) kept.clear()
    const key = signingKey(secret, scope)
    kept.set(name, key)
    return key
  }
}

/**
 * S3 keys are paths of their own: each byte is escaped once, and `//` and `..` are part of a name. Every other service
 * resolves `.` and `..`, joins slashes and escapes what was sent once more.
 */
export function canonicalPath(path: string, service: string): string {
  if (isS3(service)) {
    const segments = path.split('/').map((segment) => uriEncode(percentDecode(segment)))
    return segments.length === 1 && segments[0] === '' ? '/' : segments.join('/')
  }
  const resolved: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') resolved.pop()
    else if (segment !== '' && segment !== '.') resolved.push(uriEncode(Buffer.from(segment)))
  }
  const isFolder = resolved.length > 0 && path.endsWith('/')
  return `/${resolved.join('/')}${isFolder ? '/' : ''}`
}

/** Pairs escaped anew, sorted by name and then value; `+` stands for a space. */
export function canonicalQuery(query: string, without?: string): string {
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const at = pair.indexOf('=')
      const [name, value] = at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
      return [decodeQuery(name), decodeQuery(value)] as const
    })
    .filter(([name]) => without === undefined || name.toString() !== without)
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** Values of all headers of this name (lower case), in the order sent. */
export function headerValues(headers: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === name) values.push(headers[index + 1] ?? '')
  }
  return values
}

/** The same headers without those named (lower case), as a new list. */
export function dropHeaders(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (!names.has(name.toLowerCase())) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}

/** S3 and its kin, which have the S3 rules of paths and payload hashes. */
export function isS3(service: string): boolean {
  return S3_SERVICES.has(service)
}

/** `20150830T123600Z` */
export function formatAmzDate(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
}

/** `20150830/us-east-1/service/aws4_request` */
export function formatScope({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`
}

export function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function sha256Hex(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

const S3_SERVICES: ReadonlySet<string> = new Set(['s3', 's3-object-lambda', 's3-outposts', 's3express'])
const REPLACED: ReadonlySet<string> = new Set([
  'authorization',
  'x-amz-date',
  'x-amz-security-token',
  'x-amz-content-sha256',
])
const REQUIRED: ReadonlySet<string> = new Set(['host', 'x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256'])
/** A proxy may change or drop these on the way; AWS refuses a signed `Expect`. */
const NEVER_BY_DEFAULT: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'expect',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'x-amzn-trace-id',
])

function namesToSign(headers: readonly string[], wanted: readonly string[] | undefined): string[] {
  const present = new Set(headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()))
  const wish = wanted === undefined ? undefined : new Set(wanted)
  return [...present]
    .filter((name) => REQUIRED.has(name) || (wish === undefined ? !NEVER_BY_DEFAULT.has(name) : wish.has(name)))
    .sort(compare)
}

function canonicalValues(values: readonly string[]): string {
  return values.map((value) => value.replace(/[ \t\r\n]+/g, ' ').replace(/^ | $/g, '')).join(',')
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function decodeQuery(text: string): Buffer {
  return percentDecode(text.replaceAll('+', ' '))
}

/** `%XX` to bytes; a lone `%` stays itself. */
function percentDecode(text: string): Buffer {
  if (!text.includes('%')) return Buffer.from(text)
  const parts = text.split(/(%[0-9A-Fa-f]{2})/)
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))),
  )
}

/** Escapes every byte but the unreserved of RFC 3986 §2.3, in upper-case hex. */
function uriEncode(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += ENCODED[byte]
  return text
}

const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
})
