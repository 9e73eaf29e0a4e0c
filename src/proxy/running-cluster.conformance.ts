/** A real Auth Service with a proxy in front of it, for the tests of this folder. */
import { once } from 'node:events'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { type RunningAuth, runAuth } from '#auth/callers.conformance.ts'
import { silentLog } from '#log.ts'
import { defaultProxyLimits, type ProxyConfig } from './config.ts'
import { type Proxy as ProxyService, startProxy } from './server.ts'

export const cluster = 'example.test'

export interface Cluster extends AsyncDisposable {
  readonly auth: RunningAuth
  readonly proxy: ProxyService
  readonly roots: readonly string[]
}

export async function startCluster(config: Partial<ProxyConfig> = {}): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const auth = stack.use(await runAuth({}, []))
  const member = await auth.auth.localMember('Proxy')
  const proxy = stack.use(
    await startProxy({
      config: {
        listenHost: '127.0.0.1',
        listenPort: 0,
        publicAddr: { host: '127.0.0.1', port: 443 },
        nodeName: 'proxy-host',
        keypairs: [],
        limits: defaultProxyLimits,
        ...config,
      },
      member,
      authAddress: { host: '127.0.0.1', port: auth.auth.port },
      log: silentLog,
      clock: auth.now,
    }),
  )
  const all = stack.move()
  return { auth, proxy, roots: member.hostAuthorities, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly json: () => Record<string, unknown>
}

/** One request to the web server, whose certificate is verified. */
export async function ask(
  { proxy, roots }: Cluster,
  path: string,
  { method = 'GET', body }: { method?: string; body?: unknown } = {},
): Promise<Answer> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const request = https.request({
    host: '127.0.0.1',
    port: proxy.port,
    ca: [...roots],
    agent: false,
    method,
    path,
    headers: payload === undefined ? {} : { 'content-type': 'application/json' },
  })
  request.end(payload)
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage] // by the event's contract
  const answer = await text(response)
  return { status: response.statusCode ?? 0, headers: response.headers, body: answer, json: () => JSON.parse(answer) }
}
