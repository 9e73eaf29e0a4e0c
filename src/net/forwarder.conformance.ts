/** What the tests of `forward-http.ts` stand on: a server, a forwarder in front of it, and clients. */
import http from 'node:http'
import net from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type ForwardOptions, type ForwardSummary, forwardHttp, useOwnTimers } from './forward-http.ts'
import { boundPort, openPort } from './listen.ts'

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void

export async function serve(handler: Handler, onContinue?: Handler) {
  const server = http.createServer(handler)
  if (onContinue) server.on('checkContinue', onContinue)
  await openPort(server, '127.0.0.1', 0)
  return {
    server,
    port: boundPort(server),
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** A forwarder in front of `handler`. */
export async function forwarderTo(handler: Handler, options: Partial<ForwardOptions> = {}, onContinue?: Handler) {
  const stack = new AsyncDisposableStack()
  const upstream = stack.use(await serve(handler, onContinue))
  const outcome = Promise.withResolvers<ForwardSummary>()
  outcome.promise.catch(() => {})
  const agent = new http.Agent({ keepAlive: true })
  stack.defer(() => agent.destroy())
  const forward: Handler = (request, response) => {
    forwardHttp({
      request,
      response,
      target: { protocol: 'http:', host: '127.0.0.1', port: upstream.port, agent },
      headers: request.rawHeaders,
      body: hasBody(request) ? request : undefined,
      signal: new AbortController().signal,
      ...options,
    }).then(outcome.resolve, outcome.reject)
  }
  const proxy = stack.use(await serve(forward, forward))
  useOwnTimers(proxy.server)
  return { port: proxy.port, outcome: outcome.promise, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const hasBody = (request: http.IncomingMessage): boolean =>
  request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0

/** What one raw request is answered with, until the server closes. */
export async function raw(port: number, request: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(request)
  return text(socket)
}

export function get(
  port: number,
  options: http.RequestOptions = {},
  body?: Readable | Buffer,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', agent: false, ...options }, resolve)
    request.on('error', reject)
    request.end(body)
  })
}
