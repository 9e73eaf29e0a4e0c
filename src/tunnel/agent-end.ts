import { once } from 'node:events'
import http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { Unavailable } from '#errors.ts'
import type { Log } from '#log.ts'
import { alpn, tunnelServerName } from '#tls-routing/names.ts'
import {
  CLIENT_ADDRESS_HEADER,
  defaultPingTimes,
  fitWindows,
  happens,
  type PingTimes,
  resetWhenCut,
  type StreamMeta,
  sessionOptions,
  watchPeer,
} from './session.ts'

/** A proxy of the cluster, as an agent reaches it. */
export interface ProxyAddress {
  readonly host: string
  readonly port: number
}

/** The agent's membership. */
export interface TunnelIdentity {
  readonly clusterName: string
  /** Host certificate, PEM, and its PKCS #8 key. */
  readonly certificatePem: string
  readonly privateKeyPem: string
  /** Certificates of the host authority, PEM. */
  readonly hostAuthorities: readonly string[]
}

export interface OpenTunnelsOptions {
  /** Every proxy of the cluster as it is known now; asked again every few seconds. */
  readonly proxies: () => readonly ProxyAddress[] | Promise<readonly ProxyAddress[]>
  /** The way out: `egress.dial`, or the connection upgrade where a balancer asks for it. */
  readonly dial: (host: string, port: number, options: { readonly signal: AbortSignal }) => Promise<Duplex>
  /** As a function it is asked at each connection, so that a renewed certificate is used. */
  readonly identity: TunnelIdentity | (() => TunnelIdentity)
  /** Serves one stream of a client, which begins with its ClientHello. The stream is destroyed when it settles. */
  readonly serve: (stream: Duplex, meta: ServedStreamMeta, signal: AbortSignal) => Promise<void>
  readonly log: Log
  /** Told after each change of `connected()`. */
  readonly onChange?: (connected: readonly string[]) => void
  readonly pingTimes?: PingTimes
  readonly backoff?: Backoff
}

/** What the proxy says of a stream, and whether it is about to go. */
interface ServedStreamMeta extends StreamMeta {
  /** Aborts when the tunnel takes no more streams: the proxy waits for this one to end. */
  readonly leaving: AbortSignal
}

/** Pauses between attempts grow by `stepMs` up to `maxMs`; each is shortened by a random part of up to a half. */
interface Backoff {
  readonly stepMs: number
  readonly maxMs: number
}

/** The agent's tunnels. Disposing cuts them. */
export interface AgentTunnels extends AsyncDisposable {
  /** `host:port` of the proxies that a tunnel to them is open. */
  connected(): readonly string[]
  /** Takes no new streams, and resolves when the open ones have ended. */
  drain(): Promise<void>
}

/** Holds a tunnel to every proxy, and opens it anew when it ends. Does not wait for the first one: see `connected()`. */
export async function openTunnels(options: OpenTunnelsOptions): Promise<AgentTunnels> {
  const tunnels = new Tunnels(options)
  return {
    connected: () => tunnels.connected(),
    drain: () => tunnels.drain(),
    [Symbol.asyncDispose]: () => tunnels.close(),
  }
}

const RESYNC_MS = 5_000
const CONNECT_MS = 15_000
const defaultBackoff: Backoff = { stepMs: 1_000, maxMs: 8_000 }

/**
 * One loop for each proxy: connecting → open → (ended, or the proxy said it goes) → pause → connecting.
 * A loop ends when its proxy is not listed any more and no tunnel to it is open.
 */
class Tunnels {
  readonly #options: OpenTunnelsOptions
  readonly #closing = new AbortController()
  readonly #draining = new AbortController()
  readonly #loops = new Map<string, Promise<void>>()
  readonly #open = new Map<string, Set<http2.ServerHttp2Session>>()
  readonly #serving = new Set<Promise<void>>()
  readonly #following: Promise<void>
  #wanted: ReadonlySet<string> = new Set()

  constructor(options: OpenTunnelsOptions) {
    this.#options = options
    this.#following = this.#followProxies()
  }

  connected(): readonly string[] {
    return [...this.#open.keys()]
  }

  async drain(): Promise<void> {
    this.#draining.abort()
    await this.#following
    const sessions = [...this.#open.values()].flatMap((set) => [...set])
    await Promise.all(
      sessions.map(async (session) => {
        const closed = session.destroyed ? undefined : happens(session, 'close')
        session.close()
        await closed
      }),
    )
    await Promise.all(this.#loops.values())
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#draining.abort()
    await this.#following
    await Promise.all(this.#loops.values())
    await Promise.all(this.#serving)
  }

  async #followProxies(): Promise<void> {
    const { signal } = this.#draining
    while (!signal.aborted) {
      try {
        const proxies = await this.#options.proxies()
        this.#wanted = new Set(proxies.map(addressOf))
        if (signal.aborted) break
        for (const proxy of proxies) this.#startLoop(proxy)
      } catch (error) {
        this.#options.log.warn('cannot list the proxies', { error })
      }
      await sleep(RESYNC_MS, undefined, { signal, ref: false }).catch(() => {}) // aborted: the loop ends
    }
  }

  #startLoop(proxy: ProxyAddress): void {
    const address = addressOf(proxy)
    if (this.#loops.has(address)) return
    const loop = this.#hold(proxy, address).finally(() => this.#loops.delete(address))
    this.#loops.set(address, loop)
  }

  async #hold(proxy: ProxyAddress, address: string): Promise<void> {
    const { log, backoff = defaultBackoff } = this.#options
    const { signal } = this.#draining
    let failures = 0
    while (!signal.aborted && this.#wanted.has(address)) {
      const began = performance.now()
      try {
        await this.#tunnel(proxy, address)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        log.warn('no tunnel to the proxy', { proxy: address, error, attempt: failures })
      }
      const longest = Math.min(backoff.maxMs, backoff.stepMs * Math.max(1, failures))
      const pause = longest * (0.5 + Math.random() / 2)
      // A tunnel that held for a while is replaced at once; one that ends at birth is not hammered.
      if (performance.now() - began < backoff.maxMs || failures > 0) {
        await sleep(pause, undefined, { signal }).catch(() => {}) // aborted: the loop ends
      }
    }
  }

  /** Resolves when another tunnel is to be opened: this one ended, or takes no more streams. @throws if none came about */
  async #tunnel(proxy: ProxyAddress, address: string): Promise<void> {
    const secure = await this.#connect(proxy)
    const session = http2.performServerHandshake(secure, sessionOptions)
    const windows = fitWindows(session)
    const ended = new AbortController()
    const leaving = new AbortController()
    session.once('goaway', () => leaving.abort())
    const cut = (): void => session.destroy()
    this.#closing.signal.addEventListener('abort', cut, { once: true })
    session.on('error', (error) => this.#options.log.debug('tunnel failed', { proxy: address, error }))
    session.once('close', () => {
      this.#closing.signal.removeEventListener('abort', cut)
      ended.abort(new Unavailable('the tunnel was closed', { hint: 'connect again' }))
      this.#remove(address, session)
    })
    session.on('stream', (stream, headers) => {
      windows.opened()
      stream.once('close', windows.closed)
      resetWhenCut(stream)
      this.#serve(stream, headers, { ended: ended.signal, leaving: leaving.signal })
    })
    watchPeer(session, this.#options.pingTimes ?? defaultPingTimes)
    // The proxy's settings come when it has accepted our certificate, which TLS 1.3 does not tell us by itself.
    const left = Promise.race([happens(session, 'goaway'), happens(session, 'close')])
    await Promise.race([happens(session, 'remoteSettings'), left])
    if (session.destroyed) {
      throw new Unavailable(`the proxy ${address} closed the tunnel before it was open`, {
        hint: 'check in the log of the proxy why it refused this agent',
      })
    }
    this.#add(address, session)
    if (this.#draining.signal.aborted) session.close()
    await left
  }

  async #connect({ host, port }: ProxyAddress): Promise<tls.TLSSocket> {
    const { identity, dial } = this.#options
    const { clusterName, certificatePem, privateKeyPem, hostAuthorities } =
      typeof identity === 'function' ? identity() : identity
    const signal = AbortSignal.any([this.#draining.signal, AbortSignal.timeout(CONNECT_MS)])
    const socket = await dial(host, port, { signal })
    socket.allowHalfOpen = false // HTTP/2 has its own ends, and takes the end of the connection for the last
    const secure = tls.connect({
      socket,
      servername: tunnelServerName(clusterName),
      ALPNProtocols: [alpn.tunnel],
      minVersion: 'TLSv1.3',
      cert: certificatePem,
      key: privateKeyPem,
      ca: [...hostAuthorities],
    })
    try {
      await once(secure, 'secureConnect', { signal })
      return secure
    } catch (error) {
      secure.on('error', () => {})
      secure.destroy()
      socket.destroy()
      throw error
    }
  }

  #serve(
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    { ended, leaving }: { readonly ended: AbortSignal; readonly leaving: AbortSignal },
  ): void {
    stream.on('error', () => {}) // `serve` sees it through its reads and writes
    const serverName = headers[':authority']
    const clientAddress = headers[CLIENT_ADDRESS_HEADER]
    if (headers[':method'] !== 'CONNECT' || serverName === undefined || typeof clientAddress !== 'string') {
      stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR)
      return
    }
    stream.respond({ ':status': 200 })
    const { serve, log } = this.#options
    const serving: Promise<void> = serve(stream, { serverName, clientAddress, leaving }, ended)
      .catch((error: unknown) => log.debug('connection failed', { error, client: clientAddress }))
      .finally(() => {
        if (!stream.writableEnded) stream.destroy()
        else if (!stream.readableEnded) stream.resume() // what the client still sends is not wanted, and must not hold the window
        this.#serving.delete(serving)
      })
    this.#serving.add(serving)
  }

  #add(address: string, session: http2.ServerHttp2Session): void {
    const sessions = this.#open.get(address) ?? new Set()
    sessions.add(session)
    this.#open.set(address, sessions)
    this.#options.log.info('connected to the proxy', { proxy: address })
    this.#options.onChange?.(this.connected())
  }

  #remove(address: string, session: http2.ServerHttp2Session): void {
    const sessions = this.#open.get(address)
    if (!sessions?.delete(session)) return
    if (sessions.size === 0) this.#open.delete(address)
    this.#options.log.info('disconnected from the proxy', { proxy: address })
    this.#options.onChange?.(this.connected())
  }
}

const addressOf = ({ host, port }: ProxyAddress): string => `${host.includes(':') ? `[${host}]` : host}:${port}`
