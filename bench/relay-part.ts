/**
 * The processes of `relay.bench.ts`: `sh bin/run-node bench/relay-part.ts proxy|agent`. Each gets its settings as one
 * line of JSON on its standard input, prints one line of JSON when it is ready, and ends with its standard input.
 */
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { createInterface } from 'node:readline'
import tls from 'node:tls'
import { silentLog } from '#log.ts'
import { boundPort, listen, openPort } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { alpn } from '#tls-routing/names.ts'
import { routeConnection } from '#tls-routing/router.ts'
import { openTunnels, type TunnelIdentity } from '#tunnel/agent-end.ts'
import { acceptTunnel } from '#tunnel/proxy-end.ts'
import { createTunnelRegistry } from '#tunnel/registry.ts'

export interface ProxySettings {
  readonly identity: TunnelIdentity
  /** Host id of the one agent. */
  readonly agent: string
  /** Where the agent serves without a tunnel, for the plain splice. */
  readonly directPort: number
}

export interface AgentSettings {
  readonly identity: TunnelIdentity
  /** Certificate that clients see, and its key. */
  readonly certificatePem: string
  readonly privateKeyPem: string
}

const host = '127.0.0.1'
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async (): Promise<unknown> => JSON.parse((await lines.next()).value ?? 'null')
const say = (value: object): void => console.log(JSON.stringify(value))

/** Routes by ClientHello, and opens a stream of the tunnel for each client; beside it a splice of two sockets. */
async function runProxy(): Promise<void> {
  const { identity, agent, directPort } = (await read()) as ProxySettings // written by relay.bench.ts
  const registry = createTunnelRegistry()
  const routed = await listen({ host, port: 0, log: silentLog }, (socket, signal) =>
    routeConnection(socket, {
      timeoutMs: 15_000,
      signal,
      route: ({ alpn: protocols }) =>
        protocols.includes(alpn.tunnel)
          ? (tunnel) =>
              acceptTunnel(tunnel, {
                certificate: identity.certificatePem,
                key: identity.privateKeyPem,
                hostAuthorities: () => identity.hostAuthorities,
                cluster: identity.clusterName,
                registry,
                log: silentLog,
                signal,
              })
          : async (client) => {
              const meta = { serverName: 'app', clientAddress: host }
              await splice(client, await registry.dial([agent], meta, signal), { signal })
            },
    }),
  )
  const spliced = await listen({ host, port: 0, log: silentLog }, async (socket, signal) => {
    await splice(socket, net.connect({ port: directPort, host, allowHalfOpen: true, noDelay: true }), { signal })
  })
  say({ routed: routed.port, spliced: spliced.port })
  while (!registry.has(agent)) await registry.changed()
  say({ agent })
}

/** Ends TLS of clients, those that come straight and those of the tunnel alike. */
async function runAgent(): Promise<void> {
  const settings = (await read()) as AgentSettings // written by relay.bench.ts
  const secure = { cert: settings.certificatePem, key: settings.privateKeyPem, minVersion: 'TLSv1.3' } as const
  const direct = https.createServer(secure, answer)
  await openPort(direct, host, 0)
  say({ direct: boundPort(direct) })
  const { port } = (await read()) as { port: number } // written by relay.bench.ts
  const secureContext = tls.createSecureContext(secure)
  const inside = http.createServer({ keepAliveTimeout: 60_000 }, answer)
  await openTunnels({
    proxies: () => [{ host, port }],
    dial: async (host, port) => {
      const socket = net.connect({ host, port, noDelay: true })
      await once(socket, 'connect')
      return socket
    },
    identity: settings.identity,
    log: silentLog,
    serve: async (stream) => {
      const client = new tls.TLSSocket(stream, { isServer: true, secureContext })
      client.on('error', () => {})
      inside.emit('connection', client)
      await once(client, 'close')
    },
  })
}

const block = Buffer.alloc(256 * 1024, 'x')

/** `/` gives two bytes, `/N` gives N. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  let left = Number(request.url?.slice(1))
  if (left === 0) {
    response.end('ok')
    return
  }
  response.writeHead(200, { 'content-length': left })
  const more = (): void => {
    while (left > 0) {
      const chunk = left < block.length ? block.subarray(0, left) : block
      left -= chunk.length
      if (!response.write(chunk)) return
    }
    response.end()
  }
  response.on('drain', more)
  more()
}

await (process.argv[2] === 'agent' ? runAgent() : runProxy())
for await (const _line of lines); // until whoever started this goes
process.exit()
