import { once } from 'node:events'
import http2 from 'node:http2'
import type net from 'node:net'
import type tls from 'node:tls'
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextValues,
  type Interceptor,
} from '@connectrpc/connect'
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node'
import { systemClock } from '#clock.ts'
import { AccessError, Unavailable } from '#errors.ts'
import type { Log } from '#log.ts'
import { type Listener, ListenFailed } from '#net/listen.ts'
import { type ClientAuthorities, callerKey, createPeerIdentifier } from './caller.ts'
import { toConnectError } from './status.ts'

/** A larger message is refused before it is read. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
/** Longest time that a call with one answer may take; streams have no such end. */
const MAX_CALL_MS = 60_000
const MAX_STREAMS_PER_CONNECTION = 250
const MAX_CONNECTIONS = 20_000
const HANDSHAKE_MS = 10_000
/** A connection on which nothing at all happens for so long is closed; watches send a mark every 500 ms. */
const IDLE_MS = 15 * 60_000

export interface RpcServerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Asked at every new connection, so that a renewed certificate counts at once. PEM. */
  readonly certificate: () => { readonly cert: string; readonly key: string }
  readonly clientAuthorities: () => ClientAuthorities
  readonly router: (router: ConnectRouter) => void
  readonly log: Log
  readonly clock?: () => Date
}

/**
 * Serves the contract over HTTP/2 and TLS 1.3. A client certificate is optional and is checked here, not by the TLS
 * library, against the live authorities; handlers read the caller with `callerOf`.
 * Disposing stops accepting, ends streams and waits for what is being answered, at most five seconds.
 */
export async function startRpcServer(options: RpcServerOptions): Promise<Listener> {
  const { host, port, certificate, clientAuthorities, log, clock = systemClock } = options
  const closing = new AbortController()
  let current = certificate()
  const server = http2.createSecureServer({
    ...current,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false, // optional, and `identifyPeer` decides
    handshakeTimeout: HANDSHAKE_MS,
    unknownProtocolTimeout: 1000, // who does not speak HTTP/2 is answered so, and has to go
    settings: { maxConcurrentStreams: MAX_STREAMS_PER_CONNECTION, enablePush: false },
  })
  server.maxConnections = MAX_CONNECTIONS
  server.prependListener('connection', () => {
    const next = certificate()
    if (next.cert === current.cert) return
    current = next
    server.setSecureContext({ ...current, minVersion: 'TLSv1.3' })
  })
  server.on('tlsClientError', (error) => log.debug('TLS handshake failed', { error }))
  server.on('sessionError', (error) => log.debug('HTTP/2 session failed', { error }))

  const identifiers = new WeakMap<http2.Http2Session, ReturnType<typeof createPeerIdentifier>>()
  const sessions = new Set<http2.Http2Session>()
  server.on('session', (session) => {
    identifiers.set(session, createPeerIdentifier(peerOf(session), clientAuthorities, clock))
    sessions.add(session)
    session.on('error', () => {}) // reported by `sessionError`
    session.once('close', () => sessions.delete(session))
    session.setTimeout(IDLE_MS, () => session.destroy())
  })
  server.on(
    'request',
    createRequestListener(options, closing.signal, (session) => identifiers.get(session)?.()),
  )

  server.listen(port, host)
  await once(server, 'listening').catch((cause: unknown) => {
    throw new ListenFailed(`${host}:${port}`, { hint: 'choose another listen_addr, or stop what uses this one', cause })
  })
  return {
    host,
    port: (server.address() as net.AddressInfo).port, // TCP, so never a path or null
    async [Symbol.asyncDispose]() {
      closing.abort(new ConnectError('the server is stopping', Code.Unavailable))
      const closed = once(server, 'close')
      server.close()
      for (const session of sessions) session.close()
      const deadline = setTimeout(() => {
        for (const session of sessions) session.destroy()
      }, 5_000)
      await closed
      clearTimeout(deadline)
    },
  }
}

type IdentifySession = (session: http2.Http2Session) => ReturnType<ReturnType<typeof createPeerIdentifier>> | undefined

function createRequestListener(
  { router: addRoutes, log }: RpcServerOptions,
  shutdownSignal: AbortSignal,
  identify: IdentifySession,
): (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void {
  const router = createConnectRouter({
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    shutdownSignal,
    interceptors: [answerErrors(log, shutdownSignal)],
  })
  addRoutes(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))

  const serve = async (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): Promise<void> => {
    const handler = handlers.get(request.url.split('?', 1)[0] ?? '')
    const session = request.stream.session
    if (!handler || !session) {
      response.writeHead(404).end()
      return
    }
    const values = createContextValues().set(callerKey, identify(session))
    const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, values))
    await universalResponseToNodeResponse(answer, response)
  }
  return (request, response) => {
    serve(request, response).catch((error: unknown) => {
      // The client went away while the answer was written, broke the framing, or named no authority that is one.
      log.debug('an answer was not delivered', { path: request.url.slice(0, 200), error })
      request.stream.close(http2.constants.NGHTTP2_CANCEL)
    })
  }
}

/** Turns errors of handlers into their form on the wire, and ends calls that take too long. */
function answerErrors(log: Log, stopping: AbortSignal): Interceptor {
  const answer = (error: unknown, method: string): ConnectError => {
    if (error instanceof AccessError) log.debug('call refused', describeRefusal(method, error))
    else if (error instanceof ConnectError) log.debug('call refused', { method, error })
    else log.error('call failed', { method, error })
    return toConnectError(error)
  }
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`
    try {
      if (!request.stream) return await withDeadline(next(request))
      const response = await next(request)
      if (!response.stream) return response
      const message = untilStopped(response.message, stopping, (error) => answer(error, method))
      return { ...response, message }
    } catch (error) {
      throw answer(error, method)
    }
  }
}

/** Why somebody may not is for the operator; what somebody sent may be a secret, such as the name of a join token. */
function describeRefusal(method: string, error: AccessError): Readonly<Record<string, unknown>> {
  return error.code === 'denied' ? { method, error } : { method, code: error.code }
}

/** A stream that ends because the server stops says so: its reader must not take it for complete. */
async function* untilStopped<T>(
  messages: AsyncIterable<T>,
  stopping: AbortSignal,
  wrap: (error: unknown) => unknown,
): AsyncIterable<T> {
  try {
    yield* messages
  } catch (error) {
    throw wrap(error)
  }
  if (stopping.aborted) throw wrap(new Unavailable('the Auth Service is stopping', { hint: 'try again in a moment' }))
}

async function withDeadline<T>(call: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Unavailable('the call took too long', { hint: 'look at the log of the Auth Service' })),
    MAX_CALL_MS,
  )
  try {
    return await Promise.race([call, late])
  } finally {
    clearTimeout(timer)
  }
}

function peerOf(session: http2.Http2Session): { certificatePem?: string; address: string } {
  const socket = session.socket as tls.TLSSocket // the server speaks TLS only
  const certificate = socket.getPeerX509Certificate()
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  return certificate ? { certificatePem: certificate.toString(), address } : { address }
}
