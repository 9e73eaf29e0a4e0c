import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import fc from 'fast-check'
import { silentLog } from '#log.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { type ConnectTarget, parseAuthority, serveConnect } from './connect-proxy.ts'
import { createEgress, egressFromEnvironment } from './egress.ts'
import { listen } from './listen.ts'
import { parseNoProxy } from './no-proxy.ts'
import { splice } from './splice.ts'

const { privateKey, publicKey } = generateKeyPair()
const name = [[oids.CN, 'test']] as const
const certificate = issueCertificate({
  subject: name,
  publicKey,
  issuer: { name, privateKey },
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 3_600_000),
  dnsNames: ['cloud.example', 'proxy.example'],
  ipAddresses: ['127.0.0.1'],
  keyUsage: ['digitalSignature'],
}).pem
const key = privateKeyPem(privateKey)

async function startCloud() {
  const server = https.createServer({ cert: certificate, key }, (request, response) => {
    response.end(`${request.method} ${request.headers.host}${request.url}`)
  })
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port, // TCP
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** A proxy that leads every name to one port on loopback, and remembers who came. */
async function startProxy(port: number, authorization?: string) {
  const seen: (ConnectTarget & { authorization?: string })[] = []
  const proxy = await serveConnect({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    admit: (target, { headers }) => {
      const given = headers['proxy-authorization']
      seen.push({ ...target, ...(given && { authorization: given }) })
      return authorization !== undefined && given !== authorization
        ? { status: 407, body: 'who are you?\n' }
        : undefined
    },
    onConnect: async (_target, client, head, signal) => {
      if (head.length > 0) client.unshift(head)
      await splice(client, net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }), { signal })
    },
  })
  return { port: proxy.port, seen, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() }
}

function get(url: string, agent: https.Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    https.get(url, { agent }, (response) => text(response).then(resolve, reject)).on('error', reject)
  })
}

suite('the one way out', () => {
  test('the agent goes through the proxy, trusts the extra authority, and keeps its connection', async () => {
    await using cloud = await startCloud()
    await using proxy = await startProxy(cloud.port)
    using egress = createEgress({ httpsProxy: `http://127.0.0.1:${proxy.port}`, extraCa: certificate })
    assert.equal(await get('https://cloud.example/a', egress.agent), 'GET cloud.example/a')
    assert.equal(await get('https://cloud.example/b', egress.agent), 'GET cloud.example/b')
    assert.deepEqual(proxy.seen, [{ host: 'cloud.example', port: 443 }])
  })

  test('a server that no authority vouches for is refused', async () => {
    await using cloud = await startCloud()
    await using proxy = await startProxy(cloud.port)
    using egress = createEgress({ httpsProxy: `http://127.0.0.1:${proxy.port}` })
    await assert.rejects(get('https://cloud.example/', egress.agent), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  })

  test('user and password of the proxy are sent, decoded', async () => {
    await using cloud = await startCloud()
    const basic = `Basic ${Buffer.from('me:p@ss').toString('base64')}`
    await using proxy = await startProxy(cloud.port, basic)
    using egress = createEgress({ httpsProxy: `http://me:p%40ss@127.0.0.1:${proxy.port}` })
    const socket = await egress.dial('cloud.example', 443)
    socket.destroy()
    assert.deepEqual(proxy.seen, [{ host: 'cloud.example', port: 443, authorization: basic }])
  })

  test('a proxy that refuses is named, and its password is not', async () => {
    await using proxy = await startProxy(1, 'Basic other')
    using egress = createEgress({ httpsProxy: `http://me:hunter2@127.0.0.1:${proxy.port}` })
    await assert.rejects(egress.dial('cloud.example', 443), (error: Error & { hint?: string }) => {
      assert.equal(error.message, `cannot connect to cloud.example:443: the proxy 127.0.0.1:${proxy.port} answered 407`)
      assert.equal(error.hint, 'put the user and password of the proxy into HTTPS_PROXY')
      assert.doesNotMatch(JSON.stringify(error) + error.stack, /hunter2/)
      return true
    })
  })

  test('the connection to the proxy may be TLS', async () => {
    await using cloud = await startCloud()
    await using proxy = await startProxy(cloud.port)
    await using front = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket, signal) => {
      const secure = new tls.TLSSocket(socket, { isServer: true, cert: certificate, key })
      await splice(secure, net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }), { signal })
    })
    using egress = createEgress({ httpsProxy: `https://127.0.0.1:${front.port}`, extraCa: certificate })
    assert.equal(await get('https://cloud.example/a', egress.agent), 'GET cloud.example/a')
  })

  test('what NO_PROXY names goes straight', async () => {
    await using cloud = await startCloud()
    await using proxy = await startProxy(1)
    using egress = createEgress({
      httpsProxy: `http://127.0.0.1:${proxy.port}`,
      noProxy: 'localhost',
      extraCa: certificate,
    })
    assert.equal(await get(`https://127.0.0.1:${cloud.port}/a`, egress.agent), `GET 127.0.0.1:${cloud.port}/a`)
    assert.deepEqual(proxy.seen, [])
    assert.equal(cloud.connections(), 1)
  })

  test('a host that cannot be reached is an error that says so', async () => {
    const closed = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async () => {})
    await closed[Symbol.asyncDispose]()
    using egress = createEgress({})
    await assert.rejects(egress.dial('127.0.0.1', closed.port), {
      name: 'EgressFailed',
      message: `cannot connect to 127.0.0.1:${closed.port}: ECONNREFUSED`,
    })
    await assert.rejects(get(`https://127.0.0.1:${closed.port}/`, egress.agent), { name: 'EgressFailed' })
  })

  test('aborting ends the dialling', async () => {
    await using silent = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (_socket, signal) => {
      await once(signal, 'abort')
    })
    using egress = createEgress({ httpsProxy: `http://127.0.0.1:${silent.port}` })
    const stop = new AbortController()
    const dialled = egress.dial('cloud.example', 443, { signal: stop.signal })
    stop.abort(new Error('enough'))
    await assert.rejects(dialled, /enough/)
  })

  for (const httpsProxy of ['ftp://user:hunter2@x', 'http://', 'http://user:hunter2@']) {
    test(`${httpsProxy.split(':')[0]} without a host or of another kind is refused without showing it`, () => {
      assert.throws(
        () => createEgress({ httpsProxy }),
        (error: Error) => !/hunter2/.test(String(error.stack)),
      )
    })
  }
})

suite('settings from the environment', () => {
  const none = (): string => assert.fail('nothing to read')
  for (const { says, env, settings } of [
    { says: 'nothing set is nothing', env: {}, settings: {} },
    {
      says: 'both are read',
      env: { HTTPS_PROXY: 'http://p', NO_PROXY: 'a' },
      settings: { httpsProxy: 'http://p', noProxy: 'a' },
    },
    {
      says: 'lower case wins',
      env: { https_proxy: 'http://q', HTTPS_PROXY: 'http://p' },
      settings: { httpsProxy: 'http://q' },
    },
    { says: 'an empty variable is not set', env: { HTTPS_PROXY: '', SSL_CERT_FILE: '' }, settings: {} },
  ]) {
    test(says, () => assert.deepEqual(egressFromEnvironment(env, none), settings))
  }

  test('both files of certificates are taken', () => {
    const env = { NODE_EXTRA_CA_CERTS: '/a', SSL_CERT_FILE: '/b' }
    assert.deepEqual(
      egressFromEnvironment(env, (path) => `of ${path}`),
      { extraCa: 'of /a\nof /b' },
    )
  })

  test('a file that cannot be read is named', () => {
    const read = (): string => {
      throw new Error('ENOENT')
    }
    assert.throws(() => egressFromEnvironment({ SSL_CERT_FILE: '/b' }, read), { message: /SSL_CERT_FILE .*: \/b$/ })
  })
})

suite('what NO_PROXY means', () => {
  for (const { list, host, port = 443, straight } of [
    { list: '', host: 'example.com', straight: false },
    { list: '*', host: 'example.com', straight: true },
    { list: 'example.com', host: 'example.com', straight: true },
    { list: 'example.com', host: 'EXAMPLE.com.', straight: true },
    { list: 'example.com', host: 'a.example.com', straight: true },
    { list: 'example.com', host: 'notexample.com', straight: false },
    { list: '.example.com', host: 'a.example.com', straight: true },
    { list: '.example.com', host: 'example.com', straight: false },
    { list: '*.example.com', host: 'a.example.com', straight: true },
    { list: 'example.com:8443', host: 'example.com', straight: false },
    { list: 'example.com:8443', host: 'example.com', port: 8443, straight: true },
    { list: 'a.example, b.example\tc.example', host: 'c.example', straight: true },
    { list: '10.0.0.0/8', host: '10.1.2.3', straight: true },
    { list: '10.0.0.0/8', host: '11.1.2.3', straight: false },
    { list: '10.0.0.1', host: '10.0.0.1', straight: true },
    { list: '10.0.0.1:8443', host: '10.0.0.1', straight: false },
    { list: 'fd00::/8', host: '[fd12::1]', straight: true },
    { list: 'fd12::1', host: 'fd12:0::1', straight: true },
    { list: '[fd12::1]:8443', host: 'fd12::1', port: 8443, straight: true },
    { list: '10.0.0.0/99', host: '10.0.0.1', straight: false },
    { list: ',,.,', host: 'example.com', straight: false },
    { list: '', host: 'localhost', straight: true },
    { list: '', host: '127.8.9.1', straight: true },
    { list: '', host: '::1', straight: true },
    { list: '', host: '127.0.0.1.example.com', straight: false },
  ] as { list: string; host: string; port?: number; straight: boolean }[]) {
    test(`"${list}": ${host}:${port} goes ${straight ? 'straight' : 'through the proxy'}`, () =>
      assert.equal(parseNoProxy(list)(host, port), straight))
  }

  test('no list and no host make it fail', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(65535), (list, host, port) => {
        assert.equal(typeof parseNoProxy(list)(host, port), 'boolean')
      }),
    )
  })
})

suite('the CONNECT proxy', () => {
  async function answerTo(port: number, request: string): Promise<string> {
    const socket = net.connect(port, '127.0.0.1')
    socket.write(request)
    return text(socket)
  }

  test('a plain request is told what this is', async () => {
    await using proxy = await startProxy(1)
    const answer = await answerTo(proxy.port, 'GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n')
    assert.match(answer, /^HTTP\/1.1 400 .*\r\n[\s\S]*takes CONNECT requests only/)
  })

  test('a target without a port is refused', async () => {
    await using proxy = await startProxy(1)
    assert.match(await answerTo(proxy.port, 'CONNECT example.com HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1.1 400 /)
    assert.deepEqual(proxy.seen, [])
  })

  test('bytes right behind the request are not lost', async () => {
    await using cloud = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket) => {
      const [chunk] = await once(socket, 'data')
      socket.end(`got ${chunk}`)
      await once(socket, 'close')
    })
    await using proxy = await startProxy(cloud.port)
    const answer = await answerTo(proxy.port, 'CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\nearly')
    assert.match(answer, /^HTTP\/1.1 200 Connection Established\r\n\r\ngot early$/)
  })

  for (const [authority, target] of [
    ['a.example:443', { host: 'a.example', port: 443 }],
    ['A.Example:1', { host: 'a.example', port: 1 }],
    ['[::1]:443', { host: '::1', port: 443 }],
    ['a.example', undefined],
    ['a.example:0', undefined],
    ['a.example:65536', undefined],
    ['a/b:443', undefined],
    ['user@a.example:443', undefined],
    ['::1:443', undefined],
    ['', undefined],
  ] as const) {
    test(`authority "${authority}" is ${target === undefined ? 'refused' : 'understood'}`, () =>
      assert.deepEqual(parseAuthority(authority), target))
  }
})
