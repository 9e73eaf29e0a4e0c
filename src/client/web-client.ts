import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import tls from 'node:tls'
import {
  AccessDenied,
  AccessError,
  AlreadyExists,
  Conflict,
  type ErrorDetails,
  InvalidInput,
  LimitExceeded,
  NotFound,
  Unauthenticated,
  Unavailable,
} from '#errors.ts'
import type { Egress } from '#net/egress.ts'
import { spkiSha256 } from '#pki/key.ts'
import { product } from '#product.ts'
import { formatProxyAddress, type ProxyAddress, proxyUrl } from './proxy-address.ts'

/** What vouches for the proxy's web certificate beside the authorities that the machine trusts. */
export interface WebTrust {
  /** `sha256:` and 64 hex digits: the hash of the key of an authority in the chain that the proxy shows. */
  readonly caPin?: string
  /** Host authorities that an earlier login brought, PEM. */
  readonly hostAuthorities?: readonly string[]
  /** No check at all: whoever answers gets the password. */
  readonly allowUntrustedProxy?: boolean
}

export interface WebClientOptions {
  readonly proxy: ProxyAddress
  readonly trust: WebTrust
  readonly egress: Egress
  readonly signal?: AbortSignal
}

/** JSON over HTTPS to the proxy's web API. A call is refused with the error that the proxy names. */
export interface WebClient {
  readonly proxy: ProxyAddress
  get(path: string): Promise<unknown>
  post(path: string, body: unknown): Promise<unknown>
  put(path: string, body: unknown): Promise<unknown>
}

/** The proxy's web certificate is not vouched for by anything that is trusted here. */
export class UntrustedProxy extends Unauthenticated {}

/**
 * A client of the web API. Each call is a connection of its own: a login makes three.
 * With a pin, the chain is fetched first over a connection that carries nothing, and the pinned authority found in it
 * becomes the only root of the connections that carry something.
 */
export function createWebClient(options: WebClientOptions): WebClient {
  let roots: Promise<readonly string[] | undefined> | undefined
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    roots ??= trustedRoots(options)
    const trusted = await roots
    const socket = await dialTls(options, { ca: trusted })
    try {
      return await exchange(options, { socket, method, path, body })
    } finally {
      socket.destroy()
    }
  }
  return {
    proxy: options.proxy,
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    put: (path, body) => call('PUT', path, body),
  }
}

/** Longest answer that is read. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
const CALL_MS = 30_000

/** Roots for the connections to the proxy; `undefined`: take any certificate. */
async function trustedRoots(options: WebClientOptions): Promise<readonly string[] | undefined> {
  const { trust, egress } = options
  if (trust.caPin !== undefined) return [await pinnedAuthority(options, trust.caPin)]
  if (trust.allowUntrustedProxy === true) return undefined
  return [...egress.authorities(), ...(trust.hostAuthorities ?? [])]
}

async function pinnedAuthority(options: WebClientOptions, caPin: string): Promise<string> {
  if (!/^sha256:[0-9a-f]{64}$/.test(caPin)) {
    throw new InvalidInput(`${JSON.stringify(caPin.slice(0, 80))} is not a CA pin`, {
      hint: 'copy the "CA pin" line of "tctl status": sha256: and 64 hex digits',
    })
  }
  const socket = await dialTls(options, { ca: undefined })
  const chain = presentedChain(socket)
  socket.destroy()
  const pinned = chain.find((certificate) => `sha256:${spkiSha256(certificate.publicKey).toString('hex')}` === caPin)
  if (pinned === undefined) {
    throw new UntrustedProxy(
      `the proxy ${formatProxyAddress(options.proxy)} shows no certificate with the key ${caPin}`,
      {
        hint: 'compare the pin with "tctl status"; if it is right, somebody else answers at this address',
      },
    )
  }
  return pinned.toString()
}

function presentedChain(socket: tls.TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  let next: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (next?.raw !== undefined && chain.length < 10) {
    chain.push(new X509Certificate(next.raw))
    const issuer: tls.DetailedPeerCertificate | undefined = next.issuerCertificate
    next = issuer === next ? undefined : issuer
  }
  return chain
}

async function dialTls(
  { proxy, egress, signal }: WebClientOptions,
  { ca }: { ca: readonly string[] | undefined },
): Promise<tls.TLSSocket> {
  const limit =
    signal === undefined ? AbortSignal.timeout(CALL_MS) : AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)])
  const raw = await egress.dial(proxy.host, proxy.port, { signal: limit })
  const socket = tls.connect({
    socket: raw,
    host: proxy.host,
    servername: isIP(proxy.host) ? '' : proxy.host,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: ca !== undefined,
    ...(ca === undefined ? {} : { ca: [...ca] }),
  })
  try {
    await once(socket, 'secureConnect', { signal: limit })
    return socket
  } catch (cause) {
    socket.destroy()
    throw tlsFailure(proxy, cause)
  }
}

function tlsFailure(proxy: ProxyAddress, cause: unknown): AccessError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const address = formatProxyAddress(proxy)
  if (/CERT_(NOT_YET_VALID|HAS_EXPIRED)/.test(code)) {
    return new UntrustedProxy(`the certificate of ${address} is not valid at this time (${code})`, {
      hint: 'check the clock of this machine; if it is right, have the certificate of the proxy renewed',
      cause,
    })
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new UntrustedProxy(`the certificate of ${address} is for another name`, {
      hint: 'use the public address of the proxy, as its certificate has it',
      cause,
    })
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return new UntrustedProxy(`the certificate of ${address} is not signed by an authority that is trusted here`, {
      hint: 'give --ca-pin with the "CA pin" of "tctl status"; --insecure skips the check, in a test set-up alone',
      cause,
    })
  }
  const how = code.includes('ALERT') ? `like a ${product.name} proxy` : 'with TLS'
  return new Unavailable(`${address} does not answer ${how}`, {
    hint: `check that this is the address of a ${product.name} proxy`,
    cause,
  })
}

interface Exchange {
  readonly socket: tls.TLSSocket
  readonly method: string
  readonly path: string
  readonly body: unknown
}

async function exchange(
  { proxy, signal }: WebClientOptions,
  { socket, method, path, body }: Exchange,
): Promise<unknown> {
  const limit = AbortSignal.timeout(CALL_MS)
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const request = https.request({
    createConnection: () => socket,
    method,
    path,
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    headers: {
      host: formatProxyAddress(proxy),
      accept: 'application/json',
      'user-agent': `${product.name.toLowerCase()}-tsh/${product.version}`,
      ...(payload && { 'content-type': 'application/json', 'content-length': payload.length }),
    },
  })
  try {
    const answered = once(request, 'response')
    request.end(payload)
    const [response] = await answered
    return readAnswer(proxy, { status: response.statusCode, text: await readText(response) })
  } catch (cause) {
    if (cause instanceof AccessError) throw cause
    throw new Unavailable(`${formatProxyAddress(proxy)} did not answer`, { hint: 'try again in a moment', cause })
  }
}

async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) {
      throw new Unavailable('the answer is too long', {
        hint: `check that this is the address of a ${product.name} proxy`,
      })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The value of an answer, or the error that it carries: `{"error":{"message","hint"}}`. */
function readAnswer(proxy: ProxyAddress, { status, text }: { status: number; text: string }): unknown {
  let value: unknown
  try {
    value = text === '' && status < 300 ? {} : JSON.parse(text)
  } catch {
    throw new Unavailable(
      `${formatProxyAddress(proxy)} answered something that is not JSON (status ${status}): it is probably not a ${product.name} proxy`,
      { hint: `check the address: ${proxyUrl(proxy)}/webapi/ping answers with JSON at a proxy` },
    )
  }
  if (status >= 200 && status < 300) return value
  throw refusal(status, value)
}

function refusal(status: number, value: unknown): AccessError {
  const error = fieldsOf(fieldsOf(value).error)
  const message = typeof error.message === 'string' ? error.message : `the proxy answered with status ${status}`
  const [, Kind, fallback] = refusals.find(([each]) => each === status) ?? otherRefusal(status)
  const details: ErrorDetails = { hint: typeof error.hint === 'string' ? error.hint : fallback }
  return new Kind(message, details)
}

type Refusal = readonly [
  status: number,
  kind: new (message: string, details: ErrorDetails) => AccessError,
  hint: string,
]

const refusals: readonly Refusal[] = [
  [400, InvalidInput, 'correct the request and try again'],
  [401, Unauthenticated, 'log in again'],
  [403, AccessDenied, 'check user name, password and code'],
  [404, NotFound, 'check the address, and that tsh is not newer than the cluster'],
  [409, AlreadyExists, 'choose another name'],
  [412, Conflict, 'read the present state and try again'],
  [429, LimitExceeded, 'wait a minute, then try again'],
]

function otherRefusal(status: number): Refusal {
  return status >= 500
    ? [status, Unavailable, 'try again; if it stays, look at the log of the proxy']
    : [status, InvalidInput, 'correct the request and try again']
}

/** The fields of a JSON object; none for any other value. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}
