import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { suite, test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { AccessError, InvalidInput, Unavailable } from '#errors.ts'
import { ClusterService, ResourceService } from '#gen/access/v1/access_pb.ts'
import { createRpcClient } from './client.ts'
import { agentSubject, hosts, serverName, start } from './peers.conformance.ts'

/** A server whose `Ping` never answers. */
const startSilent = () => {
  const arrived = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<void>()
  const running = start((router) =>
    router.service(ClusterService, {
      ping(_, { signal }) {
        arrived.resolve()
        return new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted.resolve()
            resolve({})
          })
        })
      },
    }),
  )
  return { running, arrived: arrived.promise, aborted: aborted.promise }
}

suite('a call', () => {
  test('ends at its deadline, and the server hears of it', async () => {
    const { running, aborted } = startSilent()
    await using server = await running
    const client = createClient(ClusterService, server.connect().transport)
    await assert.rejects(client.ping({}, { timeoutMs: 50 }), (error: unknown) => {
      assert.ok(error instanceof Unavailable)
      assert.match(error.message, /did not answer in time/)
      return true
    })
    await aborted
  })

  test('ends when its caller gives up, and the connection goes on', async () => {
    const { running, arrived, aborted } = startSilent()
    await using server = await running
    const connection = server.connect()
    const stop = new AbortController()
    const call = createClient(ClusterService, connection.transport).ping({}, { signal: stop.signal })
    await arrived
    stop.abort()
    await assert.rejects(call, AccessError)
    await aborted
    await assert.rejects(createClient(ResourceService, connection.transport).get({}), /does not know this call/)
    assert.equal(server.dials, 1)
  })

  test('fails when the connection breaks under it, and the next one gets another connection', async () => {
    const { running, arrived } = startSilent()
    await using server = await running
    const sockets: net.Socket[] = []
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async () => {
        const socket = net.connect(server.server.port, '127.0.0.1')
        sockets.push(socket)
        return socket
      },
    })
    const call = createClient(ClusterService, connection.transport).ping({})
    await arrived
    sockets[0]?.destroy()
    await assert.rejects(call, Unavailable)
    await assert.rejects(createClient(ResourceService, connection.transport).get({}), InvalidInput)
    assert.equal(sockets.length, 2)
  })

  test('fails when its server is killed, which ends the connection without a word, and the next one gets another', async () => {
    const { running, arrived } = startSilent()
    await using server = await running
    const between: net.Socket[] = []
    // Gives the end on as the kernel does for a process that was killed: as the end of what the peer sends, no more.
    const relay = net.createServer({ allowHalfOpen: true }, (socket) => {
      const far = net.connect(server.server.port, '127.0.0.1')
      between.push(socket)
      socket.on('error', () => far.destroy())
      socket.once('close', () => far.destroy())
      far.on('error', () => {})
      socket.pipe(far, { end: false })
      far.pipe(socket, { end: false })
    })
    using _closed = {
      [Symbol.dispose]() {
        relay.close()
        for (const socket of between) socket.destroy()
      },
    }
    relay.listen(0, '127.0.0.1')
    await once(relay, 'listening')
    const { port } = relay.address() as net.AddressInfo // TCP
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async () => net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }),
    })
    const call = createClient(ClusterService, connection.transport).ping({})
    await arrived
    between[0]?.unpipe().end()
    await assert.rejects(call, Unavailable)
    await assert.rejects(createClient(ResourceService, connection.transport).get({}), InvalidInput)
    assert.equal(between.length, 2)
  })

  test('says what its dialler said when there is no connection', async () => {
    const refusal = new InvalidInput('no proxy is configured', { hint: 'set one' })
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: () => Promise.reject(refusal),
    })
    await assert.rejects(createClient(ClusterService, connection.transport).ping({}), refusal)
  })

  test('is refused after the connection was disposed', async () => {
    await using server = await start()
    const connection = server.connect()
    const client = createClient(ClusterService, connection.transport)
    await client.whoAmI({})
    await connection[Symbol.asyncDispose]()
    await assert.rejects(client.whoAmI({}), /was closed/)
  })
})

suite('a connection', () => {
  test('that is being opened is shared by all calls, and stops when it is disposed', async () => {
    let dials = 0
    const connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async (signal) => {
        dials++
        await once(signal, 'abort')
        throw signal.reason
      },
    })
    const client = createClient(ClusterService, connection.transport)
    const calls = [client.ping({}), client.ping({})].map((call) => assert.rejects(call, Unavailable))
    await connection[Symbol.asyncDispose]()
    await Promise.all(calls)
    assert.equal(dials, 1)
  })

  test('shows the certificate that holds when it is opened', async () => {
    await using server = await start()
    let certificate = undefined as ReturnType<typeof hosts.issue> | undefined // shown from the second connection on
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: () => [hosts.pem],
      certificate: () => certificate,
      dial: async () => net.connect(server.server.port, '127.0.0.1'),
    })
    const client = createClient(ClusterService, connection.transport)
    assert.equal((await client.whoAmI({})).name, 'anonymous')
    certificate = hosts.issue(agentSubject)
    assert.equal((await client.whoAmI({})).name, 'anonymous')
    connection.reconnect()
    assert.equal((await client.whoAmI({})).name, 'member')
  })

  test('to a server that does not speak TLS fails', async () => {
    const plain = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1')
    await once(plain, 'listening')
    const { port } = plain.address() as net.AddressInfo // TCP
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async () => net.connect(port, '127.0.0.1'),
    })
    await assert.rejects(createClient(ClusterService, connection.transport).ping({}), Unavailable)
    plain.close()
  })
})
