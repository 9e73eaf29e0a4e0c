/** A real Auth Service in a directory of its own, and a caller of each kind, for the tests of this folder. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, createClient } from '@connectrpc/connect'
import {
  AppService,
  AuditService,
  ClusterService,
  JoinService,
  LoginService,
  ResourceService,
  UserService,
} from '#gen/access/v1/access_pb.ts'
import { silentLog } from '#log.ts'
import { splitPem } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { type ClientCertificate, createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import type { AuthConfig } from './auth-config.ts'
import { type Auth, startAuth } from './server.ts'

/** All services as one caller reaches them. */
export interface CallerClients {
  readonly cluster: Client<typeof ClusterService>
  readonly resources: Client<typeof ResourceService>
  readonly apps: Client<typeof AppService>
  readonly logins: Client<typeof LoginService>
  readonly users: Client<typeof UserService>
  readonly join: Client<typeof JoinService>
  readonly audit: Client<typeof AuditService>
  readonly certificate: ClientCertificate | undefined
}

export const callerKinds = ['anonymous', 'app', 'proxy', 'plain', 'editor', 'auditor', 'admin'] as const
export type CallerKind = (typeof callerKinds)[number]

export const password = 'a password for tests'
export const staticToken = 'static-token-for-the-tests-of-auth'

export interface RunningAuth extends AsyncDisposable {
  readonly auth: Auth
  readonly dataDir: string
  now(): Date
  /** Moves the clock of the service. */
  pass(ms: number): void
  /** A caller with this certificate; the same clients for the same certificate. */
  as(certificate: ClientCertificate | undefined): CallerClients
  caller(kind: CallerKind): CallerClients
  /** Adds a user with these roles and logs in; without second factor. */
  login(name: string, roles: readonly string[], traits?: Record<string, string[]>): Promise<CallerClients>
  /** Joins with the static token. */
  joinAs(role: string, token?: string): Promise<CallerClients & { readonly hostId: string }>
  create(...documents: readonly object[]): Promise<void>
  /** Types of the events of the log, the oldest first. */
  events(): Promise<readonly Record<string, unknown>[]>
  /** Ends the service, and starts it again on the same directory. */
  restart(): Promise<void>
}

export const keyPem = (): string => publicKeyPem(generateKeyPair().publicKey)

/** A role of this name with this `allow`. */
export const role = (name: string, allow: object, options: object = {}): object => ({
  kind: 'role',
  version: 'v8',
  metadata: { name },
  spec: { allow, options },
})

/** @param people who logs in at the start */
export async function runAuth(
  config: Partial<AuthConfig> = {},
  people: readonly ('plain' | 'editor' | 'auditor')[] = ['plain', 'editor', 'auditor'],
): Promise<RunningAuth> {
  const dataDir = await mkdtemp(join(tmpdir(), 'auth-test-'))
  let offset = 0
  const now = (): Date => new Date(Date.now() + offset)
  const start = (): Promise<Auth> =>
    startAuth({
      config: {
        clusterName: 'example.test',
        listen: { host: '127.0.0.1', port: 0 },
        publicAddrs: [],
        tokens: [`app,proxy,kube:${staticToken}`],
        proxyPublicAddr: 'proxy.example.test:443',
        settings: { cluster_auth_preference: { second_factor: 'off' } },
        ...config,
      },
      dataDir,
      nodeName: 'auth-host',
      log: silentLog,
      clock: now,
    })
  let auth = await start()
  let connections = new Map<string, RpcConnection & { clients: CallerClients }>()
  const roots = splitPem(await readFile(auth.adminIdentityFile, 'utf8')).slice(1)

  const as = (certificate: ClientCertificate | undefined): CallerClients => {
    const key = certificate?.cert ?? ''
    const known = connections.get(key)
    if (known) return known.clients
    const connection = createRpcClient({
      dial: async () => net.connect(auth.port, '127.0.0.1'),
      serverName: authServerName(auth.clusterName),
      hostAuthorities: roots,
      ...(certificate && { certificate }),
    })
    const { transport } = connection
    const clients = {
      cluster: createClient(ClusterService, transport),
      resources: createClient(ResourceService, transport),
      apps: createClient(AppService, transport),
      logins: createClient(LoginService, transport),
      users: createClient(UserService, transport),
      join: createClient(JoinService, transport),
      audit: createClient(AuditService, transport),
      certificate,
    }
    connections.set(key, { ...connection, clients })
    return clients
  }
  const kept = new Map<CallerKind, CallerClients>()
  const running: RunningAuth = {
    get auth() {
      return auth
    },
    dataDir,
    now,
    pass(ms) {
      offset += ms
    },
    as,
    caller(kind) {
      const found = kept.get(kind)
      if (!found) throw new Error(`no caller ${kind}`)
      return found
    },
    async login(name, roles, traits = {}) {
      const user = { kind: 'user', metadata: { name }, spec: { roles, traits } }
      const { token } = await running.caller('admin').users.createUser({ user: { json: JSON.stringify(user) } })
      const proxy = running.caller('proxy')
      await proxy.logins.redeemUserToken({ token, password })
      const keys = generateKeyPair()
      const { certificatePem } = await proxy.logins.finishLogin({
        user: name,
        password,
        publicKeyPem: publicKeyPem(keys.publicKey),
        clientAddress: '192.0.2.10',
      })
      return as({ cert: certificatePem, key: privateKeyPem(keys.privateKey) })
    },
    async joinAs(role, token = staticToken) {
      const keys = generateKeyPair()
      const { certificatePem, hostId } = await as(undefined).join.join({
        token,
        method: 'token',
        role,
        nodeName: 'node-1',
        publicKeyPem: publicKeyPem(keys.publicKey),
      })
      return { ...as({ cert: certificatePem, key: privateKeyPem(keys.privateKey) }), hostId }
    },
    async create(...documents) {
      for (const one of documents) {
        await running.caller('admin').resources.create({ document: { json: JSON.stringify(one) } })
      }
    },
    async events() {
      const { eventsJson } = await running.caller('admin').audit.search({})
      return eventsJson.map((json) => JSON.parse(json) as Record<string, unknown>)
    },
    async restart() {
      await closeAll()
      auth = await start()
      await openLocal()
    },
    async [Symbol.asyncDispose]() {
      await closeAll()
      await rm(dataDir, { recursive: true })
    },
  }

  async function closeAll(): Promise<void> {
    for (const connection of connections.values()) await connection[Symbol.asyncDispose]()
    connections = new Map()
    await auth[Symbol.asyncDispose]()
  }

  async function openLocal(): Promise<void> {
    const pem = await readFile(auth.adminIdentityFile, 'utf8')
    const [cert = ''] = splitPem(pem)
    kept.set('admin', as({ cert, key: pem.slice(0, pem.indexOf('-----BEGIN CERTIFICATE-----')) }))
    const proxy = await auth.localMember('Proxy')
    kept.set('proxy', as({ cert: proxy.certificatePem, key: proxy.privateKeyPem }))
    kept.set('anonymous', as(undefined))
  }

  await openLocal()
  await running.create(role('plain', { app_labels: { env: ['dev'] }, aws_role_arns: [readOnlyArn] }))
  kept.set('app', await running.joinAs('App'))
  for (const name of people) kept.set(name, await running.login(`${name}-user`, [name]))
  return running
}

export const readOnlyArn = 'arn:aws:iam::123456789012:role/ExampleReadOnlyAccess'

/** An app as an agent announces it. */
export const appServer = (name: string, labels: Record<string, string> = { env: 'dev' }): object => ({
  kind: 'app_server',
  metadata: { name },
  spec: {
    host_id: 'whatever the agent says',
    hostname: 'node-1',
    app: {
      kind: 'app',
      metadata: { name, labels },
      spec: { uri: 'https://console.aws.amazon.com/', cloud: 'AWS', aws: { external_id: 'for-the-agent-alone' } },
    },
  },
})
