import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { AccessError, type ErrorDetails, InvalidInput } from '#errors.ts'
import { parseNoProxy } from './no-proxy.ts'

/** How this process reaches the outside. */
export interface EgressSettings {
  /** `http://proxy.example.com:3128` or `https://user:password@proxy.example.com`. It may hold a password: never log it. */
  readonly httpsProxy?: string
  /** As `NO_PROXY`: see `parseNoProxy`. */
  readonly noProxy?: string
  /** Certificates, PEM, that are trusted beside the system's and Node's own. */
  readonly extraCa?: string
}

/** The one way out. */
export interface Egress extends Disposable {
  /** For SDKs and `https.request`: proxy, no-proxy list and extra authorities are inside; connections are kept. */
  readonly agent: https.Agent
  /** Authorities that `agent` trusts, PEM, for whoever makes its own TLS over `dial`. */
  readonly authorities: () => string[]
  /**
   * A TCP connection, through CONNECT when the settings say so.
   *
   * @throws {EgressFailed}
   */
  dial(host: string, port: number, options?: { readonly signal?: AbortSignal }): Promise<net.Socket>
}

/** A host outside cannot be reached. */
class EgressFailed extends AccessError {
  override readonly code = 'unavailable'

  /** @param target as `example.com:443` */
  constructor(target: string, what: string, details: ErrorDetails) {
    super(`cannot connect to ${target}: ${what}`, details)
  }
}

/**
 * Reads the settings from environment variables: `HTTPS_PROXY`, `NO_PROXY` (also in lower case, which wins, as in curl),
 * `NODE_EXTRA_CA_CERTS` and `SSL_CERT_FILE`.
 *
 * @throws {InvalidInput} if a file of certificates cannot be read
 */
export function egressFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): EgressSettings {
  const httpsProxy = env.https_proxy || env.HTTPS_PROXY
  const noProxy = env.no_proxy ?? env.NO_PROXY
  const certificates = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'].flatMap((variable) => {
    const path = env[variable]
    if (path === undefined || path === '') return []
    try {
      return [readFile(path)]
    } catch (cause) {
      throw new InvalidInput(`${variable} names a file that cannot be read: ${path}`, {
        hint: `correct or unset ${variable}`,
        cause,
      })
    }
  })
  return {
    ...(httpsProxy ? { httpsProxy } : {}),
    ...(noProxy ? { noProxy } : {}),
    ...(certificates.length > 0 ? { extraCa: certificates.join('\n') } : {}),
  }
}

/**
 * Builds the way out once, from settings.
 *
 * @throws {InvalidInput} if the proxy is not an http or https URL; the text never holds the URL, which may hold a password
 */
export function createEgress(settings: EgressSettings): Egress {
  const proxy = settings.httpsProxy === undefined ? undefined : parseProxy(settings.httpsProxy)
  const goesStraight = parseNoProxy(settings.noProxy ?? '')
  let trusted: string[] | undefined // reading the system's store takes a while, and not every program dials out
  const authorities = (): string[] => {
    trusted ??= trustedAuthorities(settings.extraCa)
    return trusted
  }
  let agent: EgressAgent | undefined

  const dial: Egress['dial'] = async (host, port, { signal } = {}) =>
    proxy === undefined || goesStraight(host, port)
      ? dialStraight(host, port, signal)
      : dialThrough(proxy, { host, port, authorities, signal })

  return {
    get agent() {
      agent ??= new EgressAgent(dial, authorities())
      return agent
    },
    authorities,
    dial,
    [Symbol.dispose]() {
      agent?.destroy()
    },
  }
}

interface ProxyServer {
  readonly isTls: boolean
  readonly host: string
  readonly port: number
  readonly authorization: string | undefined
}

function parseProxy(text: string): ProxyServer {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new InvalidInput('HTTPS_PROXY is not the URL of an HTTP proxy', {
      hint: 'write it as http://HOST:PORT or https://USER:PASSWORD@HOST:PORT',
    })
  }
  const isTls = url.protocol === 'https:'
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return {
    isTls,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port),
    authorization: credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
  }
}

function trustedAuthorities(extraCa: string | undefined): string[] {
  return [
    ...new Set([
      ...tls.getCACertificates('default'),
      ...tls.getCACertificates('system'),
      ...(extraCa === undefined ? [] : [extraCa]),
    ]),
  ]
}

const DIAL_TIMEOUT_MS = 30_000

async function dialStraight(host: string, port: number, signal: AbortSignal | undefined): Promise<net.Socket> {
  const limit = AbortSignal.timeout(DIAL_TIMEOUT_MS)
  const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true })
  try {
    await once(socket, 'connect', { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) })
    return socket
  } catch (cause) {
    socket.on('error', () => {})
    socket.destroy()
    signal?.throwIfAborted()
    throw new EgressFailed(`${host}:${port}`, reasonOf(cause, limit), {
      hint: 'check the address, the network and, where one is needed, HTTPS_PROXY',
      cause,
    })
  }
}

interface ThroughTarget {
  readonly host: string
  readonly port: number
  readonly authorities: () => string[]
  readonly signal: AbortSignal | undefined
}

/** RFC 9110 §9.3.6. */
function dialThrough(proxy: ProxyServer, { host, port, authorities, signal }: ThroughTarget): Promise<net.Socket> {
  const target = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const limit = AbortSignal.timeout(DIAL_TIMEOUT_MS)
  const options: https.RequestOptions = {
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path: target,
    agent: false,
    headers: { host: target, ...(proxy.authorization ? { 'proxy-authorization': proxy.authorization } : {}) },
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
  }
  const request = proxy.isTls
    ? https.request({ ...options, ca: authorities(), servername: net.isIP(proxy.host) ? '' : proxy.host })
    : http.request(options)
  return new Promise((resolve, reject) => {
    const fail = (what: string, hint: string, cause?: unknown): void =>
      reject(
        signal?.aborted
          ? signal.reason
          : new EgressFailed(target, `the proxy ${proxy.host}:${proxy.port} ${what}`, { hint, cause }),
      )
    request.once('connect', (response, socket: net.Socket, head) => {
      if (response.statusCode === 200) {
        socket.setNoDelay(true)
        if (head.length > 0) socket.unshift(head)
        resolve(socket)
        return
      }
      socket.destroy()
      fail(
        `answered ${response.statusCode}`,
        response.statusCode === 407
          ? 'put the user and password of the proxy into HTTPS_PROXY'
          : 'have the proxy allow this target, or add it to NO_PROXY',
      )
    })
    request.once('response', (response) => {
      response.destroy()
      fail(`answered ${response.statusCode} to CONNECT`, 'check that HTTPS_PROXY names an HTTP proxy')
    })
    request.on('error', (cause) =>
      fail(`cannot be reached (${reasonOf(cause, limit)})`, 'check HTTPS_PROXY and the network', cause),
    )
    request.end()
  })
}

function reasonOf(error: unknown, limit: AbortSignal): string {
  if (limit.aborted) return `no answer within ${DIAL_TIMEOUT_MS / 1000} s`
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.message : 'failed'
}

/** An agent whose connections are dialled by the same rules as everything else. */
class EgressAgent extends https.Agent {
  readonly #dial: Egress['dial']
  // Not as `ca`: Node would read all of it anew for each connection, and make it part of the name by which it looks up a kept one for each request.
  readonly #secureContext: tls.SecureContext

  constructor(dial: Egress['dial'], ca: string[]) {
    super({ keepAlive: true })
    this.#dial = dial
    this.#secureContext = tls.createSecureContext({ ca })
  }

  override createConnection(
    options: https.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const host = options.host ?? options.hostname ?? 'localhost'
    this.#dial(host, Number(options.port ?? 443)).then(
      (socket) => {
        const connect = super.createConnection.bind(this)
        const stream = connect(Object.assign({}, options, { socket, secureContext: this.#secureContext })) // keeps the agent's cache of TLS sessions
        if (stream) callback?.(null, stream)
      },
      // The callback takes no stream with an error: node:http, "agent.createConnection".
      (error: unknown) => (callback as ((error: unknown) => void) | undefined)?.(error),
    )
    return undefined
  }
}
