/** A whole agent between a real Auth Service, a real proxy and the lab's AWS. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { type CallerClients, type RunningAuth, role, runAuth, staticToken } from '#auth/callers.conformance.ts'
import { forwarding } from '#aws/forwarding.ts'
import { emptyHash, signRequest } from '#aws/sigv4.ts'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import { silentLog } from '#log.ts'
import { createEgress, type Egress } from '#net/egress.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { defaultProxyLimits } from '#proxy/config.ts'
import { type Proxy as ProxyService, startProxy } from '#proxy/server.ts'
import type { App } from '#resources/app.ts'
import { parseResource } from '#resources/parse.ts'
import { Secret } from '#secret.ts'
import { type Agent, startAgent } from './agent.ts'

const READER = 'arn:aws:iam::123456789012:role/ExampleReadOnlyAccess'
const root = mkdtempSync(join(tmpdir(), 'agents-'))
after(() => rmSync(root, { recursive: true, force: true }))

const app = (name: string, labels: Record<string, string> = {}): App =>
  parseResource({
    kind: 'app',
    version: 'v3',
    metadata: { name, labels },
    spec: { uri: 'https://console.aws.amazon.com/' },
  }) as App // of this kind

let lab: AwsLab
let egress: Egress
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  egress = createEgress({ httpsProxy: lab.egressUrl, noProxy: '127.0.0.1', extraCa: lab.egress.caPem })
  // The credential chain of the SDK reads the variables of its process.
  Object.assign(process.env, lab.environment({ role: 'TeleportAWSAccess' }))
})
after(async () => {
  egress[Symbol.dispose]()
  await lab[Symbol.asyncDispose]()
})

interface Cluster extends AsyncDisposable {
  readonly auth: RunningAuth
  readonly proxy: ProxyService
  readonly roots: readonly string[]
  startAgent(name: string): Promise<Agent>
}

async function startCluster(): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const auth = stack.use(await runAuth({}, []))
  await auth.create(role('cloud', { app_labels: { '*': ['*'] }, aws_role_arns: [READER] }))
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
      },
      member,
      authAddress: { host: '127.0.0.1', port: auth.auth.port },
      log: silentLog,
      clock: auth.now,
    }),
  )
  const running = stack.move()
  return {
    auth,
    proxy,
    roots: member.hostAuthorities,
    startAgent: (name) =>
      startAgent({
        config: {
          nodeName: name,
          proxyServer: `127.0.0.1:${proxy.port}`,
          caPins: auth.auth.caPins,
          joinMethod: 'token',
          joinToken: staticToken,
          apps: [app('awsconsole')],
          resourceLabels: [{ env: ['test'] }],
        },
        dataDir: join(root, name),
        egress,
        log: silentLog,
        clock: auth.now,
      }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** Opens the app as the user, and gives a connection to it through the proxy. */
async function openApp(
  { proxy, roots }: Cluster,
  user: CallerClients,
  name: string,
): Promise<() => Promise<tls.TLSSocket>> {
  const keys = generateKeyPair()
  const { certificatePem, serverName } = await user.apps.startAppSession({
    app: name,
    awsRoleArn: READER,
    publicKeyPem: publicKeyPem(keys.publicKey),
  })
  return async () => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: proxy.port,
      servername: serverName,
      ALPNProtocols: ['http/1.1'],
      ca: [...roots],
      cert: certificatePem,
      key: privateKeyPem(keys.privateKey),
    })
    await once(socket, 'secureConnect')
    return socket
  }
}

async function listBuckets(socket: tls.TLSSocket): Promise<string> {
  const host = 's3.us-east-1.amazonaws.com'
  const { headers } = signRequest({
    request: { method: 'GET', path: '/', query: '', headers: ['Host', host] },
    credentials: { accessKeyId: 'AKIAPLACEHOLDER', secretAccessKey: new Secret('placeholder') },
    region: 'us-east-1',
    service: 's3',
    at: new Date(),
    payloadHash: emptyHash,
  })
  const ours = [forwarding.host, host, forwarding.payloadHash, emptyHash, forwarding.payloadMode, 'whole']
  const request = http.request({ createConnection: () => socket, headers: [...headers, ...ours] })
  request.end()
  const [response] = (await once(request, 'response')) as [http.IncomingMessage] // node:http, "response"
  return `${response.statusCode} ${await text(response)}`
}

/** Asks until the answer fits; the test's own time limit ends it. */
async function eventually(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await new Promise(setImmediate)
}

suite('an agent', () => {
  let cluster: Cluster
  let agent: Agent
  let alice: CallerClients
  before(async () => {
    cluster = await startCluster()
    agent = await cluster.startAgent('agent-1')
    alice = await cluster.auth.login('alice', ['cloud'])
  })
  after(async () => {
    await agent[Symbol.asyncDispose]()
    await cluster[Symbol.asyncDispose]()
  })
  const visible = async (): Promise<string[]> => {
    const { apps } = await alice.apps.listApps({})
    return apps.map(({ app }) => JSON.parse(app?.json ?? '{}').metadata.name as string)
  }

  test('is reached through the proxy, and its calls reach the audit log', async () => {
    assert.deepEqual(agent.connected(), [`127.0.0.1:${cluster.proxy.port}`])
    assert.deepEqual(await visible(), ['awsconsole'])
    const connect = await openApp(cluster, alice, 'awsconsole')
    assert.match(await listBuckets(await connect()), /^200 .*<Name>reports<\/Name>/s)
    const codes = async (): Promise<unknown[]> => (await cluster.auth.events()).map(({ code }) => code)
    await eventually(async () => (await codes()).includes('T2009I'))
    assert.deepEqual(
      (await codes()).filter((code) => /^T20/.test(String(code))),
      ['T2007I', 'T2008I', 'T2009I'],
    )
  })

  test('says of each app who owns it', () => {
    const origin = agent.apps.list().map(({ metadata }) => metadata.labels?.['teleport.dev/origin'])
    assert.deepEqual(origin, ['config-file'])
  })

  test('serves an app of the cluster whose labels it asked for, and stops within a second when it is removed', async () => {
    await cluster.auth.create(app('other', { env: 'prod' }), app('dynamic', { env: 'test' }))
    await eventually(async () => (await visible()).includes('dynamic'))
    assert.deepEqual((await visible()).toSorted(), ['awsconsole', 'dynamic'])
    const connect = await openApp(cluster, alice, 'dynamic')
    assert.match(await listBuckets(await connect()), /^200 /)
    const before = performance.now()
    await cluster.auth.caller('admin').resources.delete({ kind: 'app', name: 'dynamic' })
    await eventually(async () => !(await visible()).includes('dynamic'))
    assert.ok(performance.now() - before < 1000)
    assert.deepEqual(
      agent.apps.list().map(({ metadata }) => metadata.name),
      ['awsconsole'],
    )
  })

  test('hears of a lock within two seconds', async () => {
    const bob = await cluster.auth.login('bob', ['cloud'])
    const connect = await openApp(cluster, bob, 'awsconsole')
    assert.match(await listBuckets(await connect()), /^200 /)
    const before = performance.now()
    await cluster.auth.create({
      kind: 'lock',
      version: 'v2',
      metadata: { name: 'l' },
      spec: { target: { user: 'bob' } },
    })
    await eventually(async () => /^403 .*lock targeting/s.test(await listBuckets(await connect())))
    assert.ok(performance.now() - before < 2000)
  })

  test('starts again with its identity, without a token', async () => {
    const { hostId } = agent.identity()
    await agent[Symbol.asyncDispose]()
    agent = await cluster.startAgent('agent-1')
    assert.equal(agent.identity().hostId, hostId)
  })

  test('goes on while Auth is away', async () => {
    const connect = await openApp(cluster, alice, 'awsconsole')
    await cluster.auth.auth[Symbol.asyncDispose]()
    assert.match(await listBuckets(await connect()), /^200 /)
  })
})
