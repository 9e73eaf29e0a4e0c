import { once } from 'node:events'
import http from 'node:http'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import helmet from '@fastify/helmet'
import fastify, { type FastifyInstance } from 'fastify'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import type { ProxyLimits } from './config.ts'
import { addWebApi, type WebApiParts } from './web-api.ts'
import type { WebCertificates } from './web-certificate.ts'
import { answerError, answerNotFound } from './web-errors.ts'
import { addWebLimits } from './web-limits.ts'

export interface WebServerOptions extends WebApiParts {
  readonly certificates: WebCertificates
  readonly limits: ProxyLimits
  readonly log: Log
  readonly clock: Clock
}

/** The proxy's own endpoints. It listens nowhere: connections are handed over. */
export interface WebServer extends AsyncDisposable {
  /** Ends TLS and serves; resolves when the connection is closed. */
  serve(connection: WebConnection): Promise<void>
}

interface WebConnection {
  readonly socket: Duplex
  readonly serverName: string | undefined
  /** IP address. */
  readonly clientAddress: string
  readonly signal: AbortSignal
}

const MAX_BODY_BYTES = 256 * 1024
const HANDSHAKE_MS = 15_000

export async function startWebServer(options: WebServerOptions): Promise<WebServer> {
  const app = await createApp(options)
  await app.ready()
  app.server.emit('listening') // starts the check of its timeouts, which a server that never listens would not have
  return {
    async serve({ socket, serverName, clientAddress, signal }) {
      const secureContext = await options.certificates.contextFor(serverName)
      const secure = new tls.TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] })
      secure.on('error', (error) => options.log.debug('web connection failed', { error, client: clientAddress }))
      const cut = (): void => {
        secure.destroy()
        socket.destroy()
      }
      signal.addEventListener('abort', cut, { once: true })
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MS)])
        await once(secure, 'secure', { signal: limit })
        // What came through another stream has no address of its own.
        Object.defineProperty(secure, 'remoteAddress', { value: clientAddress })
        app.server.emit('connection', secure)
        if (!secure.destroyed) await new Promise((resolve) => void secure.once('close', resolve))
      } finally {
        signal.removeEventListener('abort', cut)
        cut()
      }
    },
    async [Symbol.asyncDispose]() {
      app.server.closeAllConnections()
      await app.close()
    },
  }
}

async function createApp({ limits, log, clock, ...parts }: WebServerOptions): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: 512 },
    rewriteUrl: ({ url = '/' }) => withoutVersion(url),
    serverFactory: (handler) =>
      http.createServer({ requestTimeout: 60_000, headersTimeout: 30_000, keepAliveTimeout: 75_000 }, handler),
  })
  await app.register(helmet, helmetOptions)
  app.addHook('onSend', async (_request, reply) => {
    // Two values that helmet writes otherwise.
    reply.header('content-security-policy', CONTENT_SECURITY_POLICY)
    reply.header('x-xss-protection', '1; mode=block')
  })
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, log))
  app.setNotFoundHandler(answerNotFound)
  await addWebLimits(app, limits, clock)
  addWebApi(app, parts)
  return app
}

const helmetOptions = {
  contentSecurityPolicy: false,
  xXssProtection: false,
  referrerPolicy: { policy: 'strict-origin' },
  xFrameOptions: { action: 'sameorigin' },
  strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: true },
} as const

/** Directives sorted by name. Scripts of our own origin alone, and nobody frames us. */
const CONTENT_SECURITY_POLICY = [
  "base-uri 'self'",
  "connect-src 'self' wss:",
  "default-src 'self'",
  "font-src 'self' data:",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline';",
].join('; ')

const versioned = ['webapi', 'enterprise', 'scripts', '.well-known', 'workload-identity', 'web']

/** `/v1/webapi/find` to `/webapi/find`; only before these segments. */
export function withoutVersion(url: string): string {
  const [, rest = '', segment = ''] = /^\/v1(\/([^/?#]*).*)$/s.exec(url) ?? []
  return versioned.includes(segment) ? rest : url
}
