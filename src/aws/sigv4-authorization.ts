/** Reads the placeholder or real signature of a request: the `Authorization` header, or the query of a presigned URL. */
import { InvalidInput } from '#errors.ts'
import { algorithm, type Scope } from './sigv4.ts'

/** What a SigV4 signature says about itself. */
export interface Authorization {
  readonly accessKeyId: string
  readonly scope: Scope
  /** Lower case, sorted, without doubles. */
  readonly signedHeaders: readonly string[]
  /** 64 lower-case hex digits. */
  readonly signature: string
}

/** A signature in the query. */
export interface Presigned extends Authorization {
  /** `20130524T000000Z` */
  readonly amzDate: string
  readonly expiresSeconds: number
  readonly sessionToken?: string
}

/** A signature that is missing, malformed, or of a kind that is not supported. */
export class InvalidAuthorization extends InvalidInput {}

/**
 * Parses `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX`:
 * its three parts in any order.
 *
 * @throws {InvalidAuthorization}
 * @see AWS IAM user guide "Authentication methods: HTTP Authorization header"
 */
export function parseAuthorization(header: string): Authorization {
  if (header === '') throw invalid('empty AWS SigV4 header')
  if (header.length > MAX_HEADER) throw invalid('AWS SigV4 header is too long')
  refuseOtherAlgorithms(header.split(' ', 1)[0] ?? '')
  if (!header.startsWith(`${algorithm} `)) throw invalid('missing AWS SigV4 authorization algorithm')
  const parts = header.slice(algorithm.length + 1).split(',')
  if (parts.length !== 3) {
    throw invalid(`expected AWS SigV4 Authorization header with 3 comma-separated components but got ${parts.length}`)
  }
  const fields = new Map(parts.map((part): [string, string] => splitPair(part.trim())))
  return parseFields(fields.get('Credential'), fields.get('SignedHeaders'), fields.get('Signature'))
}

/**
 * Parses the signature of a presigned URL; `undefined` if the query has none.
 *
 * @throws {InvalidAuthorization}
 * @see Amazon S3 API reference "Authenticating Requests: Using Query Parameters"
 */
export function parsePresigned(query: string): Presigned | undefined {
  if (query.length > MAX_QUERY) throw invalid('the query is too long')
  const fields = new Map<string, string>()
  for (const pair of query.split('&')) {
    const [rawName, rawValue] = splitPair(pair)
    const name = decode(rawName)
    if (!PRESIGNED_FIELDS.has(name)) continue
    if (fields.has(name)) throw invalid(`${name} is given twice`)
    fields.set(name, decode(rawValue))
  }
  const named = fields.get('X-Amz-Algorithm')
  if (named === undefined && !fields.has('X-Amz-Signature')) return undefined
  refuseOtherAlgorithms(named ?? '')
  if (named !== algorithm) throw invalid('missing AWS SigV4 authorization algorithm')
  const authorization = parseFields(
    fields.get('X-Amz-Credential'),
    fields.get('X-Amz-SignedHeaders'),
    fields.get('X-Amz-Signature'),
  )
  const amzDate = fields.get('X-Amz-Date') ?? ''
  parseAmzDate(amzDate)
  const expires = fields.get('X-Amz-Expires') ?? ''
  if (!/^\d{1,6}$/.test(expires) || Number(expires) > MAX_EXPIRES) throw invalid('invalid X-Amz-Expires')
  const token = fields.get('X-Amz-Security-Token')
  return {
    ...authorization,
    amzDate,
    expiresSeconds: Number(expires),
    ...(token === undefined ? {} : { sessionToken: token }),
  }
}

/** The query without the fields of its signature; everything else stays as sent. */
export function dropPresigned(query: string): string {
  return query
    .split('&')
    .filter((pair) => !PRESIGNED_FIELDS.has(decode(splitPair(pair)[0])))
    .join('&')
}

/**
 * Parses `20150830T123600Z`.
 *
 * @throws {InvalidAuthorization}
 */
export function parseAmzDate(text: string): Date {
  const [, year, month, day, hour, minute, second] = AMZ_DATE.exec(text) ?? []
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(at.getTime()) || !at.toISOString().startsWith(`${year}-${month}-${day}T`)) {
    throw invalid('missing or invalid X-Amz-Date')
  }
  return at
}

const MAX_HEADER = 8192
const MAX_QUERY = 65_536
/** Seven days. */
const MAX_EXPIRES = 604_800
const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/
const PRESIGNED_FIELDS: ReadonlySet<string> = new Set([
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
  'X-Amz-Security-Token',
])

function parseFields(credential = '', headers = '', signature = ''): Authorization {
  const parts = credential.split('/')
  const [accessKeyId = '', date = '', region = '', service = '', end] = parts
  const isWellFormed =
    parts.length === 5 &&
    end === 'aws4_request' &&
    /^[\w-]{1,128}$/.test(accessKeyId) &&
    /^\d{8}$/.test(date) &&
    /^[A-Za-z0-9-]{1,64}$/.test(region) &&
    /^[A-Za-z0-9-]{1,64}$/.test(service)
  if (!isWellFormed) throw invalid('invalid size of "Credential" section')
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+(;[!#$%&'*+.^_`|~0-9a-z-]+)*$/.test(headers)) throw invalid('invalid signed headers')
  const signedHeaders = headers.split(';')
  if (!signedHeaders.every((name, index) => index === 0 || name > (signedHeaders[index - 1] ?? ''))) {
    throw invalid('signed headers are not sorted')
  }
  if (!/^[0-9a-f]{64}$/.test(signature)) throw invalid('invalid signature')
  return { accessKeyId, scope: { date, region, service }, signedHeaders, signature }
}

function refuseOtherAlgorithms(name: string): void {
  if (name.startsWith('AWS4-ECDSA-')) {
    throw new InvalidAuthorization('SigV4A (AWS4-ECDSA-P256-SHA256) signatures are not supported', {
      hint: 'use a regional endpoint instead of a multi-region access point, or set AWS_SIGV4A_SIGNING_REGION_SET to nothing',
    })
  }
  if (name === 'AWS' || name.startsWith('AWS3')) {
    throw new InvalidAuthorization('AWS signature version 2 is not supported', { hint: 'sign with version 4' })
  }
}

function splitPair(text: string): [string, string] {
  const at = text.indexOf('=')
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

function invalid(message: string): InvalidAuthorization {
  return new InvalidAuthorization(message, {
    hint: 'use the access key and the proxy settings that tsh printed, and no other AWS credentials beside them',
  })
}
