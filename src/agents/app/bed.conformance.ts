import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before } from 'node:test'
import tls from 'node:tls'
import { create } from '@bufbuild/protobuf'
import type { AuditEvent } from '#audit/event.ts'
import { openSpool, type Spool } from '#audit/spool.ts'
import { watchResources } from '#auth/watch.ts'
import { forwarding } from '#aws/forwarding.ts'
import { emptyHash, sha256Hex, signRequest } from '#aws/sigv4.ts'
import { openRoleCredentials } from '#aws/sts-client.ts'
import { type Authorities, openAuthorities } from '#ca/authorities.ts'
import { issueAppCertificate } from '#ca/issue-app.ts'
import { issueServedNameCertificate } from '#ca/issue-host.ts'
import { openResourceCache, type ResourceCache } from '#cache/resource-cache.ts'
import { WatchEventSchema } from '#gen/access/v1/access_pb.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import type { App } from '#resources/app.ts'
import { parseResource } from '#resources/parse.ts'
import { Secret } from '#secret.ts'
import { openResourceStore, type ResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { createAwsHandler } from './aws.ts'
import { type AppServer, startAppServer } from './server.ts'

export const CLUSTER = 'example.com'
export const SERVER_NAME = 'abcdefghijklmnopqrstuvwxyz.app.example.com'
export const READER = 'arn:aws:iam::123456789012:role/ExampleReadOnlyAccess'
export const WRITER = 'arn:aws:iam::123456789012:role/Writer'
export const HOST_ID = '11111111-2222-4333-8444-555555555555'

const root = mkdtempSync(join(tmpdir(), 'agent-'))
after(() => rmSync(root, { recursive: true, force: true }))
export let lab: AwsLab
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  const trust = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: 'arn:aws:iam::123456789012:role/TeleportAWSAccess' },
        Action: 'sts:AssumeRole',
      },
    ],
  }
  lab.account().createRole({ name: 'Writer', trust, attach: ['AdministratorAccess'] })
  lab.account().createRole({
    name: 'Stranger',
    trust: {
      ...trust,
      Statement: [{ ...trust.Statement[0], Principal: { AWS: 'arn:aws:iam::123456789012:user/lab-admin' } }],
    },
  })
  lab.account().createRole({
    name: 'Second',
    trust: { ...trust, Statement: [{ ...trust.Statement[0], Principal: { AWS: WRITER } }] },
    attach: ['ReadOnlyAccess'],
  })
  await lab.putObject('reports', 'large', Buffer.alloc(32 * 1024 * 1024, 'x'))
})
after(() => lab[Symbol.asyncDispose]())

const awsApp = parseResource({
  kind: 'app',
  version: 'v3',
  metadata: { name: 'awsconsole', labels: { env: 'lab' } },
  spec: { uri: 'https://console.aws.amazon.com/' },
}) as App // the table of kinds parsed it as one

export const role = (name: string, allow: object, options: object = {}): object => ({
  kind: 'role',
  version: 'v7',
  metadata: { name },
  spec: { allow, options },
})
const cloudUser = role('cloud-user', {
  app_labels: { '*': ['*'] },
  aws_role_arns: [READER, WRITER, 'arn:aws:iam::123456789012:role/Stranger'],
})
export const lockOn = (target: object, message?: string): object => ({
  kind: 'lock',
  version: 'v2',
  metadata: { name: `lock-${Math.random()}` },
  spec: { target, ...(message === undefined ? {} : { message }) },
})

export interface Bed extends AsyncDisposable {
  readonly store: ResourceStore
  readonly cache: ResourceCache
  readonly authorities: Authorities
  readonly server: AppServer
  readonly spool: Spool
  /** Events that reached the far end, once the spool is drained. */
  events(): Promise<readonly AuditEvent[]>
  /** The next event of which this holds, when it reaches the far end. */
  nextEvent(wanted: (event: AuditEvent) => boolean): Promise<AuditEvent>
  put(...documents: readonly object[]): Promise<void>
  connect(
    options?: Partial<UserIdentity> & {
      readonly awsRoleArn?: string
      readonly session?: Buffer<ArrayBuffer>
      readonly maxVersion?: tls.SecureVersion
      readonly ca?: Authorities
      /** What is destroyed at one end of a pair is not seen at the other, unless this is set. */
      readonly endsWithAgent?: boolean
    },
  ): Promise<tls.TLSSocket>
  now: number
  /** Moves the clock of the agent on. */
  advance(ms: number): void
  isAway: boolean
}

let beds = 0

export async function startBed({ spoolBytes = 10_000_000 }: { spoolBytes?: number } = {}): Promise<Bed> {
  await using stack = new AsyncDisposableStack()
  const dir = join(root, `${beds++}`)
  const state = { now: 0, isAway: false }
  const clock = (): Date => new Date(Date.now() + state.now)
  const backend = stack.use(await openSqliteBackend({ path: join(dir, 'state'), clock, log: silentLog }))
  const store = openResourceStore({ backend })
  const authorities = await openAuthorities({ store, clusterName: CLUSTER, clock })
  await store.create(parseResource(cloudUser))
  const cache = stack.use(
    await openResourceCache({
      kinds: ['role', 'lock', 'cert_authority', 'cluster_auth_preference'],
      clock,
      log: silentLog,
      async *watch(kinds, revision, signal) {
        const request = {
          store,
          kinds,
          revision,
          signal,
          clock,
          show: (resource: object) => resource as never,
          stillAllowed: async () => {},
        }
        for await (const event of watchResources(request)) yield create(WatchEventSchema, event)
      },
    }),
  )
  await cache.ready
  const events: AuditEvent[] = []
  const listeners: ((batch: readonly AuditEvent[]) => void)[] = []
  const spool = stack.use(
    await openSpool({
      path: join(dir, 'spool'),
      maxBytes: spoolBytes,
      clock,
      log: silentLog,
      async deliver(batch) {
        if (state.isAway) throw new Error('away')
        events.push(...batch)
        for (const listener of listeners) listener(batch)
        return { refused: {} }
      },
    }),
  )
  const egress = stack.use(createEgress({ httpsProxy: lab.egressUrl, extraCa: lab.egress.caPem }))
  const base = lab.environment({ role: 'TeleportAWSAccess' })
  const credentials = stack.use(
    openRoleCredentials({
      base: async () => ({
        accessKeyId: base.AWS_ACCESS_KEY_ID ?? '',
        secretAccessKey: new Secret(base.AWS_SECRET_ACCESS_KEY ?? ''),
        sessionToken: new Secret(base.AWS_SESSION_TOKEN ?? ''),
        kind: 'temporary',
      }),
      agent: egress.agent,
      clock,
    }),
  )
  const served = generateKeyPair()
  const certificate = issueServedNameCertificate(authorities.signer('host'), {
    serverName: SERVER_NAME,
    publicKey: served.publicKey,
    now: clock(),
    ttlMs: 3_600_000,
  })
  const server = stack.use(
    startAppServer({
      appUnder: (name) => (name === SERVER_NAME ? 'awsconsole' : undefined),
      certificateFor: async () => ({ cert: certificate.pem, key: privateKeyPem(served.privateKey) }),
      view: () => ({
        cluster: CLUSTER,
        hostId: HOST_ID,
        locks: cache.list('lock'),
        role: (name) => cache.get('role', name),
        isUnreadable: (name) => cache.isUnreadable('role', name),
        preference: cache.get('cluster_auth_preference', 'cluster-auth-preference'),
        asOf: cache.asOf(),
        app: (name) => (name === 'awsconsole' ? awsApp : undefined),
      }),
      cache,
      handler: createAwsHandler({
        credentials,
        egress,
        spool,
        source: { cluster: CLUSTER, hostId: HOST_ID, clock },
        log: silentLog,
      }),
      clock,
      log: silentLog,
    }),
  )
  const owned = stack.move()
  return Object.assign(state, {
    store,
    cache,
    authorities,
    server,
    spool,
    nextEvent(wanted: (event: AuditEvent) => boolean) {
      const { promise, resolve } = Promise.withResolvers<AuditEvent>()
      listeners.push((batch) => {
        for (const event of batch.filter(wanted)) resolve(event)
      })
      return promise
    },
    advance(ms: number) {
      state.now += ms
    },
    async events() {
      await spool.drain(AbortSignal.timeout(5000))
      return events
    },
    async put(...documents: readonly object[]) {
      for (const document of documents) {
        const resource = parseResource(document)
        const arrived = new Promise((resolve) =>
          cache.onChange(({ name }) => name === resource.metadata.name && resolve(undefined)),
        )
        await store.upsert(resource)
        await arrived
      }
    },
    async connect({
      awsRoleArn = READER,
      session,
      maxVersion,
      ca = authorities,
      endsWithAgent = false,
      ...fields
    }: Parameters<Bed['connect']>[0] = {}) {
      const keys = generateKeyPair()
      const identity = {
        kind: 'user' as const,
        name: 'alice',
        roles: ['cloud-user'],
        traits: {},
        cluster: CLUSTER,
        expires: new Date(clock().getTime() + 3_600_000),
        routeToApp: {
          name: 'awsconsole',
          sessionId: 'session-1',
          publicAddr: 'awsconsole.example.com',
          cluster: CLUSTER,
          serverName: SERVER_NAME,
          awsRoleArn,
        },
        awsRoleArns: [],
        azureIdentities: [],
        kubeUsers: [],
        kubeGroups: [],
        userType: 'local' as const,
        accessRequests: [],
        isRenewable: false,
        disallowReissue: false,
        ...fields,
      }
      const { pem } = issueAppCertificate(ca.signer('user'), identity, keys.publicKey, clock())
      const [near, far] = duplexPair()
      near.once('close', () => far.destroy()) // as a tunnel tells
      const ended = server.serve(far, { clientAddress: '192.0.2.7' }, new AbortController().signal)
      if (endsWithAgent) void ended.then(() => setImmediate(() => near.destroy()))
      const socket = tls.connect({
        socket: near,
        servername: SERVER_NAME,
        ALPNProtocols: ['http/1.1'],
        ca: [...authorities.certificates('host')],
        cert: pem,
        key: privateKeyPem(keys.privateKey),
        ...(session === undefined ? {} : { session }),
        ...(maxVersion === undefined ? {} : { maxVersion }),
      })
      await once(socket, 'secureConnect')
      return socket
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  })
}

export interface Call {
  readonly method?: string
  readonly host?: string
  readonly path?: string
  readonly service?: string
  readonly accessKeyId?: string
  readonly body?: string | Buffer
  readonly headers?: readonly string[]
  /** What is signed for the body, and how it arrives; its own hash and `whole` unless given. */
  readonly payload?: { readonly hash: string; readonly mode: string }
  /** HTTP trailers behind the body. */
  readonly trailers?: Readonly<Record<string, string>>
  /** Headers as they go to the agent, after all others were set. */
  readonly change?: (headers: string[]) => string[]
}

/** Signs with placeholders and sends as the local proxy does. */
export function send(socket: tls.TLSSocket, call: Call = {}): Promise<http.IncomingMessage> {
  const { method = 'GET', host = 's3.us-east-1.amazonaws.com', path = '/', service = 's3', body, headers = [] } = call
  const payloadHash = call.payload?.hash ?? (body === undefined ? emptyHash : sha256Hex(body))
  const [pathname = '', query = ''] = path.split('?')
  const signed = signRequest({
    request: { method, path: pathname, query, headers: ['Host', host, ...headers] },
    credentials: { accessKeyId: call.accessKeyId ?? 'AKIAPLACEHOLDER', secretAccessKey: new Secret('placeholder') },
    region: 'us-east-1',
    service,
    at: new Date(),
    payloadHash,
  }).headers
  const ours = [
    forwarding.host,
    host,
    forwarding.payloadHash,
    payloadHash,
    forwarding.payloadMode,
    call.payload?.mode ?? 'whole',
  ]
  const length =
    body === undefined || call.trailers !== undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))]
  const all = [...signed, ...ours, ...length]
  const request = http.request({ agent: agentOver(socket), method, path, headers: call.change?.(all) ?? all })
  if (call.trailers !== undefined) request.addTrailers(call.trailers)
  request.end(body)
  return once(request, 'response').then(([response]) => response as http.IncomingMessage) // node:http, "response"
}

export async function answer(
  socket: tls.TLSSocket,
  call?: Call,
): Promise<{ status: number; body: string; headers: http.IncomingHttpHeaders }> {
  const response = await send(socket, call)
  return { status: response.statusCode ?? 0, body: await text(response), headers: response.headers }
}

const agents = new WeakMap<tls.TLSSocket, http.Agent>()

/** Keeps the one connection for all its requests. */
function agentOver(socket: tls.TLSSocket): http.Agent {
  const agent = agents.get(socket) ?? new http.Agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = () => socket
  agents.set(socket, agent)
  return agent
}
