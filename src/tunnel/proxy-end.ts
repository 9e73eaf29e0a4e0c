import http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { type Clock, systemClock } from '#clock.ts'
import { Unauthenticated, Unavailable } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { HostIdentity } from '#identity/identity.ts'
import type { Log } from '#log.ts'
import { verifyChain } from '#pki/chain.ts'
import { alpn } from '#tls-routing/names.ts'
import type { TunnelRegistry, TunnelSession } from './registry.ts'
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

export interface AcceptTunnelOptions {
  /** The proxy's certificate for `proxy.tunnel.CLUSTER`, PEM. */
  readonly certificate: string
  /** PKCS #8, PEM. */
  readonly key: string
  /** Certificates of the host authority, PEM. Asked at each connection. */
  readonly hostAuthorities: () => readonly string[]
  readonly cluster: string
  readonly registry: TunnelRegistry
  readonly log: Log
  /** Aborting takes no new streams, and lets open ones end. */
  readonly drain?: AbortSignal
  /** Aborting cuts everything. */
  readonly signal?: AbortSignal
  readonly pingTimes?: PingTimes
  readonly clock?: Clock
}

/** The peer is not a member of this cluster that may hold a tunnel. */
class TunnelRefused extends Unauthenticated {
  constructor(what: string, cause?: unknown) {
    super(`tunnel refused: ${what}`, { hint: 'have the agent join this cluster', cause })
  }
}

/**
 * Takes the connection of an agent: TLS with its host certificate, then HTTP/2 in which we are the client, so that
 * we open streams and the agent serves them. Registers it, and resolves when the tunnel has ended.
 *
 * @throws {TunnelRefused} if the certificate is not that of an agent of this cluster
 * @see RFC 9113 §8.5 (CONNECT)
 */
export async function acceptTunnel(socket: Duplex, options: AcceptTunnelOptions): Promise<void> {
  const secure = await secureTunnel(socket, options)
  const identity = identify(secure, options)
  const session = http2.connect(`https://${identity.hostId}`, { createConnection: () => secure, ...sessionOptions })
  const log = options.log.child('tunnel')
  let failure: unknown
  session.on('error', (error) => {
    failure = error
  })
  const closed = happens(session, 'close')
  const cut = (): void => session.destroy()
  const drain = (): void => session.close()
  const expiry = closeAtExpiry(session, identity.expires)
  options.signal?.addEventListener('abort', cut, { once: true })
  options.drain?.addEventListener('abort', drain, { once: true })
  if (options.signal?.aborted) cut()
  try {
    await Promise.race([happens(session, 'remoteSettings'), closed]) // then the agent speaks HTTP/2
    if (session.destroyed)
      throw new TunnelRefused('the agent left before it was open; it may not trust this proxy', failure)
    watchPeer(session, options.pingTimes ?? defaultPingTimes)
    const registration = options.registry.add(identity.hostId, openerOf(session))
    const leave = (): void => registration[Symbol.dispose]()
    session.once('goaway', leave) // it serves its open streams, and takes no more
    log.info('agent connected', { host: identity.hostId, name: identity.nodeName })
    try {
      await closed
    } finally {
      leave()
      log.info('agent disconnected', { host: identity.hostId, name: identity.nodeName, error: failure })
    }
  } finally {
    clearTimeout(expiry)
    options.signal?.removeEventListener('abort', cut)
    options.drain?.removeEventListener('abort', drain)
  }
}

const HANDSHAKE_MS = 15_000
/** An agent that does not answer for so long is passed over. */
const OPEN_MS = 5_000

async function secureTunnel(socket: Duplex, options: AcceptTunnelOptions): Promise<tls.TLSSocket> {
  socket.allowHalfOpen = false // HTTP/2 has its own ends, and takes the end of the connection for the last
  // A server that does not listen: it sets up its sockets as `http2` expects them.
  const server = tls.createServer({
    cert: options.certificate,
    key: options.key,
    ca: [...options.hostAuthorities()],
    requestCert: true,
    rejectUnauthorized: false, // `identify` verifies, by the same rules as everywhere
    minVersion: 'TLSv1.3',
    ALPNProtocols: [alpn.tunnel],
    handshakeTimeout: HANDSHAKE_MS,
  })
  const secure = await new Promise<tls.TLSSocket>((resolve, reject) => {
    server.once('secureConnection', resolve)
    server.once('tlsClientError', (cause) => {
      socket.destroy()
      reject(new TunnelRefused('the TLS handshake failed', cause))
    })
    server.emit('connection', socket)
  })
  if (secure.alpnProtocol === alpn.tunnel) return secure
  secure.destroy()
  throw new TunnelRefused('no tunnel protocol was agreed')
}

function identify(
  secure: tls.TLSSocket,
  { cluster, hostAuthorities, clock = systemClock }: AcceptTunnelOptions,
): HostIdentity {
  try {
    const peer = secure.getPeerX509Certificate()
    if (peer === undefined) throw new TunnelRefused('there is no certificate')
    const chain = [peer.toString()]
    const leaf = verifyChain({ chain, roots: [...hostAuthorities()], at: clock(), purpose: 'client' })
    const identity = decodeIdentity(leaf, 'host')
    if (identity.cluster !== cluster) throw new TunnelRefused(`the certificate is of cluster ${identity.cluster}`)
    if (!identity.roles.some((role) => servingRoles.has(role))) {
      throw new TunnelRefused(`a member with roles ${identity.roles.join(', ')} serves nothing`)
    }
    return identity
  } catch (error) {
    secure.destroy()
    throw error instanceof TunnelRefused ? error : new TunnelRefused('the certificate is not one of a member', error)
  }
}

const servingRoles: ReadonlySet<string> = new Set(['App', 'Kube', 'Discovery', 'Instance'])

function openerOf(session: http2.ClientHttp2Session): TunnelSession {
  const windows = fitWindows(session)
  return {
    async open({ serverName, clientAddress }: StreamMeta, signal) {
      if (session.closed || session.destroyed) throw gone()
      const stream = session.request(
        { ':method': 'CONNECT', ':authority': serverName, [CLIENT_ADDRESS_HEADER]: clientAddress },
        { endStream: false },
      )
      windows.opened()
      stream.once('close', windows.closed)
      resetWhenCut(stream)
      try {
        await answered(stream, AbortSignal.any([signal, AbortSignal.timeout(OPEN_MS)]))
        return stream
      } catch (error) {
        stream.on('error', () => {})
        stream.close(http2.constants.NGHTTP2_CANCEL)
        throw error
      }
    },
  }
}

function answered(stream: http2.ClientHttp2Stream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', onAbort)
      stream.removeListener('error', reject)
      stream.removeListener('close', onClose)
      finish()
    }
    const onAbort = (): void => settle(() => reject(signal.reason))
    const onClose = (): void => settle(() => reject(gone()))
    signal.addEventListener('abort', onAbort, { once: true })
    stream.on('error', reject)
    stream.on('close', onClose)
    stream.once('response', (headers) =>
      settle(() => (headers[':status'] === 200 ? resolve() : reject(gone(`status ${headers[':status']}`)))),
    )
    if (signal.aborted) onAbort()
  })
}

const gone = (what = 'the tunnel is closed'): Unavailable =>
  new Unavailable(`the agent did not take the connection: ${what}`, { hint: 'try again' })

/** A certificate opens nothing after its end; the agent comes back with its renewed one. */
function closeAtExpiry(session: http2.Http2Session, expires: Date): NodeJS.Timeout {
  const longestTimer = 2 ** 31 - 1
  return setTimeout(() => session.close(), Math.min(longestTimer, Math.max(0, expires.getTime() - Date.now()))).unref()
}
