import assert from 'node:assert/strict'
import net from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { createClient } from '@connectrpc/connect'
import { AccessDenied, type AccessError, Unauthenticated, Unavailable } from '#errors.ts'
import { AuditService, ClusterService, LoginService, ResourceService } from '#gen/access/v1/access_pb.ts'
import { encodeUserSubject } from '#identity/encode.ts'
import { oids } from '#pki/certificate.ts'
import { createRpcClient } from './client.ts'
import { agentSubject, alice, HOUR, hosts, serverName, start, strangers, users } from './peers.conformance.ts'

suite('who the server takes a caller for', () => {
  for (const { says, certificate, name } of [
    { says: 'without a certificate: anonymous', certificate: undefined, name: 'anonymous' },
    {
      says: 'signed by the user authority: that user',
      certificate: users.issue(encodeUserSubject(alice)),
      name: 'alice',
    },
    { says: 'signed by the host authority: a member', certificate: hosts.issue(agentSubject), name: 'member' },
  ]) {
    test(says, async () => {
      await using running = await start()
      const { transport } = running.connect(certificate)
      assert.equal((await createClient(ClusterService, transport).whoAmI({})).name, name)
    })
  }

  for (const { says, certificate, error } of [
    {
      says: 'an authority of the same name',
      certificate: strangers.issue(encodeUserSubject(alice)),
      error: /not issued by this cluster/,
    },
    {
      says: 'an expired certificate',
      certificate: users.issue(encodeUserSubject(alice), { ttlMs: -1000 }),
      error: /expired at/,
    },
    {
      says: 'a certificate for servers',
      certificate: hosts.issue(agentSubject, { purposes: ['serverAuth'] }),
      error: /not issued by this cluster/,
    },
    {
      says: 'a user whose name is that of a host, signed by the host authority',
      certificate: hosts.issue(encodeUserSubject(alice)),
      error: /names no identity/,
    },
    {
      says: 'a certificate that names nobody',
      certificate: users.issue([[oids.O, 'access']]),
      error: /names no identity/,
    },
  ]) {
    test(`${says} is refused, and is not taken for anonymous`, async () => {
      await using running = await start()
      const { transport } = running.connect(certificate)
      await assert.rejects(createClient(ClusterService, transport).whoAmI({}), (thrown: unknown) => {
        assert.ok(thrown instanceof Unauthenticated)
        assert.match(thrown.message, error)
        return true
      })
    })
  }

  test('a certificate that expires while its connection is open stops at once', async () => {
    await using running = await start()
    const client = createClient(ClusterService, running.connect(users.issue(encodeUserSubject(alice))).transport)
    await client.whoAmI({})
    running.pass(HOUR + 1000)
    await assert.rejects(client.whoAmI({}), Unauthenticated)
  })

  test('an authority that is no longer trusted stops its holders at once, and a new one lets them in', async () => {
    await using running = await start()
    const client = createClient(ClusterService, running.connect(users.issue(encodeUserSubject(alice))).transport)
    await client.whoAmI({})
    running.trusted.user.splice(0, 1, strangers.pem)
    await assert.rejects(client.whoAmI({}), Unauthenticated)
    running.trusted.user.push(users.pem)
    await client.whoAmI({})
  })
})

suite('what a client expects of the server', () => {
  test('a server of another authority is refused by name', async () => {
    await using running = await start()
    const { transport } = running.connect(undefined, [strangers.pem])
    await assert.rejects(
      createClient(ClusterService, transport).whoAmI({}),
      /is not the Auth Service auth\.rpc\.example/,
    )
  })

  test('an agent of the same authority cannot pose as the Auth Service', async () => {
    await using running = await start()
    running.present(hosts.issue(agentSubject, { dnsNames: ['agent'], purposes: ['serverAuth', 'clientAuth'] }))
    const { transport } = running.connect()
    await assert.rejects(createClient(ClusterService, transport).whoAmI({}), Unauthenticated)
  })

  test('a renewed server certificate is presented at the next connection', async () => {
    await using running = await start()
    const seen = async (): Promise<string> => {
      const socket = tls.connect({
        port: running.server.port,
        host: '127.0.0.1',
        servername: serverName,
        ca: [hosts.pem],
        ALPNProtocols: ['h2'],
      })
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return serialNumber
    }
    const first = await seen()
    running.present(hosts.issue([[oids.CN, 'auth']], { dnsNames: [serverName], purposes: ['serverAuth'] }))
    assert.notEqual(await seen(), first)
  })

  test('TLS 1.2 is refused', async () => {
    await using running = await start()
    const socket = tls.connect({
      port: running.server.port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    })
    await assert.rejects(new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)))
  })

  test('a server that nobody runs is reported as such', async () => {
    const stopped = await start()
    await stopped[Symbol.asyncDispose]()
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async () => net.connect(stopped.server.port, '127.0.0.1'),
    })
    await assert.rejects(createClient(ClusterService, connection.transport).whoAmI({}), Unavailable)
  })
})

suite('a connection', () => {
  test('serves many calls, and a new one is opened when it ended', async () => {
    await using running = await start()
    const connection = running.connect()
    const client = createClient(ClusterService, connection.transport)
    await Promise.all(Array.from({ length: 50 }, () => client.whoAmI({})))
    assert.equal(running.dials, 1)
    connection.reconnect()
    await client.whoAmI({})
    assert.equal(running.dials, 2)
  })

  test('that the server ended is opened anew', async () => {
    const first = await start()
    const { port } = first.server
    await using connection = createRpcClient({
      serverName,
      hostAuthorities: [hosts.pem],
      dial: async () => net.connect(current, '127.0.0.1'),
    })
    let current = port
    const client = createClient(ClusterService, connection.transport)
    await client.whoAmI({})
    await first[Symbol.asyncDispose]()
    await using second = await start()
    current = second.server.port
    await client.whoAmI({})
  })
})

suite('errors and limits', () => {
  test('a refusal arrives with its hint, also in the middle of a stream', async () => {
    const refusal = () => new AccessDenied('you may not', { hint: 'ask for "größer"' })
    await using running = await start((router) => {
      router.service(ClusterService, {
        ping() {
          throw refusal()
        },
      })
      router.service(ResourceService, {
        async *watch() {
          yield { revision: '1', event: { case: 'snapshotStart', value: {} } }
          throw refusal()
        },
      })
    })
    const { transport } = running.connect()
    const check = (thrown: unknown): true => {
      assert.ok(thrown instanceof AccessDenied)
      assert.equal(thrown.hint, 'ask for "größer"')
      return true
    }
    await assert.rejects(createClient(ClusterService, transport).ping({}), check)
    const seen: string[] = []
    await assert.rejects(async () => {
      for await (const { revision } of createClient(ResourceService, transport).watch({})) seen.push(revision)
    }, check)
    assert.deepEqual(seen, ['1'])
  })

  test('a mistake of ours reaches the caller without its text', async () => {
    await using running = await start((router) =>
      router.service(ClusterService, {
        ping() {
          throw new TypeError('password=hunter2')
        },
      }),
    )
    const { transport } = running.connect()
    await assert.rejects(createClient(ClusterService, transport).ping({}), (thrown: AccessError) => {
      assert.equal(thrown.code, 'unavailable')
      assert.doesNotMatch(thrown.message, /hunter2/)
      return true
    })
  })

  test('a message of more than 4 MiB is refused', async () => {
    await using running = await start((router) => router.service(AuditService, { emit: () => ({}) }))
    const client = createClient(AuditService, running.connect().transport)
    await client.emit({ eventsJson: ['x'.repeat(3 * 1024 * 1024)] })
    await assert.rejects(client.emit({ eventsJson: ['x'.repeat(5 * 1024 * 1024)] }), { code: 'exhausted' })
  })

  test('a call that is not served is refused as unknown', async () => {
    await using running = await start()
    const client = createClient(LoginService, running.connect().transport)
    await assert.rejects(client.beginLogin({}), /does not know this call/)
  })

  test('a watch ends when its caller stops it, and the handler hears of it', async () => {
    const ended = Promise.withResolvers<void>()
    await using running = await start((router) =>
      router.service(ResourceService, {
        async *watch(_, { signal }) {
          signal.addEventListener('abort', () => ended.resolve())
          yield { revision: '1' }
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
        },
      }),
    )
    const stop = new AbortController()
    const watching = createClient(ResourceService, running.connect().transport).watch({}, { signal: stop.signal })
    await assert.rejects(async () => {
      for await (const _ of watching) stop.abort()
    })
    await ended.promise
  })

  test('stopping the server ends its watches', async () => {
    const running = await start((router) =>
      router.service(ResourceService, {
        async *watch(_, { signal }) {
          yield { revision: '1' }
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
        },
      }),
    )
    await using connection = running.connect()
    await assert.rejects(async () => {
      for await (const _ of createClient(ResourceService, connection.transport).watch({})) {
        void running.server[Symbol.asyncDispose]()
      }
    }, Unavailable)
    await running[Symbol.asyncDispose]().catch(() => {})
  })
})
