import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { silentLog } from '#log.ts'
import { issueCertificate, oids, splitPem } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { authServerName, serverName } from '#tls-routing/names.ts'
import { openTunnels } from '#tunnel/agent-end.ts'
import { defaultProxyLimits } from './config.ts'
import { ask, type Cluster, cluster, startCluster } from './running-cluster.conformance.ts'

test('certificates of its own are used, and read again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'proxy-test-'))
  const write = async (): Promise<string> => {
    const { privateKey, publicKey } = generateKeyPair()
    const name = [[oids.CN, 'proxy.example.com']] as const
    const { pem } = issueCertificate({
      subject: name,
      publicKey,
      issuer: { name, privateKey },
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      dnsNames: ['proxy.example.com'],
      keyUsage: ['digitalSignature'],
    })
    await Promise.all([writeFile(join(dir, 'key'), privateKeyPem(privateKey)), writeFile(join(dir, 'cert'), pem)])
    return pem
  }
  const shown = async (port: number): Promise<string> => {
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'proxy.example.com', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const certificate = socket.getPeerX509Certificate()?.fingerprint256 ?? ''
    socket.destroy()
    return certificate
  }
  await write()
  await using running = await startCluster({
    keypairs: [{ keyFile: join(dir, 'key'), certFile: join(dir, 'cert') }],
    keypairsReloadMs: 10,
  })
  const first = await shown(running.proxy.port)
  await write()
  while ((await shown(running.proxy.port)) === first) await new Promise(setImmediate)
  await rm(dir, { recursive: true })
})

suite('agents behind the proxy', () => {
  /** An agent for one app, whose TLS ends at itself. */
  async function startAgent({ auth, proxy }: Cluster): Promise<AsyncDisposable & { name: string; seen: string[] }> {
    const member = await auth.auth.localMember('App')
    const { join: joinService } = auth.as({ cert: member.certificatePem, key: member.privateKeyPem })
    const app = { kind: 'app', version: 'v3', metadata: { name: 'hello' }, spec: { uri: 'http://127.0.0.1:1' } }
    const { privateKey, publicKey } = generateKeyPair()
    const { certificatePem, serverName: name } = await joinService.issueServedName({
      kind: 'app',
      name: 'hello',
      publicKeyPem: publicKeyPem(publicKey),
    })
    const document = {
      kind: 'app_server',
      version: 'v3',
      metadata: { name: 'hello' },
      spec: { host_id: member.hostId, hostname: 'x', app },
    }
    await joinService.heartbeat({ documents: [{ json: JSON.stringify(document) }] })
    const seen: string[] = []
    const tunnels = await openTunnels({
      proxies: () => [{ host: '127.0.0.1', port: proxy.port }],
      dial: async (host, port) => net.connect({ host, port, allowHalfOpen: true }),
      identity: member,
      log: silentLog,
      serve: async (stream: Duplex, meta) => {
        seen.push(`${meta.serverName} from ${meta.clientAddress}`)
        const secure = new tls.TLSSocket(stream, {
          isServer: true,
          cert: certificatePem,
          key: privateKeyPem(privateKey),
        })
        secure.on('error', () => {})
        secure.end('hello from the agent')
        await once(secure, 'close')
      },
    })
    while (!proxy.connectedAgents().includes(member.hostId)) await new Promise(setImmediate)
    return { name, seen, [Symbol.asyncDispose]: () => tunnels[Symbol.asyncDispose]() }
  }

  async function greeting({ proxy, roots }: Cluster, servername: string): Promise<string> {
    const socket = tls.connect({ port: proxy.port, host: '127.0.0.1', servername, ca: [...roots] })
    return text(socket)
  }

  let running: Cluster
  before(async () => {
    running = await startCluster()
  })
  after(() => running[Symbol.asyncDispose]())

  test('a client reaches an app by its label, and TLS ends at the agent', async () => {
    await using agent = await startAgent(running)
    let answer = ''
    // The announcement reaches the proxy within moments.
    while (answer === '') answer = await greeting(running, agent.name).catch(() => '')
    assert.equal(answer, 'hello from the agent')
    assert.deepEqual(agent.seen, [`${agent.name} from 127.0.0.1`])
  })

  test('a proxy that drains waits for the streams that are open', async () => {
    await using own = await startCluster()
    await using agent = await startAgent(own)
    const connect = async (): Promise<tls.TLSSocket | undefined> => {
      const { proxy, roots } = own
      const raw = net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
      const socket = tls.connect({ socket: raw, servername: agent.name, ca: [...roots] })
      return once(socket, 'data').then(
        () => socket,
        () => undefined,
      )
    }
    let socket: tls.TLSSocket | undefined
    while (socket === undefined) socket = await connect()
    let isDrained = false
    const drained = own.proxy.drain().then(() => {
      isDrained = true
    })
    while (own.proxy.connectedAgents().length > 0) await new Promise(setImmediate)
    assert.equal(isDrained, false)
    socket.end()
    await drained
  })

  for (const [says, servername] of [
    ['an unknown label', serverName('app', 'a'.repeat(26), cluster)],
    ['a label of another cluster', serverName('app', 'a'.repeat(26), 'example.org')],
    ['the Auth Service of another cluster', authServerName('example.org')],
    ['the tunnel without its protocol', `proxy.tunnel.${cluster}`],
    ['a Kubernetes cluster that nobody serves', serverName('kube', 'b'.repeat(26), cluster)],
  ] as const) {
    test(`${says} is closed without a word`, async () => {
      const socket = tls.connect({ port: running.proxy.port, host: '127.0.0.1', servername })
      await assert.rejects(once(socket, 'secureConnect'), { code: 'ECONNRESET' })
      assert.equal(socket.bytesRead, 0)
    })
  }

  test('the plain name of an app leads to the web server, whether the app exists or not', async () => {
    for (const name of [`hello.app.${cluster}`, `nope.app.${cluster}`]) {
      await assert.rejects(greeting(running, name), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    }
  })

  test('too many connections of one address are closed', async () => {
    await using few = await startCluster({ limits: { ...defaultProxyLimits, connections: 1 } })
    const first = net.connect(few.proxy.port, '127.0.0.1')
    await once(first, 'connect')
    const second = net.connect(few.proxy.port, '127.0.0.1')
    second.on('error', () => {})
    await once(second, 'close')
    const closed = once(first, 'close')
    first.destroy()
    await closed
    let status = 0
    while (status !== 200) status = (await ask(few, '/webapi/find').catch(() => ({ status: 0 }))).status
  })
})

test('the chain that it shows holds the authority, so that a pin can be checked', async () => {
  await using running = await startCluster()
  const [leaf, ...authorities] = splitPem(running.proxy.webCertificatePem)
  assert.ok(leaf)
  assert.deepEqual(authorities, running.roots)
  assert.ok((await readFile(running.auth.auth.adminIdentityFile, 'utf8')).includes(authorities[0] ?? 'none'))
})

test('a proxy announces itself, and takes it back when it leaves', async () => {
  const running = await startCluster()
  const { resources } = running.auth.caller('admin')
  const announced = async (): Promise<string[]> =>
    (await resources.list({ kind: 'proxy' })).documents.map(({ json }) => JSON.parse(json).spec.public_addr)
  while ((await announced()).length === 0) await new Promise(setImmediate)
  assert.deepEqual(await announced(), ['127.0.0.1:443'])
  await running.proxy[Symbol.asyncDispose]()
  assert.deepEqual(await announced(), [])
  await running.auth[Symbol.asyncDispose]()
})
