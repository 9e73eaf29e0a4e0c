import { once } from 'node:events'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import { Unauthenticated, Unavailable } from '#errors.ts'
import type { Egress } from '#net/egress.ts'
import { alpn } from '#tls-routing/names.ts'
import { formatProxyAddress, type ProxyAddress } from './proxy-address.ts'

export interface DialProxyOptions {
  readonly proxyAddr: ProxyAddress
  readonly egress: Egress
  readonly signal?: AbortSignal
}

/** A raw connection to the proxy's one port; what it carries is chosen by the SNI of the TLS that follows. */
export async function dialProxy({ proxyAddr, egress, signal }: DialProxyOptions): Promise<Socket> {
  return egress.dial(proxyAddr.host, proxyAddr.port, signal === undefined ? {} : { signal })
}

export interface DialAppOptions extends DialProxyOptions {
  /** Name of the app, for errors. */
  readonly app: string
  /** `LABEL.app.CLUSTER`: names the route, and is what the agent's certificate must bear. */
  readonly serverName: string
  /** The app certificate and its key, PEM. */
  readonly certificate: string
  readonly key: string
  /** Host authorities of the cluster, PEM: they alone vouch for the agent. */
  readonly hostAuthorities: readonly string[]
}

/**
 * TLS from here to the agent that serves the app. The proxy in between passes bytes that it cannot read.
 *
 * @throws {Unavailable} when no agent answers
 * @throws {Unauthenticated} when who answers is not the agent of this app
 */
export async function dialApp(options: DialAppOptions): Promise<tls.TLSSocket> {
  const limit = AbortSignal.timeout(HANDSHAKE_MS)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  const raw = await dialProxy({ ...options, signal })
  const socket = tls.connect({
    socket: raw,
    servername: options.serverName,
    cert: options.certificate,
    key: options.key,
    ca: [...options.hostAuthorities],
    ALPNProtocols: [alpn.app],
    minVersion: 'TLSv1.3',
  })
  try {
    await once(socket, 'secureConnect', { signal })
    return socket
  } catch (cause) {
    socket.destroy()
    raw.destroy()
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
      throw new Unauthenticated('the agent that answered is not one of this cluster', {
        hint: 'log in again: the authorities of the cluster may have changed since',
        cause,
      })
    }
    throw new Unavailable(
      `no agent of app ${JSON.stringify(options.app)} answers through ${formatProxyAddress(options.proxyAddr)}`,
      {
        hint: 'run "tsh apps ls" to see whether the app is still there, and try again in a moment; if it is, ask an administrator whether the Application Service runs',
        cause,
      },
    )
  }
}

const HANDSHAKE_MS = 20_000
