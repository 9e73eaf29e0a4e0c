import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import type { CaSigner } from '#ca/authorities.ts'
import { issueHostCertificate } from '#ca/issue-host.ts'
import { issueUserCertificate } from '#ca/issue-user.ts'
import type { SystemRole } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { listen } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { tunnelServerName } from '#tls-routing/names.ts'
import { type AgentTunnels, type OpenTunnelsOptions, openTunnels, type TunnelIdentity } from './agent-end.ts'
import { type AcceptTunnelOptions, acceptTunnel } from './proxy-end.ts'
import { createTunnelRegistry, NoAgentConnected } from './registry.ts'
import { MAX_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES, windowFor } from './session.ts'

const cluster = 'example.com'
const hour = 3_600_000

function createCa(): CaSigner {
  const { privateKey, publicKey } = generateKeyPair()
  const name = [[oids.O, cluster]] as const
  const notAfter = new Date(Date.now() + 10 * hour)
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date(Date.now() - hour),
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign'],
  })
  return { certificatePem: pem, name, privateKey, notAfter }
}

const hostCa = createCa()

function member(
  role: SystemRole,
  { ca = hostCa, ttlMs = hour, of = cluster } = {},
): TunnelIdentity & { hostId: string } {
  const { privateKey, publicKey } = generateKeyPair()
  const hostId = randomUUID()
  const expires = new Date(Date.now() + ttlMs)
  const identity = { kind: 'host', hostId, nodeName: 'host', roles: [role], cluster: of, expires } as const
  const { pem } = issueHostCertificate(ca, identity, publicKey, new Date())
  return {
    hostId,
    clusterName: cluster,
    certificatePem: pem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthorities: [hostCa.certificatePem],
  }
}

/** A certificate of the user authority; here both authorities may be one and the same, to show that the subject counts too. */
function user(ca: CaSigner): TunnelIdentity {
  const { privateKey, publicKey } = generateKeyPair()
  const { pem } = issueUserCertificate(
    ca,
    {
      kind: 'user',
      name: 'alice',
      roles: ['access'],
      traits: {},
      cluster,
      expires: new Date(Date.now() + hour),
      awsRoleArns: [],
      azureIdentities: [],
      kubeUsers: [],
      kubeGroups: [],
      userType: 'local',
      accessRequests: [],
      isRenewable: false,
      disallowReissue: false,
    },
    publicKey,
    new Date(),
  )
  return {
    clusterName: cluster,
    certificatePem: pem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthorities: [hostCa.certificatePem],
  }
}

async function startProxyEnd(options: Partial<AcceptTunnelOptions> & { port?: number } = {}) {
  const registry = createTunnelRegistry()
  const proxy = member('Proxy')
  const refusals: string[] = []
  const sockets = new Set<net.Socket>()
  const listener = await listen(
    { host: '127.0.0.1', port: options.port ?? 0, log: silentLog },
    async (socket, signal) => {
      sockets.add(socket)
      await acceptTunnel(socket, {
        certificate: proxy.certificatePem,
        key: proxy.privateKeyPem,
        hostAuthorities: () => [hostCa.certificatePem],
        cluster,
        registry,
        log: silentLog,
        signal,
        ...options,
      }).catch((error: Error) => void refusals.push(error.message))
      sockets.delete(socket)
    },
  )
  const { signal } = new AbortController()
  return {
    registry,
    refusals,
    sockets,
    port: listener.port,
    dial: (...hostIds: string[]) =>
      registry.dial(hostIds, { serverName: 'x.app.example.com', clientAddress: '192.0.2.1' }, signal),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}

/** Tunnels to ports on loopback, and a way to wait for how many are open. */
async function startAgentEnd(ports: readonly number[], options: Partial<OpenTunnelsOptions> = {}) {
  let changed = Promise.withResolvers<void>()
  const identity = member('App')
  const tunnels: AgentTunnels = await openTunnels({
    proxies: () => ports.map((port) => ({ host: '127.0.0.1', port })),
    dial: async (host, port) => {
      const socket = net.connect({ host, port, allowHalfOpen: true })
      await once(socket, 'connect')
      return socket
    },
    identity,
    serve: echo,
    log: silentLog,
    backoff: { stepMs: 10, maxMs: 20 },
    onChange: () => {
      changed.resolve()
      changed = Promise.withResolvers()
    },
    ...options,
  })
  return {
    tunnels,
    hostId: identity.hostId,
    async whenConnected(count: number) {
      while (tunnels.connected().length !== count) await changed.promise
    },
    [Symbol.asyncDispose]: () => tunnels[Symbol.asyncDispose](),
  }
}

async function echo(stream: Duplex): Promise<void> {
  stream.on('data', (chunk) => {
    if (!stream.write(chunk)) stream.pause()
  })
  stream.on('drain', () => stream.resume())
  await once(stream, 'end')
  stream.end()
}

/** Sends, ends, and gives all that came back. */
async function exchange(stream: Duplex, sent: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.end(sent)
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

/** Waits until the proxy knows the agent. */
async function whenRegistered(proxy: { registry: { has(hostId: string): boolean } }, hostId: string, is = true) {
  while (proxy.registry.has(hostId) !== is) await new Promise(setImmediate)
}

suite('a tunnel', () => {
  test('the proxy opens streams to the agent, which learns who calls for what', async () => {
    let meta: unknown
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port], {
      serve: (stream, given) => {
        meta = given
        return echo(stream)
      },
    })
    await whenRegistered(proxy, agent.hostId)
    const sent = randomBytes(3_000_000)
    assert.ok((await exchange(await proxy.dial(agent.hostId), sent)).equals(sent))
    assert.deepEqual(meta, { serverName: 'x.app.example.com', clientAddress: '192.0.2.1' })
    assert.deepEqual(proxy.registry.connected(), [agent.hostId])
    assert.deepEqual(agent.tunnels.connected(), [`127.0.0.1:${proxy.port}`])
  })

  test('many streams share it', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const sent = randomBytes(50_000)
        assert.ok((await exchange(await proxy.dial(agent.hostId), sent)).equals(sent))
      }),
    )
  })

  test('a reader that stalls stops its own stream and no other', async () => {
    await using proxy = await startProxyEnd()
    let written = 0
    const stalled = Promise.withResolvers<void>()
    await using agent = await startAgentEnd([proxy.port], {
      serve: async (stream) => {
        const chunk = Buffer.alloc(65_536)
        stream.on('error', () => {})
        const [first] = await once(stream, 'data')
        if (String(first) === 'echo') {
          stream.end('echoed')
          return
        }
        while (stream.write(chunk)) written += chunk.length
        stalled.resolve()
        await once(stream, 'close')
      },
    })
    await whenRegistered(proxy, agent.hostId)
    const slow = await proxy.dial(agent.hostId)
    slow.on('error', () => {})
    slow.write('flood')
    await stalled.promise
    assert.ok(written <= 2 * MAX_STREAM_WINDOW_BYTES)
    assert.equal(String(await exchange(await proxy.dial(agent.hostId), Buffer.from('echo'))), 'echoed')
    slow.destroy()
  })

  test('TLS from a client to the agent passes through it', async () => {
    const server = member('Auth') // any certificate with a name
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port], {
      serve: async (stream) => {
        const secure = new tls.TLSSocket(stream, {
          isServer: true,
          cert: server.certificatePem,
          key: server.privateKeyPem,
        })
        secure.end('secret')
        await once(secure, 'close')
      },
    })
    await whenRegistered(proxy, agent.hostId)
    await using front = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket, signal) => {
      await splice(socket, await proxy.dial(agent.hostId), { signal })
    })
    const client = tls.connect({
      port: front.port,
      host: '127.0.0.1',
      servername: `auth.rpc.${cluster}`,
      ca: hostCa.certificatePem,
    })
    let got = ''
    client.on('data', (chunk) => {
      got += chunk
    })
    await once(client, 'end')
    assert.equal(got, 'secret')
  })

  test('aborted streams do not close it', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    for (let round = 0; round < 10; round++) {
      const streams = await Promise.all(Array.from({ length: 150 }, () => proxy.dial(agent.hostId)))
      for (const stream of streams) {
        stream.on('error', () => {})
        stream.destroy(new Error('the client left'))
      }
    }
    assert.equal(String(await exchange(await proxy.dial(agent.hostId), Buffer.from('x'))), 'x')
  })
})

suite('who may hold a tunnel', () => {
  const otherCa = createCa()
  for (const { says, identity, reason } of [
    {
      says: 'a member signed by another host authority is refused',
      identity: member('App', { ca: otherCa }),
      reason: /not one of a member/,
    },
    { says: 'a user is refused', identity: user(otherCa), reason: /not one of a member/ },
    {
      says: 'a user is refused even if the host authority signed',
      identity: user(hostCa),
      reason: /not one of a member/,
    },
    { says: 'an expired member is refused', identity: member('App', { ttlMs: 1 }), reason: /not one of a member/ },
    {
      says: 'a member of another cluster is refused',
      identity: member('App', { of: 'example.org' }),
      reason: /of cluster example.org/,
    },
    { says: 'a proxy is refused', identity: member('Proxy'), reason: /a member with roles Proxy serves nothing/ },
    { says: 'a bot is refused', identity: member('Bot'), reason: /serves nothing/ },
  ]) {
    test(says, async () => {
      await using proxy = await startProxyEnd()
      await using _agent = await startAgentEnd([proxy.port], { identity })
      while (proxy.refusals.length === 0) await new Promise(setImmediate)
      assert.match(proxy.refusals[0] ?? '', reason)
      assert.deepEqual(proxy.registry.connected(), [])
    })
  }

  test('a peer without a certificate is refused', async () => {
    await using proxy = await startProxyEnd()
    const socket = tls.connect({
      port: proxy.port,
      host: '127.0.0.1',
      servername: tunnelServerName(cluster),
      ca: hostCa.certificatePem,
      ALPNProtocols: ['access-tunnel/1'],
    })
    socket.on('error', () => {})
    await once(socket, 'close')
    assert.match(proxy.refusals.join(), /no certificate/)
  })

  test('a peer without the tunnel protocol is refused', async () => {
    const { certificatePem, privateKeyPem } = member('App')
    await using proxy = await startProxyEnd()
    const socket = tls.connect({
      port: proxy.port,
      host: '127.0.0.1',
      servername: tunnelServerName(cluster),
      ca: hostCa.certificatePem,
      cert: certificatePem,
      key: privateKeyPem,
    })
    socket.on('error', () => {})
    await once(socket, 'close')
    assert.match(proxy.refusals.join(), /no tunnel protocol/)
  })

  test('the agent refuses a proxy that another authority signed', async () => {
    const impostor = member('Proxy', { ca: otherCa })
    await using proxy = await startProxyEnd({ certificate: impostor.certificatePem, key: impostor.privateKeyPem })
    await using _agent = await startAgentEnd([proxy.port])
    while (proxy.refusals.length === 0) await new Promise(setImmediate)
    assert.match(proxy.refusals[0] ?? '', /handshake failed|may not trust this proxy/)
  })

  test('the agent refuses a member that is no proxy', async () => {
    const impostor = member('App')
    await using proxy = await startProxyEnd({ certificate: impostor.certificatePem, key: impostor.privateKeyPem })
    await using _agent = await startAgentEnd([proxy.port])
    while (proxy.refusals.length === 0) await new Promise(setImmediate)
    assert.match(proxy.refusals[0] ?? '', /handshake failed|may not trust this proxy/)
  })
})

suite('when an end goes away', () => {
  test('both ends of a stream see at once that the agent was killed, and another agent takes the next call', async () => {
    const served = Promise.withResolvers<Duplex>()
    await using proxy = await startProxyEnd()
    const doomed = await startAgentEnd([proxy.port], {
      serve: async (stream) => {
        served.resolve(stream)
        stream.on('error', () => {})
        await once(stream, 'close')
      },
    })
    await using other = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, doomed.hostId)
    await whenRegistered(proxy, other.hostId)
    const stream = await proxy.dial(doomed.hostId)
    stream.resume()
    stream.write('x')
    const atAgent = await served.promise
    const closed = [once(stream, 'close').catch(() => {}), once(atAgent, 'close').catch(() => {})]
    await doomed[Symbol.asyncDispose]()
    await Promise.all(closed)
    await whenRegistered(proxy, doomed.hostId, false)
    assert.equal(String(await exchange(await proxy.dial(doomed.hostId, other.hostId), Buffer.from('x'))), 'x')
  })

  test('a stream that is cut ends with an error, never with a clean end', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port], {
      serve: async (stream) => {
        stream.on('error', () => {})
        stream.write('the first half')
        await once(stream, 'data')
      },
    })
    await whenRegistered(proxy, agent.hostId)
    const stream = await proxy.dial(agent.hostId)
    stream.once('data', () => stream.write('stop'))
    await assert.rejects(once(stream, 'close')) // by the error that came before
  })

  test('an agent comes back to a proxy that lost its connection', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    for (const socket of proxy.sockets) socket.resetAndDestroy()
    await agent.whenConnected(0)
    await agent.whenConnected(1)
    await whenRegistered(proxy, agent.hostId)
    assert.equal(String(await exchange(await proxy.dial(agent.hostId), Buffer.from('x'))), 'x')
  })

  test('an agent holds a tunnel to each proxy, and finds one that starts later', async () => {
    await using first = await startProxyEnd()
    const gone = await startProxyEnd()
    await gone[Symbol.asyncDispose]()
    await using agent = await startAgentEnd([first.port, gone.port])
    await agent.whenConnected(1)
    await using second = await startProxyEnd({ port: gone.port })
    await agent.whenConnected(2)
    await whenRegistered(second, agent.hostId)
  })

  test('a peer that is silent is given up in time by both ends', async () => {
    const pingTimes = { everyMs: 30, answerMs: 30 }
    await using proxy = await startProxyEnd({ pingTimes })
    const frozen: net.Socket[] = []
    // A path that swallows everything, as when a machine loses power.
    await using path = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket, signal) => {
      if (frozen.length > 0) return
      const upstream = net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
      frozen.push(socket, upstream)
      await splice(socket, upstream, { signal })
    })
    await using agent = await startAgentEnd([path.port], { pingTimes })
    await whenRegistered(proxy, agent.hostId)
    await agent.whenConnected(1)
    for (const socket of frozen) socket.removeAllListeners('data').resume()
    await Promise.all([agent.whenConnected(0), whenRegistered(proxy, agent.hostId, false)])
    for (const socket of frozen) socket.destroy()
  })

  test('a dead agent is passed over at dial', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    let asked = 0
    proxy.registry.add('dead', {
      async open() {
        asked += 1
        throw new Error('dead')
      },
    })
    for (let round = 0; round < 20; round++) {
      assert.equal(String(await exchange(await proxy.dial('dead', agent.hostId), Buffer.from('x'))), 'x')
    }
    assert.ok(asked > 0)
    await assert.rejects(proxy.dial('dead'), NoAgentConnected)
    await assert.rejects(proxy.dial('unknown'), NoAgentConnected)
  })

  test('a tunnel does not outlive its certificate', async () => {
    let issued = 0
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port], {
      identity: () => member('App', { ttlMs: issued++ === 0 ? 1500 : hour }),
    })
    await agent.whenConnected(1)
    while (issued < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await agent.whenConnected(1)
  })
})

suite('leaving in peace', () => {
  test('an agent that drains finishes its streams and takes no more', async () => {
    await using proxy = await startProxyEnd()
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    const stream = await proxy.dial(agent.hostId)
    const drained = agent.tunnels.drain()
    await whenRegistered(proxy, agent.hostId, false)
    await assert.rejects(proxy.dial(agent.hostId), NoAgentConnected)
    assert.equal(String(await exchange(stream, Buffer.from('still here'))), 'still here')
    await drained
    assert.deepEqual(agent.tunnels.connected(), [])
  })

  test('a proxy that drains lets streams end, and the agent dials again meanwhile', async () => {
    const drain = new AbortController()
    await using proxy = await startProxyEnd({ drain: drain.signal })
    await using agent = await startAgentEnd([proxy.port])
    await whenRegistered(proxy, agent.hostId)
    const stream = await proxy.dial(agent.hostId)
    const before = proxy.sockets.size
    drain.abort()
    while (proxy.sockets.size <= before) await new Promise(setImmediate)
    assert.equal(String(await exchange(stream, Buffer.from('still here'))), 'still here')
  })
})

test('a stream opened by anything but CONNECT is refused by the agent', async () => {
  const { certificatePem, privateKeyPem } = member('Proxy')
  const status = Promise.withResolvers<string>()
  await using rogue = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket) => {
    const server = tls.createServer({ cert: certificatePem, key: privateKeyPem, ALPNProtocols: ['access-tunnel/1'] })
    socket.allowHalfOpen = false
    server.emit('connection', socket)
    const [secure] = (await once(server, 'secureConnection')) as [tls.TLSSocket] // by the event's contract
    const session = http2.connect('https://x', { createConnection: () => secure })
    const stream = session.request({ ':method': 'GET', ':path': '/' })
    stream.on('error', (error) => status.resolve(error.message))
    stream.on('response', () => status.resolve('answered'))
    await once(session, 'close')
  })
  await using _agent = await startAgentEnd([rogue.port])
  assert.match(await status.promise, /NGHTTP2_PROTOCOL_ERROR/)
})

suite('windows of streams', () => {
  for (const [streams, bytes] of [
    [1, MAX_STREAM_WINDOW_BYTES],
    [8, MAX_STREAM_WINDOW_BYTES],
    [9, MAX_STREAM_WINDOW_BYTES / 2],
    [64, MAX_STREAM_WINDOW_BYTES / 8],
    [128, STREAM_WINDOW_BYTES],
    [100_000, STREAM_WINDOW_BYTES],
  ] as const) {
    test(`with ${streams} open each may be ${bytes} bytes ahead`, () => assert.equal(windowFor(streams), bytes))
  }
})
