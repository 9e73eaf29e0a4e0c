/**
 * Where a caller's TLS ends: mutual TLS under the served name's certificate, then HTTP/1.1. Each request is decided on
 * its own, and those under way are decided again whenever something that counts has changed.
 */
import { constants, randomUUID } from 'node:crypto'
import http from 'node:http'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { ResourceCache } from '#cache/resource-cache.ts'
import type { Clock } from '#clock.ts'
import { Unavailable } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import type { Log } from '#log.ts'
import { useOwnTimers } from '#net/forward-http.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { verifyChain } from '#pki/chain.ts'
import { type App, appFamily } from '#resources/app.ts'
import type { CertAuthority } from '#resources/cert-authority.ts'
import { alpn } from '#tls-routing/names.ts'
import { type Admission, admit, type ClusterView, type Refusal, RefusedWhileServing, RoleSets } from './admit.ts'

/** One request of a caller who was let in, or not. */
export interface AppCall {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  readonly identity: UserIdentity
  /** IP address of the workstation, as the proxy says. */
  readonly clientAddress: string
  /** Names this request in every log, ours and the caller's. */
  readonly requestId: string
  /** Aborts when the caller is locked out, the certificate expires or the agent stops; its reason is an `AccessError`. */
  readonly signal: AbortSignal
}

/** A request that may go on. */
export interface AdmittedCall extends AppCall {
  readonly app: App
  readonly route: RouteToApp
  readonly grantedBy: readonly string[]
}

/** Serves apps, and says no in the words of their clients. */
export interface AppHandler {
  serve(call: AdmittedCall): Promise<void>
  /** Answers no in the words of the family's clients, and has it in the audit log. */
  refuse(call: AppCall, refusal: Refusal, app: App | undefined): Promise<void>
}

/** Certificate of a served name, PEM. */
interface ServedCertificate {
  readonly cert: string
  readonly key: string
}

export interface AppServerOptions {
  /** Name of the app that is served under an SNI; undefined: none. */
  readonly appUnder: (serverName: string) => string | undefined
  readonly certificateFor: (appName: string) => Promise<ServedCertificate>
  readonly view: () => ClusterView
  readonly cache: ResourceCache
  readonly handler: AppHandler
  readonly clock: Clock
  readonly log: Log
}

/** What the tunnel says of a stream. */
interface ConnectionMeta {
  readonly clientAddress: string
  /** Aborts when the proxy is about to go: the connection ends with the request that is under way. */
  readonly leaving?: AbortSignal
}

/** Takes streams from tunnels. Disposing cuts what is under way. */
export interface AppServer extends AsyncDisposable {
  /** Resolves when the stream has ended. */
  serve(stream: Duplex, meta: ConnectionMeta, signal: AbortSignal): Promise<void>
  /** Closes connections as soon as no request is under way on them. Resolves when none is left. */
  drain(): Promise<void>
}

/** How often requests under way are decided again, for what no change announces: expiry and staleness. */
const REVIEW_MS = 1_000
const HANDSHAKE_MS = 15_000
/** For the last request of a connection whose agent or proxy is leaving. */
const LAST_REQUEST_MS = 500
/** AWS session tokens alone have kilobytes. */
const MAX_HEADER_BYTES = 64 * 1024

export function startAppServer(options: AppServerOptions): AppServer {
  return new TlsAppServer(options)
}

/** A caller's connection after its handshake. */
interface Connection {
  readonly identity: UserIdentity
  readonly appName: string
  readonly clientAddress: string
  /** Answers under way. */
  readonly answers: Set<http.ServerResponse>
  isLeaving: boolean
}

interface LiveCall {
  readonly connection: Connection
  readonly stop: AbortController
}

class TlsAppServer implements AppServer {
  readonly #options: AppServerOptions
  readonly #http: http.Server
  readonly #connections = new WeakMap<object, Connection>()
  readonly #streams = new Set<Duplex>()
  readonly #calls = new Set<LiveCall>()
  readonly #answering = new Set<Promise<void>>()
  readonly #draining = new AbortController()
  readonly #roles = new RoleSets()
  readonly #timer: NodeJS.Timeout
  readonly #subscription: Disposable
  readonly #baseContext = tls.createSecureContext(tlsSettings)
  readonly #contexts = new Map<string, { readonly from: string; readonly context: tls.SecureContext }>()
  #authorities: readonly string[]

  constructor(options: AppServerOptions) {
    this.#options = options
    this.#authorities = userAuthorities(options.cache)
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      const answering = this.#answer(request, response).finally(() => this.#answering.delete(answering))
      this.#answering.add(answering)
    }
    this.#http = http.createServer({ maxHeaderSize: MAX_HEADER_BYTES }, onRequest)
    this.#http.on('checkContinue', onRequest)
    useOwnTimers(this.#http)
    this.#timer = setInterval(() => this.#review(), REVIEW_MS).unref()
    this.#subscription = options.cache.onChange(({ kind }) => {
      if (kind === 'role') this.#roles.forget()
      if (kind === 'cert_authority') this.#authorities = userAuthorities(options.cache)
      this.#review()
    })
  }

  async serve(stream: Duplex, meta: ConnectionMeta, signal: AbortSignal): Promise<void> {
    const closed = Promise.withResolvers<void>()
    const abort = (): void => void stream.destroy()
    stream.on('error', () => {}) // seen by the TLS over it
    stream.once('close', () => closed.resolve())
    signal.addEventListener('abort', abort, { once: true })
    this.#streams.add(stream)
    try {
      if (signal.aborted) stream.destroy()
      else await this.#handshake(stream, meta)
      await closed.promise
    } finally {
      signal.removeEventListener('abort', abort)
      this.#streams.delete(stream)
      stream.destroy()
    }
  }

  async drain(): Promise<void> {
    this.#draining.abort()
    // However a stream ends, it closes: an error of it is no error of the drain.
    for (const stream of this.#streams) if (!stream.closed) await closed(stream) // a set gives what is added meanwhile too
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#subscription[Symbol.dispose]()
    const reason = new Unavailable('this agent is stopping', {
      hint: 'send the request again: another agent may serve it',
    })
    for (const { stop } of this.#calls) stop.abort(reason)
    await Promise.all(this.#answering)
    for (const stream of this.#streams) stream.destroy()
  }

  async #handshake(stream: Duplex, { clientAddress, leaving }: ConnectionMeta): Promise<void> {
    let appName: string | undefined
    const socket = new tls.TLSSocket(stream, {
      isServer: true,
      secureContext: this.#baseContext,
      requestCert: true,
      rejectUnauthorized: true, // no certificate, no handshake; whose it is we verify below, by our own clock
      ALPNProtocols: [alpn.app],
      SNICallback: (name, callback) => {
        appName = this.#options.appUnder(name)
        this.#contextFor(appName).then(
          (context) => callback(null, context),
          (error: Error) => callback(error),
        )
      },
    })
    socket.on('error', (error) => this.#options.log.debug('connection failed', { error, client: clientAddress }))
    socket.once('close', () => stream.destroy())
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS)
    const isSecure = await new Promise<boolean>((resolve) => {
      socket.once('secure', () => resolve(true))
      socket.once('close', () => resolve(false))
    })
    clearTimeout(timer)
    if (!isSecure || appName === undefined) {
      socket.destroy()
      return
    }
    try {
      const identity = this.#identify(socket)
      const connection: Connection = {
        identity,
        appName,
        clientAddress,
        answers: new Set(),
        isLeaving: false,
      }
      this.#connections.set(socket, connection)
      const { signal: draining } = this.#draining
      endWhen(leaving === undefined ? draining : AbortSignal.any([draining, leaving]), socket, connection)
      this.#http.emit('connection', socket)
    } catch (error) {
      this.#options.log.warn('refused a client certificate', { error, client: clientAddress, app: appName })
      socket.destroy()
    }
  }

  /** An expired certificate still says whose it was: each request of it is refused with a reason. @throws if it is not of our user CA */
  #identify(socket: tls.TLSSocket): UserIdentity {
    const presented = socket.getPeerX509Certificate()
    if (presented === undefined) throw new Unavailable('no client certificate', { hint: 'present one' })
    const { notAfter } = parseCertificate(presented.raw)
    const now = this.#options.clock()
    const at = notAfter <= now ? new Date(notAfter.getTime() - 1000) : now
    const certificate = verifyChain({
      chain: [presented.toString()],
      roots: [...this.#authorities],
      at,
      purpose: 'client',
    })
    return decodeIdentity(certificate, 'user')
  }

  async #contextFor(appName: string | undefined): Promise<tls.SecureContext> {
    if (appName === undefined) throw new Error('no app is served under this name')
    const { cert, key } = await this.#options.certificateFor(appName)
    const from = cert + this.#authorities.join('')
    const kept = this.#contexts.get(appName)
    if (kept?.from === from) return kept.context
    const context = tls.createSecureContext({ ...tlsSettings, cert, key, ca: [...this.#authorities] })
    this.#contexts.set(appName, { from, context })
    return context
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined) return void request.socket.destroy()
    const { identity, clientAddress } = connection
    const live: LiveCall = { connection, stop: new AbortController() }
    if (connection.isLeaving) response.shouldKeepAlive = false
    const call: AppCall = {
      request,
      response,
      identity,
      clientAddress,
      requestId: randomUUID(),
      signal: live.stop.signal,
    }
    this.#calls.add(live)
    connection.answers.add(response)
    try {
      const { app, admission } = this.#admit(connection)
      if (admission.allowed) await this.#options.handler.serve({ ...call, ...admission })
      else await this.#options.handler.refuse(call, admission, app)
    } catch (error) {
      this.#options.log.error('a request failed', { error, user: identity.name, request_id: call.requestId })
      if (response.headersSent) response.destroy()
      else response.writeHead(500, { connection: 'close' }).end()
    } finally {
      this.#calls.delete(live)
      connection.answers.delete(response)
      if (connection.isLeaving) endWhenIdle(request.socket, connection)
    }
  }

  #admit({ identity, appName }: Connection): { app: App | undefined; admission: Admission } {
    const view = this.#options.view()
    const app = view.app(appName)
    const admission = admit(identity, view, { now: this.#options.clock(), roles: this.#roles })
    if (!admission.allowed) return { app, admission }
    if (admission.app.metadata.name !== appName) return { app, admission: wrongApp }
    if (appFamily(admission.app) !== 'aws') return { app, admission: notServed }
    return { app, admission }
  }

  #review(): void {
    for (const { connection, stop } of this.#calls) {
      if (stop.signal.aborted) continue
      const { admission } = this.#admit(connection)
      if (!admission.allowed) stop.abort(new RefusedWhileServing(admission))
    }
  }
}

const closed = (stream: Duplex): Promise<void> => new Promise((resolve) => stream.once('close', () => resolve()))

/**
 * Ends a connection with its next answer, which says so to the client. One that is idle is ended after a moment: its next
 * request may be on the way, and would find a closed door.
 */
function endWhen(leaving: AbortSignal, socket: tls.TLSSocket, connection: Connection): void {
  const leave = (): void => {
    connection.isLeaving = true
    for (const response of connection.answers) response.shouldKeepAlive = false
    endWhenIdle(socket, connection)
  }
  if (leaving.aborted) {
    leave()
    return
  }
  leaving.addEventListener('abort', leave, { once: true })
  socket.once('close', () => leaving.removeEventListener('abort', leave))
}

function endWhenIdle(socket: net.Socket, connection: Connection): void {
  if (connection.answers.size > 0) return
  const timer = setTimeout(() => connection.answers.size === 0 && socket.destroySoon(), LAST_REQUEST_MS)
  socket.once('close', () => clearTimeout(timer))
}

const tlsSettings: tls.SecureContextOptions = {
  minVersion: 'TLSv1.2',
  // A resumed session would skip the look at the certificate, which may have expired meanwhile.
  secureOptions: constants.SSL_OP_NO_TICKET,
}

const wrongApp: Refusal = {
  allowed: false,
  code: 'denied',
  reason: 'wrong-app',
  message: 'the certificate is for another app than the one that was called',
  hint: 'run "tsh apps login" for this app',
}

const notServed: Refusal = {
  allowed: false,
  code: 'not-found',
  reason: 'not-served',
  message: 'this agent serves AWS apps only',
  hint: 'have an agent of a version that serves this kind of app installed',
}

/** Certificates of the user authority, those that are being rotated in or out included. */
function userAuthorities(cache: ResourceCache): readonly string[] {
  const authority = cache.get<CertAuthority>('cert_authority', 'user')
  if (authority === undefined) return []
  const { active_keys: active, additional_trusted_keys: additional } = authority.spec
  return [...active.tls, ...additional.tls].map(({ cert }) => cert)
}
