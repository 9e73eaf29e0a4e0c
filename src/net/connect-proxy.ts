import http from 'node:http'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '#log.ts'
import { boundPort, type Listener, openPort } from './listen.ts'

/** Where a CONNECT request wants to go: `{ host: 'sts.amazonaws.com', port: 443 }`; an IPv6 address without brackets. */
export interface ConnectTarget {
  readonly host: string
  readonly port: number
}

/** Why a CONNECT request is not served, as an HTTP answer with a text body. */
interface ConnectRefusal {
  readonly status: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface ConnectProxyOptions {
  readonly host: string
  readonly port: number
  readonly log: Log
  /** Asked before anything is answered; a refusal is sent as it is. */
  readonly admit?: (
    target: ConnectTarget,
    request: http.IncomingMessage,
    signal: AbortSignal,
  ) => ConnectRefusal | undefined | Promise<ConnectRefusal | undefined>
  /**
   * Called after "200 Connection Established" went out; owns `client`, which is destroyed when the promise settles.
   * `head` holds bytes that came right behind the request: `client.unshift(head)` unless it is empty.
   */
  readonly onConnect: (target: ConnectTarget, client: Duplex, head: Buffer, signal: AbortSignal) => Promise<void>
  /** Other methods than CONNECT; left out: they get 400 with a text that explains. */
  readonly onRequest?: (request: http.IncomingMessage, response: http.ServerResponse) => void
}

/**
 * An HTTP proxy that serves CONNECT alone. Disposing closes the port, aborts each `onConnect` and waits for it.
 *
 * @throws {ListenFailed}
 * @see RFC 9110 §9.3.6
 */
export async function serveConnect({
  host,
  port,
  log,
  admit,
  onConnect,
  onRequest,
}: ConnectProxyOptions): Promise<Listener> {
  const closing = new AbortController()
  const serving = new Set<Promise<void>>()
  const server = http.createServer({ requestTimeout: 0, noDelay: true }, onRequest ?? explain)
  const serve = async (request: http.IncomingMessage, client: Duplex, head: Buffer): Promise<void> => {
    const target = parseAuthority(request.url ?? '')
    if (target === undefined) {
      return refuse(client, { status: 400, body: 'CONNECT takes HOST:PORT\n' })
    }
    const refusal = await admit?.(target, request, closing.signal)
    if (refusal !== undefined) return refuse(client, refusal)
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    await onConnect(target, client, head, closing.signal)
  }
  server.on('connect', (request: http.IncomingMessage, client: Duplex, head: Buffer) => {
    client.on('error', () => {}) // `onConnect` sees it through its reads and writes
    const served: Promise<void> = serve(request, client, head)
      .catch((error: unknown) => log.debug('CONNECT failed', { error, target: request.url }))
      .finally(() => {
        if (client.writableEnded && !client.writableFinished) client.once('finish', () => client.destroy())
        else client.destroy()
        serving.delete(served)
      })
    serving.add(served)
  })
  server.on('clientError', (_error, socket: net.Socket) => socket.destroy())
  await openPort(server, host, port)
  return {
    host,
    port: boundPort(server),
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      closing.abort()
      await Promise.all(serving)
    },
  }
}

/** `example.com:443`, `[::1]:443`. */
export function parseAuthority(text: string): ConnectTarget | undefined {
  const [, bracketed, plain, portText] =
    /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  const port = Number(portText)
  return host === undefined || !(port >= 1 && port <= 65535) ? undefined : { host: host.toLowerCase(), port }
}

function refuse(client: Duplex, { status, body, headers = {} }: ConnectRefusal): void {
  const lines = Object.entries({
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  client.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Refused'}\r\n${lines.join('')}\r\n${body}`)
}

function explain(_request: http.IncomingMessage, response: http.ServerResponse): void {
  response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
  response.end('This is an HTTPS proxy: it takes CONNECT requests only. Set it as HTTPS_PROXY, not as HTTP_PROXY.\n')
}
