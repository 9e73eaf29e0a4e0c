import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { duplexPair } from 'node:stream'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { silentLog } from '#log.ts'
import { listen } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import type { ClientHello } from './client-hello.ts'
import { type Route, routeConnection } from './router.ts'

const { privateKey, publicKey } = generateKeyPair()
const name = [[oids.CN, 'test']] as const
const certificate = issueCertificate({
  subject: name,
  publicKey,
  issuer: { name, privateKey },
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 3_600_000),
  dnsNames: ['a.example'],
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: ['serverAuth'],
})
const secureContext = tls.createSecureContext({ cert: certificate.pem, key: privateKeyPem(privateKey) })

/** Ends TLS here and greets. */
const greet: Route = async (socket, hello) => {
  const secure = new tls.TLSSocket(socket, { isServer: true, secureContext })
  secure.end(`hello ${hello.serverName}`)
  await once(secure, 'close')
}

async function startRouter(route: (hello: ClientHello) => Route | undefined, timeoutMs = 5000) {
  const failures: string[] = []
  const listener = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, (socket, signal) =>
    routeConnection(socket, { timeoutMs, route, signal }).catch((error: Error) => void failures.push(error.message)),
  )
  return { port: listener.port, failures, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() }
}

async function greeting(socket: tls.TLSSocket): Promise<string> {
  let got = ''
  socket.on('data', (chunk) => {
    got += chunk
  })
  await once(socket, 'end')
  return got
}

suite('routing by ClientHello', () => {
  test('a route may end TLS on the connection that it gets', async () => {
    await using router = await startRouter(() => greet)
    const client = tls.connect({ port: router.port, host: '127.0.0.1', servername: 'a.example', ca: certificate.pem })
    assert.equal(await greeting(client), 'hello a.example')
  })

  test('a route may hand the connection on unopened', async () => {
    await using far = await startRouter(() => greet)
    await using router = await startRouter(() => async (socket, _hello, signal) => {
      await splice(socket, net.connect({ port: far.port, host: '127.0.0.1', allowHalfOpen: true }), { signal })
    })
    const client = tls.connect({ port: router.port, host: '127.0.0.1', servername: 'a.example', ca: certificate.pem })
    assert.equal(await greeting(client), 'hello a.example')
  })

  test('a hello that comes byte by byte is routed', async () => {
    await using router = await startRouter(() => greet)
    const [near, far] = duplexPair()
    const raw = net.connect({ port: router.port, host: '127.0.0.1', noDelay: true })
    far.on('data', (chunk: Buffer) => {
      for (const byte of chunk.subarray(0, 50)) raw.write(Buffer.from([byte]))
      raw.write(chunk.subarray(50))
    })
    raw.pipe(far)
    const client = tls.connect({ socket: near, servername: 'a.example', ca: certificate.pem })
    assert.equal(await greeting(client), 'hello a.example')
  })

  test('any duplex stream can be routed', async () => {
    const [near, far] = duplexPair()
    const { signal } = new AbortController()
    const routed = routeConnection(far, { timeoutMs: 5000, route: () => greet, signal })
    const client = tls.connect({ socket: near, servername: 'a.example', ca: certificate.pem })
    assert.equal(await greeting(client), 'hello a.example')
    far.destroy()
    near.destroy()
    await routed
  })
})

suite('what the router does not let through', () => {
  const none = (): undefined => undefined

  /** Sends bytes and gives what comes back until the connection is closed. */
  async function answerTo(port: number, bytes: Buffer | string): Promise<string> {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk.toString('hex')
    })
    socket.write(bytes)
    await once(socket, 'close')
    return got
  }

  test('a name without a route is closed without a word', async () => {
    await using router = await startRouter(none)
    const client = tls.connect({ port: router.port, host: '127.0.0.1', servername: 'a.example' })
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException] // by the event's contract
    assert.equal(error.code, 'ECONNRESET')
  })

  test('what is not TLS is closed at its first byte', async () => {
    await using router = await startRouter(() => assert.fail('routed'))
    assert.equal(await answerTo(router.port, 'GET / HTTP/1.1\r\n\r\n'), '')
    assert.match(router.failures.join(), /no handshake record/)
  })

  test('an oversized hello is closed before it has come', async () => {
    await using router = await startRouter(() => assert.fail('routed'))
    assert.equal(await answerTo(router.port, Buffer.from([22, 3, 1, 0x40, 0, 1, 1, 0, 0])), '')
    assert.match(router.failures.join(), /longer than 16384 bytes/)
  })

  test('a hello that does not come is closed in time', async () => {
    await using router = await startRouter(() => assert.fail('routed'), 20)
    assert.equal(await answerTo(router.port, Buffer.from([22, 3])), '')
    assert.match(router.failures.join(), /not complete within 20 ms/)
  })

  test('bytes that keep dripping do not buy time', async () => {
    await using router = await startRouter(() => assert.fail('routed'), 100)
    const socket = net.connect(router.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.from([22, 3, 1, 0x10, 0, 1, 0, 0x20, 0]))
    const drip = setInterval(() => socket.write(Buffer.from([0])), 5)
    await once(socket, 'close')
    clearInterval(drip)
    assert.match(router.failures.join(), /not complete within 100 ms/)
  })

  test('a client that leaves early is no harm', async () => {
    await using router = await startRouter(() => assert.fail('routed'))
    const socket = net.connect(router.port, '127.0.0.1')
    socket.end(Buffer.from([22, 3, 1]))
    await once(socket, 'close')
    assert.match(router.failures.join(), /ended before it was complete/)
  })

  test('stopping does not wait for a hello', async () => {
    const router = await startRouter(() => assert.fail('routed'), 60_000)
    const socket = net.connect(router.port, '127.0.0.1')
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    await router[Symbol.asyncDispose]()
    await closed
  })
})
