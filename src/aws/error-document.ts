/** Our refusals, in the form in which AWS itself would refuse: so that every AWS client prints the reason. */
import { answerHeaders } from './forwarding.ts'
import { headerValues, isS3 } from './sigv4.ts'

/** Wire protocols of AWS services, as far as their errors differ. */
export type AwsProtocol = 's3' | 'query' | 'ec2' | 'rest-xml' | 'json-1.0' | 'json-1.1' | 'rest-json' | 'cbor'

export interface AwsErrorOptions {
  readonly protocol: AwsProtocol
  /** AWS's word: `AccessDenied`, `SignatureDoesNotMatch`, `RequestTimeTooSkewed`, `InternalError` … */
  readonly code: string
  readonly message: string
  readonly requestId: string
  /** Whose fault, for query errors; the sender's unless given. */
  readonly fault?: 'Sender' | 'Receiver'
}

export interface AwsErrorDocument {
  readonly contentType: string
  readonly body: Buffer
  /** Names and values in turns, `Content-Type` and `Content-Length` among them. */
  readonly headers: readonly string[]
}

/** The document, and headers that carry the reason where the client drops bodies (HEAD). */
export function awsErrorDocument(options: AwsErrorOptions): AwsErrorDocument {
  const { contentType, body, extra = [] } = render(options)
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return {
    contentType,
    body: bytes,
    headers: [
      'Content-Type',
      contentType,
      'Content-Length',
      String(bytes.length),
      'x-amzn-RequestId',
      options.requestId,
      answerHeaders.apiError,
      encodeURIComponent(options.message.toWellFormed()),
      ...extra,
    ],
  }
}

/**
 * Which protocol the client of this request speaks.
 *
 * @see Smithy "AWS Protocols"
 */
export function protocolOf(service: string, headers: readonly string[], query = ''): AwsProtocol {
  const [contentType = ''] = headerValues(headers, 'content-type')
  if (isS3(service)) return 's3'
  if (headerValues(headers, 'smithy-protocol')[0] === 'rpc-v2-cbor') return 'cbor'
  if (contentType.startsWith('application/x-amz-json-1.0')) return 'json-1.0'
  if (contentType.startsWith('application/x-amz-json-1.1') || headerValues(headers, 'x-amz-target').length > 0)
    return 'json-1.1'
  if (service === 'ec2') return 'ec2'
  if (QUERY_SERVICES.has(service) || /(^|&)Action=/.test(query)) return 'query'
  if (contentType.startsWith('application/x-www-form-urlencoded')) return 'query'
  return REST_XML_SERVICES.has(service) ? 'rest-xml' : 'rest-json'
}

const QUERY_SERVICES: ReadonlySet<string> = new Set([
  'sts',
  'iam',
  'sns',
  'rds',
  'redshift',
  'elasticache',
  'cloudformation',
  'autoscaling',
  'elasticloadbalancing',
  'elasticbeanstalk',
  'cloudsearch',
])
const REST_XML_SERVICES: ReadonlySet<string> = new Set(['route53', 'cloudfront', 's3-control'])

interface Rendered {
  readonly contentType: string
  readonly body: string | Buffer
  readonly extra?: readonly string[]
}

function render({ protocol, code, message, requestId, fault = 'Sender' }: AwsErrorOptions): Rendered {
  const fields = `<Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message>`
  const id = escapeXml(requestId)
  switch (protocol) {
    case 's3':
      return xml(`<Error>${fields}<RequestId>${id}</RequestId><HostId></HostId></Error>`)
    case 'ec2':
      return xml(`<Response><Errors><Error>${fields}</Error></Errors><RequestID>${id}</RequestID></Response>`)
    case 'query':
    case 'rest-xml': {
      const error = `<Error><Type>${fault}</Type>${fields}</Error>`
      return xml(`<ErrorResponse>${error}<RequestId>${id}</RequestId></ErrorResponse>`)
    }
    case 'cbor':
      return {
        contentType: 'application/cbor',
        body: cborMap({ __type: code, message }),
        extra: ['smithy-protocol', 'rpc-v2-cbor'],
      }
    default: {
      const contentType = protocol === 'rest-json' ? 'application/json' : `application/x-amz-${protocol}`
      return { contentType, body: JSON.stringify({ __type: code, message }), extra: ['x-amzn-ErrorType', code] }
    }
  }
}

function xml(content: string): Rendered {
  return { contentType: 'application/xml', body: `<?xml version="1.0" encoding="UTF-8"?>\n${content}` }
}

function escapeXml(text: string): string {
  return text
    .replace(/[<>&'"]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '?')
}

/** A map of text to text (RFC 8949 §3.1, major types 5 and 3). */
function cborMap(fields: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(fields)
  return Buffer.concat([cborHead(5, entries.length), ...entries.flat().map(cborText)])
}

function cborText(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([cborHead(3, bytes.length), bytes])
}

function cborHead(major: number, length: number): Buffer {
  const type = major << 5
  if (length < 24) return Buffer.from([type | length])
  if (length < 256) return Buffer.from([type | 24, length])
  return Buffer.from([type | 25, (length >> 8) & 255, length & 255])
}
