/** What tests of the AWS proxy stand on: a plain server in the place of the agents, a proxy, and a client that signs. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import tls from 'node:tls'
import {
  canonicalRequest,
  formatAmzDate,
  formatScope,
  hmac,
  sha256Hex,
  signingKey,
  signRequest,
  stringToSign,
  unsignedPayload,
} from '#aws/sigv4.ts'
import { silentLog } from '#log.ts'
import { createEgress, type EgressSettings } from '#net/egress.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { type AwsLocalProxy, startAwsLocalProxy } from './aws.ts'
import type { Notice } from './aws-forward.ts'
import type { PlaceholderCredentials } from './placeholder-credentials.ts'

/** What the stand-in for an agent saw. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
  readonly complete: boolean
}

/** A plain HTTP server in the place of the agents, a proxy in front of it, and a client that trusts the proxy's CA. */
export async function setUp(
  options: {
    apps?: readonly string[]
    maxBodyBytes?: number
    answer?: http.RequestListener
    egress?: EgressSettings
  } = {},
) {
  const stack = new AsyncDisposableStack()
  const directory = stack.adopt(await mkdtemp(join(tmpdir(), 'local-proxy-')), (path) => rm(path, { recursive: true }))
  const seen: Seen[] = []
  const agent = http.createServer(async (request, response) => {
    let body = ''
    try {
      for await (const part of request) body += part
    } catch {}
    const { method = '', url = '', rawHeaders: headers, rawTrailers: trailers, complete } = request
    seen.push({ method, url, headers, body, trailers, complete })
    if (options.answer) options.answer(request, response)
    else response.end('done')
  })
  agent.listen(0, '127.0.0.1')
  await once(agent, 'listening')
  stack.defer(() => {
    agent.closeAllConnections()
    agent.close()
  })
  const notices: Notice[] = []
  const noticed = Promise.withResolvers<Notice>()
  let dialled = 0
  const names = options.apps ?? ['awsconsole']
  const apps = names.map((name) => ({
    name,
    privateKeyPem: privateKeyPem(generateKeyPair().privateKey),
    caFile: join(directory, `${name}-localca.pem`),
    async dial() {
      dialled++
      const socket = net.connect((agent.address() as AddressInfo).port, '127.0.0.1')
      await once(socket, 'connect')
      return { socket, expires: new Date(Date.now() + 3_600_000) }
    },
  }))
  const [first, ...rest] = apps
  assert.ok(first)
  const proxy = stack.use(
    await startAwsLocalProxy({
      apps: [first, ...rest],
      egress: stack.use(createEgress(options.egress ?? {})),
      log: silentLog,
      clock: () => new Date(),
      onNotice(notice) {
        notices.push(notice)
        noticed.resolve(notice)
      },
      ...(options.maxBodyBytes === undefined ? {} : { maxBodyBytes: options.maxBodyBytes }),
    }),
  )
  const ca = await readFile(proxy.caFile, 'utf8')
  return {
    proxy,
    seen,
    notices,
    noticed: noticed.promise,
    ca,
    dialled: () => dialled,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

export interface Call {
  readonly host?: string
  readonly method?: string
  readonly path?: string
  readonly query?: string
  readonly headers?: readonly string[]
  readonly body?: Buffer | Readable
}

export interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: readonly string[]
}

export async function connectTo({ port }: AwsLocalProxy, target: string): Promise<Socket> {
  const request = http.request({ port, host: '127.0.0.1', method: 'CONNECT', path: target }).end()
  const [response, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket] // as documented
  assert.equal(response.statusCode, 200)
  return socket
}

export async function send({ proxy, ca }: { proxy: AwsLocalProxy; ca: string }, call: Call): Promise<Answer> {
  const {
    host = 'sts.us-east-1.amazonaws.com',
    method = 'GET',
    path = '/',
    query = '',
    headers = ['Host', host],
    body,
  } = call
  const socket = tls.connect({ socket: await connectTo(proxy, `${host}:443`), servername: host, ca })
  const request = https.request({
    createConnection: () => socket,
    method,
    path: query === '' ? path : `${path}?${query}`,
    headers: [...headers],
  })
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>
  if (body instanceof Readable) body.pipe(request)
  else request.end(body)
  const [response] = await answered
  let text = ''
  for await (const part of response) text += part
  socket.destroy()
  return { status: response.statusCode ?? 0, body: text, headers: response.rawHeaders }
}

export function sign(
  credentials: PlaceholderCredentials,
  call: Call,
  { service = 'sts', payloadHash }: { service?: string; payloadHash?: string } = {},
) {
  const { host = 'sts.us-east-1.amazonaws.com', method = 'GET', path = '/', query = '', headers = [], body } = call
  return signRequest({
    request: { method, path, query, headers: ['Host', host, ...headers] },
    credentials,
    region: 'us-east-1',
    service,
    at: new Date(),
    payloadHash: payloadHash ?? sha256Hex(body instanceof Buffer ? body : ''),
  })
}

/** The query of a URL that is presigned for ten minutes. */
export function presign(
  { accessKeyId, secretAccessKey }: PlaceholderCredentials,
  { host, path }: { host: string; path: string },
): string {
  const amzDate = formatAmzDate(new Date())
  const scope = { date: amzDate.slice(0, 8), region: 'us-east-1', service: 's3' }
  const fields = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${accessKeyId}/${formatScope(scope)}`,
    'X-Amz-Date': amzDate,
    'X-Amz-Expires': '600',
    'X-Amz-SignedHeaders': 'host',
  }
  const query = new URLSearchParams(fields).toString()
  const canonical = canonicalRequest(
    { method: 'GET', path, query, headers: ['host', host] },
    { signedHeaders: ['host'], payloadHash: unsignedPayload, service: 's3' },
  )
  const signature = hmac(signingKey(secretAccessKey.reveal(), scope), stringToSign(amzDate, scope, canonical)).toString(
    'hex',
  )
  return `${query}&X-Amz-Signature=${signature}`
}
