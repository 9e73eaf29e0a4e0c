import { once } from 'node:events'
import http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { Transport } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { Unauthenticated, Unavailable } from '#errors.ts'
import { MAX_MESSAGE_BYTES } from './server.ts'
import { fromConnectError } from './status.ts'

/** Longest time that a call with one answer waits, connecting included. Streams have no such end. */
const CALL_MS = 30_000
const CONNECT_MS = 10_000
/** A connection with open streams is asked for a sign of life so often, and given so long to answer. */
const PING_EVERY_MS = 10_000
const PING_ANSWER_MS = 5_000

export interface ClientCertificate {
  /** PEM. */
  readonly cert: string
  /** PKCS #8, PEM. */
  readonly key: string
}

export interface RpcClientOptions {
  /** Opens a raw connection to the Auth Service, directly or through the proxy's router. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>
  /** SNI, and the name that the server's certificate must bear: `auth.rpc.CLUSTER`. */
  readonly serverName: string
  /** Certificates of the host authority, PEM. Asked at every connection when given as a function. */
  readonly hostAuthorities: readonly string[] | (() => readonly string[])
  /** Left out: an anonymous caller. Asked at every connection when given as a function. */
  readonly certificate?: ClientCertificate | (() => ClientCertificate | undefined)
  /** Only for the one call that fetches the authorities, whose pins are compared before anything else is believed. */
  readonly allowUnverifiedServer?: boolean
}

/** A transport for `createClient(Service, transport)`. Its calls throw `AccessError`s. */
export interface RpcConnection extends AsyncDisposable {
  readonly transport: Transport
  /** Closes the present connection; the next call opens a new one, with a new certificate for example. */
  reconnect(): void
}

/**
 * Calls over one HTTP/2 connection that is opened when first needed and opened anew when it ended.
 * Calls that were under way when it ended fail with `Unavailable`; nothing is repeated in silence.
 */
export function createRpcClient(options: RpcClientOptions): RpcConnection {
  const sessions = new SessionManager(options)
  const inner = createConnectTransport({
    baseUrl: sessions.authority,
    httpVersion: '2',
    useBinaryFormat: true,
    sessionManager: sessions,
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    acceptCompression: [],
  })
  return {
    transport: withOurErrors(inner),
    reconnect: () => sessions.close(),
    async [Symbol.asyncDispose]() {
      await sessions[Symbol.asyncDispose]()
    },
  }
}

/** Gives calls with one answer a deadline, and errors their meaning back. */
function withOurErrors(inner: Transport): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, values) {
      try {
        return await inner.unary(method, signal, timeoutMs ?? CALL_MS, header, input, values)
      } catch (error) {
        throw fromConnectError(error)
      }
    },
    async stream(method, signal, timeoutMs, header, input, values) {
      try {
        const response = await inner.stream(method, signal, timeoutMs, header, input, values)
        return { ...response, message: rethrow(response.message) }
      } catch (error) {
        throw fromConnectError(error)
      }
    },
  }
}

async function* rethrow<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* messages
  } catch (error) {
    throw fromConnectError(error)
  }
}

/** Owns the connection. States: none, opening (a promise that is pending), open; an end leads back to none. */
class SessionManager implements AsyncDisposable {
  readonly authority: string
  readonly #options: RpcClientOptions
  readonly #closing = new AbortController()
  #session: Promise<http2.ClientHttp2Session> | undefined

  constructor(options: RpcClientOptions) {
    this.#options = options
    this.authority = `https://${options.serverName}`
  }

  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, 'signal'>,
  ): Promise<http2.ClientHttp2Stream> {
    for (let attempt = 0; ; attempt++) {
      const opening = this.#open()
      const session = await opening
      if (session.closed || session.destroyed) {
        if (this.#session === opening) this.#session = undefined
        // It ended between two calls: nothing was sent, so a second try is safe.
        if (attempt < 2) continue
        throw new Unavailable('the connection to the Auth Service ended', { hint: 'try again' })
      }
      return session.request({ ...headers, ':method': method, ':path': path }, options)
    }
  }

  notifyResponseByteRead(): void {}

  close(): void {
    const session = this.#session
    this.#session = undefined
    session?.then(
      (open) => open.close(),
      () => {},
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Unavailable('the connection was closed', { hint: 'open a new one' }))
    const session = await this.#session?.catch(() => undefined)
    this.#session = undefined
    if (!session || session.destroyed) return
    const closed = once(session, 'close')
    session.destroy()
    await closed
  }

  #open(): Promise<http2.ClientHttp2Session> {
    this.#closing.signal.throwIfAborted()
    if (this.#session) return this.#session
    const opening = openSession(this.#options, this.#closing.signal)
    this.#session = opening
    const forget = (): void => {
      if (this.#session === opening) this.#session = undefined
    }
    opening.then((session) => {
      session.once('close', forget)
      session.once('goaway', forget)
      session.on('error', forget)
      if (session.closed || session.destroyed) forget()
    }, forget)
    return opening
  }
}

async function openSession(options: RpcClientOptions, closing: AbortSignal): Promise<http2.ClientHttp2Session> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(CONNECT_MS)])
  const raw = await options.dial(signal)
  const socket = await secure(raw, options, signal)
  const session = http2.connect(`https://${options.serverName}`, {
    createConnection: () => socket,
    settings: { enablePush: false },
  })
  session.on('error', () => {}) // streams see it
  try {
    await once(session, 'connect', { signal })
  } catch (cause) {
    session.destroy()
    throw unreachableAuth(cause)
  }
  keepAlive(session)
  return session
}

/** @throws {Unauthenticated} if the server is not the one that was named. */
async function secure(raw: Duplex, options: RpcClientOptions, signal: AbortSignal): Promise<tls.TLSSocket> {
  const { certificate, hostAuthorities, serverName, allowUnverifiedServer = false } = options
  raw.allowHalfOpen = false // HTTP/2 has its own ends: a peer that was killed leaves only the end of the connection
  const shown = typeof certificate === 'function' ? certificate() : certificate
  const roots = typeof hostAuthorities === 'function' ? hostAuthorities() : hostAuthorities
  const socket = tls.connect({
    socket: raw,
    servername: serverName,
    ca: [...roots],
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    rejectUnauthorized: !allowUnverifiedServer,
    ...(shown && { cert: shown.cert, key: shown.key }),
  })
  try {
    await once(socket, 'secureConnect', { signal })
    return socket
  } catch (cause) {
    socket.destroy()
    raw.destroy()
    if (!isCertificateError(cause)) throw unreachableAuth(cause)
    throw new Unauthenticated(`the server that answered is not the Auth Service ${serverName}`, {
      hint: 'check the address, and that the authorities of this cluster are known here',
      cause,
    })
  }
}

/** Error codes of OpenSSL's chain check as Node names them. @see Node.js TLS, "X509 certificate error codes" */
const certificateErrors =
  /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_TLS_CERT_ALTNAME_INVALID|INVALID_CA|PATH_LENGTH|HOSTNAME_MISMATCH/

function isCertificateError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && certificateErrors.test(String(error.code))
}

function unreachableAuth(cause: unknown): Unavailable {
  return new Unavailable('the Auth Service cannot be reached', {
    hint: 'check that it runs and that its address is right, then try again',
    cause,
  })
}

/** Ends a connection whose peer is gone without a word. */
function keepAlive(session: http2.ClientHttp2Session): void {
  const timer = setInterval(() => {
    const silent = setTimeout(() => session.destroy(), PING_ANSWER_MS).unref()
    try {
      session.ping(() => clearTimeout(silent))
    } catch {
      clearTimeout(silent) // destroyed in between
    }
  }, PING_EVERY_MS).unref()
  session.once('close', () => clearInterval(timer))
}
