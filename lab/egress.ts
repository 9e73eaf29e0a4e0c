/**
 * The way into the lab: an HTTPS proxy that answers for the clouds' host names with the lab's own certificates. Stock
 * tools need nothing but `HTTPS_PROXY` and a CA bundle. It is written for itself, because the product's own CONNECT
 * code is among the things that it tries out.
 */
import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Log } from '#log.ts'
import type { LabAuthority } from './authority.ts'

/** What answers for some host names. */
export interface EgressRoute {
  readonly name: string
  /** Is this host name, in lower case and without port, one of ours? */
  answers(host: string): boolean
  readonly serve: RequestListener
  /** Requests for another protocol, such as WebSocket; left out: their connection is closed. */
  readonly upgrade?: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void
}

/** One CONNECT that the proxy was asked for. */
interface SeenConnection {
  readonly host: string
  readonly port: number
  /** Name of the route, `loopback`, `blocked`, or `refused` for names of nobody. */
  readonly outcome: string
}

/** What the proxy is made of. */
export interface EgressSettings {
  readonly routes: readonly EgressRoute[]
  readonly authority: LabAuthority
  readonly log: Log
}

/** The proxy, running. Disposing closes it and every connection through it. */
export interface LabEgress extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly caPem: string
  readonly connections: readonly SeenConnection[]
  /** From now on a CONNECT to this host is answered 503, until what is given back is disposed. */
  block(host: string): Disposable
}

/** Starts the proxy on a free port of 127.0.0.1. */
export async function startEgress({ routes, authority, log }: EgressSettings): Promise<LabEgress> {
  const connections: SeenConnection[] = []
  const blocked = new Set<string>()
  const sockets = new Set<net.Socket>()
  const cloud = cloudServer(routes, authority)
  const proxy = http.createServer((request, response) => {
    request.resume()
    response.writeHead(400, { 'content-type': 'text/plain' })
    response.end('this proxy carries HTTPS only: send CONNECT host:443\n')
  })
  proxy.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  proxy.on('connect', (request: http.IncomingMessage, client: net.Socket, head: Buffer) => {
    client.on('error', () => {}) // seen by whoever reads or writes it
    const target = parseTarget(request.url ?? '')
    if (!target) return refuse(client, 400, 'CONNECT wants host:port')
    const route = routes.find(({ answers }) => answers(target.host))
    const isLoopback = target.host === 'localhost' || /^127\.|^::1$/.test(target.host)
    const outcome = blocked.has(target.host) ? 'blocked' : (route?.name ?? (isLoopback ? 'loopback' : 'refused'))
    connections.push({ ...target, outcome })
    log.debug('CONNECT', { ...target, outcome })
    if (outcome === 'blocked') return refuse(client, 503, 'this host is blocked on order')
    if (outcome === 'refused') return refuse(client, 403, 'the lab does not answer for this host')
    if (outcome === 'loopback') return relay(client, target, head, log)
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) client.unshift(head)
    cloud.emit('connection', client)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const address = proxy.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    caPem: authority.caPem,
    connections,
    block(host) {
      blocked.add(host)
      return { [Symbol.dispose]: () => void blocked.delete(host) }
    },
    async [Symbol.asyncDispose]() {
      const closed = once(proxy, 'close')
      proxy.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Ends TLS and hands each request to the route of its server name. It never listens: the proxy feeds it. */
function cloudServer(routes: readonly EgressRoute[], authority: LabAuthority): https.Server {
  const server = https.createServer({
    ALPNProtocols: ['http/1.1'],
    requestTimeout: 0,
    headersTimeout: 30_000,
    keepAliveTimeout: 60_000,
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
    SNICallback(name, done) {
      if (routes.some(({ answers }) => answers(name.toLowerCase())))
        done(null, authority.contextFor(name.toLowerCase()))
      else done(new Error('nobody has this name'))
    },
  })
  const routeOf = (request: http.IncomingMessage): EgressRoute | undefined => {
    const { servername } = request.socket as net.Socket & { servername?: string | false } // a TLSSocket on this server
    const name = typeof servername === 'string' ? servername.toLowerCase() : ''
    const host = (request.headers.host ?? '').replace(/:\d+$/, '').toLowerCase()
    return host === name ? routes.find(({ answers }) => answers(name)) : undefined
  }
  const serve: RequestListener = (request, response) => {
    const route = routeOf(request)
    if (route) return route.serve(request, response)
    // A request for one name on a connection for another is never what it says it is.
    request.resume()
    response.writeHead(421, { 'content-type': 'text/plain' }).end('this connection is for another host\n')
  }
  server.on('request', serve)
  server.on('checkContinue', serve)
  server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    const upgrade = routeOf(request)?.upgrade
    if (upgrade === undefined) socket.destroy()
    else upgrade(request, socket, head)
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}

function relay(client: net.Socket, target: { host: string; port: number }, head: Buffer, log: Log): void {
  const upstream: Duplex = net.connect({ host: target.host, port: target.port }, () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    upstream.write(head)
    Promise.all([pipeline(client, upstream), pipeline(upstream, client)]).catch((error: unknown) =>
      log.debug('a relayed connection broke', { error }),
    )
  })
  upstream.once('error', () => refuse(client, 502, 'nobody answers there'))
}

function refuse(client: Duplex, status: number, reason: string): void {
  if (client.destroyed) return
  const body = `${reason}\n`
  client.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function parseTarget(text: string): { host: string; port: number } | undefined {
  const [, v6, name, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text) ?? []
  const host = (v6 ?? name)?.toLowerCase()
  return host === undefined || Number(port) > 65_535 ? undefined : { host, port: Number(port) }
}
