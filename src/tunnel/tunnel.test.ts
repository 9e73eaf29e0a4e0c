import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { silentLog } from '#log.ts'
import { listen } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { tunnelServerName } from '#tls-routing/names.ts'
import { MAX_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES, windowFor } from './session.ts'
import {
  cluster,
  createCa,
  echo,
  exchange,
  hostCa,
  member,
  startAgentEnd,
  startProxyEnd,
  user,
  whenRegistered,
} from './tunnel-ends.conformance.ts'

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
    assert.partialDeepStrictEqual(meta, { serverName: 'x.app.example.com', clientAddress: '192.0.2.1' })
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
