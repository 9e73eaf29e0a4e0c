/** Requests by hand: signed by the stock signer, then sent as they are or bent first. For tests of what is refused. */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import https from 'node:https'
import { SignatureV4 } from '@smithy/signature-v4'

/** A request, as it is to be signed or sent. */
export interface RawRequest {
  readonly method?: string
  readonly host: string
  /** As it goes on the wire; `/` when absent. */
  readonly path?: string
  /** Decoded. */
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** What came back, read whole. */
export interface RawResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** What stands in `<Code>` or `__type`. */
  readonly code: string | undefined
}

/** A key pair, revealed. */
export interface RawKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** How to sign. */
export interface RawSigning {
  readonly key: RawKey
  readonly service: string
  readonly region?: string
  readonly at?: Date
  /** Value of `x-amz-content-sha256`; the hash of the body when absent. */
  readonly payload?: string
  /** Gives a presigned query of so many seconds instead of headers. */
  readonly expiresIn?: number
}

/** What the stock signer wants as a hash. */
class Sha256 {
  #hash: Hash | Hmac
  readonly #secret: string | Uint8Array | undefined

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret =
      secret === undefined || typeof secret === 'string'
        ? secret
        : ArrayBuffer.isView(secret)
          ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
          : new Uint8Array(secret)
    this.#hash = this.#start()
  }

  update(data: Uint8Array): void {
    this.#hash.update(data)
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    this.#hash = this.#start()
  }

  #start(): Hash | Hmac {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret)
  }
}

/** The request with everything that a correct signature adds, as headers or in the query. */
export async function signRaw(request: RawRequest, signing: RawSigning): Promise<RawRequest> {
  const { method = 'GET', host, path = '/', query = {}, headers = {}, body } = request
  const { key, service, region = 'us-east-1', at = new Date(), payload, expiresIn } = signing
  const signer = new SignatureV4({
    credentials: key,
    service,
    region,
    sha256: Sha256,
    uriEscapePath: service !== 's3',
    applyChecksum: service === 's3',
  })
  const payloadHeader = payload === undefined ? {} : { 'x-amz-content-sha256': payload }
  const unsigned = {
    method,
    protocol: 'https:',
    hostname: host,
    path,
    query: { ...query },
    headers: { host, ...headers, ...payloadHeader },
    ...(body === undefined ? {} : { body }),
  }
  const signed =
    expiresIn === undefined
      ? await signer.sign(unsigned, { signingDate: at })
      : await signer.presign(unsigned, { signingDate: at, expiresIn })
  const signedQuery = Object.fromEntries(
    Object.entries(signed.query ?? {}).map(([name, value]) => [name, String(value)]),
  )
  return { ...request, query: signedQuery, headers: signed.headers }
}

/** Sends a request through the lab's proxy, exactly as it is given. */
export async function sendRaw(
  lab: { egressUrl: string; egress: { caPem: string } },
  request: RawRequest,
): Promise<RawResponse> {
  const { method = 'GET', host, path = '/', query = {}, headers = {}, body } = request
  const text = Object.entries(query)
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .join('&')
  const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: lab.egressUrl }, ca: lab.egress.caPem })
  try {
    const outgoing = https.request({
      agent,
      host,
      method,
      path: text === '' ? path : `${path}?${text}`,
      headers: { host, ...headers },
    })
    outgoing.end(body)
    const [response]: [IncomingMessage] = (await once(outgoing, 'response')) as [IncomingMessage] // what `response` is emitted with
    const chunks: Buffer[] = await response.toArray()
    const answer = Buffer.concat(chunks).toString('utf8')
    const code = /<Code>([^<]*)<\/Code>/.exec(answer)?.[1] ?? /"__type":"(?:[^"#]*#)?([^"]*)"/.exec(answer)?.[1]
    return { status: response.statusCode ?? 0, headers: response.headers, body: answer, code }
  } finally {
    agent.destroy()
  }
}

/** Signs and sends. */
export async function callRaw(
  lab: { egressUrl: string; egress: { caPem: string } },
  request: RawRequest,
  signing: RawSigning,
): Promise<RawResponse> {
  return sendRaw(lab, await signRaw(request, signing))
}

/** What to frame, and how. */
export interface ChunkedBody {
  readonly data: Buffer
  readonly chunkBytes: number
  /** Headers of the request, signed: the chunks go on from their signature. Absent: unsigned chunks. */
  readonly seed?: { readonly headers: Readonly<Record<string, string>>; readonly key: RawKey }
  readonly trailers?: Readonly<Record<string, string>>
}

/** Frames a body as `aws-chunked`. */
export function encodeChunked({ data, chunkBytes, seed, trailers = {} }: ChunkedBody): Buffer {
  const parts: (string | Buffer)[] = []
  const sign = seed && chunkSigner(seed)
  const pieces: Buffer[] = []
  for (let at = 0; at < data.length; at += chunkBytes) pieces.push(data.subarray(at, at + chunkBytes))
  for (const piece of [...pieces, Buffer.alloc(0)]) {
    const size = piece.length.toString(16)
    parts.push(sign ? `${size};chunk-signature=${sign('PAYLOAD', [sha256(''), sha256(piece)])}\r\n` : `${size}\r\n`)
    if (piece.length > 0) parts.push(piece, '\r\n')
  }
  const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}`)
  for (const line of lines) parts.push(`${line}\r\n`)
  if (sign && lines.length > 0)
    parts.push(`x-amz-trailer-signature:${sign('TRAILER', [sha256(lines.map((line) => `${line}\n`).join(''))])}\r\n`)
  parts.push('\r\n')
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

function chunkSigner({
  headers,
  key,
}: NonNullable<ChunkedBody['seed']>): (kind: string, hashes: readonly string[]) => string {
  const [, scope = '', signature = ''] =
    /Credential=[^/]+\/([^,]+),.*Signature=([0-9a-f]+)/.exec(headers.authorization ?? '') ?? []
  const signingKey = scope
    .split('/')
    .reduce<string | Buffer>(
      (secret, part) => createHmac('sha256', secret).update(part).digest(),
      `AWS4${key.secretAccessKey}`,
    )
  let previous = signature
  return (kind, hashes) => {
    const text = [`AWS4-HMAC-SHA256-${kind}`, headers['x-amz-date'], scope, previous, ...hashes].join('\n')
    previous = createHmac('sha256', signingKey).update(text).digest('hex')
    return previous
  }
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
