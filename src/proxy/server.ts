import type net from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '#clock.ts'
import { unreachable } from '#errors.ts'
import type { MemberIdentity } from '#join/join.ts'
import type { Log } from '#log.ts'
import { listen } from '#net/listen.ts'
import type { ClientHello } from '#tls-routing/client-hello.ts'
import { type Route, routeConnection } from '#tls-routing/router.ts'
import { acceptTunnel } from '#tunnel/proxy-end.ts'
import { createTunnelRegistry, type TunnelRegistry } from '#tunnel/registry.ts'
import { announce } from './announce.ts'
import { type AuthAddress, type AuthLink, openAuthLink } from './auth-link.ts'
import type { ProxyConfig } from './config.ts'
import { createClientLimits, createPassThrough, type PassThrough } from './pass-through.ts'
import { destinationOf } from './routes.ts'
import { openWebCertificates } from './web-certificate.ts'
import { startWebServer, type WebServer } from './web-server.ts'

export interface ProxyOptions {
  readonly config: ProxyConfig
  /** As a function it is asked each time, so that a renewed identity is used. */
  readonly member: MemberIdentity | (() => MemberIdentity)
  readonly authAddress: AuthAddress
  readonly log: Log
  readonly clock: Clock
}

/** A running proxy. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
  /** Chain that the web server shows, PEM, leaf first. */
  readonly webCertificatePem: string
  /** Host ids of the agents whose tunnels are open here. */
  connectedAgents(): readonly string[]
  /** How fresh its copy of the cluster state is. */
  asOf(): Date
  /** Takes no new connections and no new streams, and resolves when the open tunnels have ended. */
  drain(): Promise<void>
}

/** Time for a whole ClientHello. */
const HELLO_MS = 15_000

/**
 * Starts the proxy: one port, where connections are routed by their ClientHello. Waits for Auth only as long as it
 * takes to get its web certificate; with files of its own, or once it has run before, it starts without.
 *
 * @throws {ListenFailed}
 */
export async function startProxy({
  config,
  member: given,
  authAddress,
  log: parentLog,
  clock,
}: ProxyOptions): Promise<Proxy> {
  const log = parentLog.child('proxy')
  const member = typeof given === 'function' ? given : () => given
  const { clusterName } = member()
  await using stack = new AsyncDisposableStack()
  const link = stack.use(await openAuthLink({ member, authAddress, snapshotFile: config.snapshotFile, log, clock }))
  const certificates = stack.use(await openWebCertificates({ config, servedNames: link.servedNames, member, log }))
  const webCertificatePem = await certificates.chainPem()
  const registry = createTunnelRegistry()
  const clients = createClientLimits(config.limits, clock)
  const draining = new AbortController()
  const tunnels = new Set<Promise<void>>()
  const endpoints = {
    clusterName,
    publicAddr: config.publicAddr,
    listenHost: config.listenHost,
    listenPort: config.listenPort,
  }
  const web = stack.use(
    await startWebServer({
      link,
      endpoints,
      isSelfSigned: certificates.isSelfSigned,
      certificates,
      limits: config.limits,
      log,
      clock,
    }),
  )
  const routes = createRoutes({
    clusterName,
    member,
    registry,
    link,
    web,
    log,
    clock,
    tunnels,
    drain: draining.signal,
    passThrough: createPassThrough({ link, registry, clients, log }),
  })
  const serve = async (socket: Duplex, clientAddress: string, signal: AbortSignal): Promise<void> => {
    using admitted = clients.admit(clientAddress)
    if (admitted === undefined) return // closed: it has too many
    await routeConnection(socket, { timeoutMs: HELLO_MS, signal, route: (hello) => routes(hello, clientAddress) })
  }
  const listener = stack.use(
    await listen({ host: config.listenHost, port: config.listenPort, log }, (socket: net.Socket, signal) =>
      serve(socket, plainAddress(socket.remoteAddress), signal),
    ),
  )
  endpoints.listenPort = listener.port
  stack.use(announce({ link, member, config, port: listener.port, log }))
  log.info('the proxy is listening', { address: `${config.listenHost}:${listener.port}`, cluster: clusterName })
  if (certificates.isSelfSigned) {
    log.warn('the web certificate is signed by the cluster alone: give clients --ca-pin, or set https_keypairs', {
      proxy: `${config.publicAddr.host}:${config.publicAddr.port}`,
    })
  }
  const running = stack.move()
  return {
    port: listener.port,
    webCertificatePem,
    connectedAgents: () => registry.connected(),
    asOf: () => link.cache.asOf(),
    async drain() {
      draining.abort()
      // A tunnel leaves the registry when it takes no more streams, and ends with the last of those it has.
      await Promise.all(tunnels)
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

interface RouteParts {
  readonly clusterName: string
  readonly member: () => MemberIdentity
  readonly registry: TunnelRegistry
  readonly link: AuthLink
  readonly web: WebServer
  readonly passThrough: PassThrough
  /** Those that are open. */
  readonly tunnels: Set<Promise<void>>
  readonly drain: AbortSignal
  readonly log: Log
  readonly clock: Clock
}

function createRoutes(parts: RouteParts): (hello: ClientHello, clientAddress: string) => Route | undefined {
  const { clusterName, member, registry, web, passThrough, tunnels, drain, log, clock } = parts
  return (hello, clientAddress) => {
    const destination = destinationOf(hello, clusterName)
    switch (destination?.to) {
      case undefined:
        log.debug('no route', { client: clientAddress, serverName: hello.serverName, alpn: hello.alpn })
        return undefined
      case 'auth':
        return (socket, _hello, signal) => passThrough.toAuth({ socket, clientAddress, signal })
      case 'agent':
        return (socket, _hello, signal) =>
          passThrough.toAgent({ socket, clientAddress, signal }, destination.serverName)
      case 'tunnel':
        if (drain.aborted) return undefined
        return async (socket, _hello, signal) => {
          const tunnel = acceptTunnel(socket, {
            certificate: member().certificatePem, // it bears the tunnel's name, as that of every proxy
            key: member().privateKeyPem,
            hostAuthorities: () => member().hostAuthorities,
            cluster: clusterName,
            registry,
            log,
            clock,
            signal,
            drain,
          })
          const ended = tunnel.catch(() => {}) // reported below
          tunnels.add(ended)
          await tunnel.finally(() => tunnels.delete(ended))
        }
      case 'web':
        return (socket, { serverName }, signal) => web.serve({ socket, serverName, clientAddress, signal })
      default:
        throw unreachable(destination)
    }
  }
}

/** `::ffff:192.0.2.1` to `192.0.2.1`. */
const plainAddress = (address = ''): string => address.replace(/^::ffff:(?=\d+\.)/, '')
