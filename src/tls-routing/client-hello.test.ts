import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import fc from 'fast-check'
import { type ClientHello, InvalidClientHello, MAX_CLIENT_HELLO_BYTES, parseClientHello } from './client-hello.ts'

/** The first bytes that `connect` sends. */
async function captureHello(connect: (port: number) => AsyncDisposable): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connected = once(server, 'connection')
  await using _client = connect((server.address() as net.AddressInfo).port) // TCP
  const [socket] = (await connected) as [net.Socket] // by the event's contract
  let bytes = Buffer.alloc(0)
  do {
    const [chunk] = (await once(socket, 'data')) as [Buffer] // by the event's contract
    bytes = Buffer.concat([bytes, chunk])
  } while (bytes.length < 5 || bytes.length < 5 + bytes.readUInt16BE(3))
  socket.destroy()
  server.close()
  return bytes
}

const fromNode = (options: tls.ConnectionOptions): Promise<Buffer> =>
  captureHello((port) => {
    const socket = tls.connect({ port, host: '127.0.0.1', ...options })
    socket.on('error', () => {})
    return { [Symbol.asyncDispose]: async () => void socket.destroy() }
  })

const fromOpenssl = (...args: string[]): Promise<Buffer> =>
  captureHello((port) => {
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], { stdio: 'ignore' })
    return {
      async [Symbol.asyncDispose]() {
        client.kill()
        if (client.exitCode === null && client.signalCode === null) await once(client, 'exit')
      },
    }
  })
const hasOpenssl = spawnSync('openssl', ['version']).status === 0

const real = await fromNode({ servername: 'auth.rpc.example.com', ALPNProtocols: ['h2', 'http/1.1'] })
const realHello: ClientHello = { serverName: 'auth.rpc.example.com', alpn: ['h2', 'http/1.1'] }

suite('ClientHellos of real clients', () => {
  for (const { says, options, hello } of [
    {
      says: 'Node with SNI and ALPN',
      options: { servername: 'A.Example.COM', ALPNProtocols: ['h2'] },
      hello: { serverName: 'a.example.com', alpn: ['h2'] },
    },
    { says: 'Node without either', options: { servername: '' }, hello: { alpn: [] } },
    {
      says: 'Node with TLS 1.2 alone',
      options: { servername: 'a.example', maxVersion: 'TLSv1.2' },
      hello: { serverName: 'a.example', alpn: [] },
    },
    {
      says: 'Node with many protocols',
      options: { servername: 'a', ALPNProtocols: Array.from({ length: 200 }, (_, i) => `protocol-${i}`) },
      hello: { serverName: 'a', alpn: Array.from({ length: 200 }, (_, i) => `protocol-${i}`) },
    },
  ] satisfies { says: string; options: tls.ConnectionOptions; hello: ClientHello }[]) {
    test(says, async () => assert.deepEqual(parseClientHello(await fromNode(options)), hello))
  }

  for (const { says, args, hello } of [
    {
      says: 'openssl with SNI and ALPN',
      args: ['-servername', 'x.app.example.com', '-alpn', 'http/1.1'],
      hello: { serverName: 'x.app.example.com', alpn: ['http/1.1'] },
    },
    { says: 'openssl without extensions that we read', args: ['-noservername'], hello: { alpn: [] } },
    {
      says: 'openssl with large key shares',
      args: ['-servername', 'x', '-groups', 'P-521:ffdhe8192'],
      hello: { serverName: 'x', alpn: [] },
    },
  ]) {
    test(says, { skip: hasOpenssl ? false : 'openssl is not installed' }, async () =>
      assert.deepEqual(parseClientHello(await fromOpenssl(...args)), hello),
    )
  }
})

suite('a ClientHello in pieces', () => {
  test('every prefix is incomplete', () => {
    for (let length = 0; length < real.length; length++) {
      assert.equal(parseClientHello(real.subarray(0, length)), 'incomplete', `${length} bytes`)
    }
  })

  test('it may be split over records at any place', () => {
    const body = real.subarray(5)
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: body.length - 1 }), { maxLength: 20 }), (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), body.length]
        const records = places.slice(1).map((end, index) => record(body.subarray(places[index], end)))
        assert.deepEqual(parseClientHello(Buffer.concat(records)), realHello)
      }),
    )
  })

  test('bytes behind it are left alone', () => {
    assert.deepEqual(parseClientHello(Buffer.concat([real, Buffer.from('anything')])), realHello)
  })
})

suite('what is refused', () => {
  const random = Buffer.alloc(34)
  const suites = Buffer.from([0, 2, 0x13, 1])
  const start = Buffer.concat([random, Buffer.from([0]), suites, Buffer.from([1, 0])])
  const withExtensions = (...extensions: Buffer[]): Buffer =>
    record(hello(Buffer.concat([start, vector(2, ...extensions)])))
  const sni = (...content: Buffer[]): Buffer => Buffer.concat([Buffer.from([0, 0]), vector(2, ...content)])
  const hostName = (name: string, type = 0): Buffer =>
    Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name))])
  const alpn = (...names: string[]): Buffer =>
    Buffer.concat([Buffer.from([0, 16]), vector(2, vector(2, ...names.map((name) => vector(1, Buffer.from(name)))))])

  test('the same by hand is accepted', () => {
    const bytes = withExtensions(sni(vector(2, hostName('a.example'))), alpn('h2', 'x'))
    assert.deepEqual(parseClientHello(bytes), { serverName: 'a.example', alpn: ['h2', 'x'] })
  })

  for (const { says, bytes } of [
    { says: 'plain HTTP, at its first byte', bytes: Buffer.from('G') },
    { says: 'an alert record', bytes: Buffer.from([21, 3, 1, 0, 2, 1, 0]) },
    { says: 'SSL 2', bytes: Buffer.from([0x80, 0x2e, 1, 0, 2]) },
    { says: 'an unknown record version, at its second byte', bytes: Buffer.from([22, 2]) },
    { says: 'an empty record', bytes: Buffer.from([22, 3, 1, 0, 0]) },
    { says: 'a record that is too long', bytes: Buffer.from([22, 3, 1, 0x40, 1]) },
    { says: 'a ServerHello', bytes: record(Buffer.from([2, 0, 0, 0])) },
    {
      says: 'a message that is too long, before it has come',
      bytes: record(Buffer.from([1, ...u24(MAX_CLIENT_HELLO_BYTES + 1)])),
    },
    {
      says: 'too many records',
      bytes: Buffer.concat([
        record(Buffer.from([1, 0, 0x20, 0])),
        ...Array.from({ length: 64 }, () => record(Buffer.from([0]))),
      ]),
    },
    { says: 'a message that ends early', bytes: record(hello(random)) },
    {
      says: 'a session id of 33 bytes',
      bytes: record(hello(Buffer.concat([random, vector(1, Buffer.alloc(33)), suites, Buffer.from([1, 0])]))),
    },
    { says: 'no cipher suites', bytes: record(hello(Buffer.concat([random, Buffer.from([0, 0, 0, 1, 0])]))) },
    { says: 'half a cipher suite', bytes: record(hello(Buffer.concat([random, Buffer.from([0, 0, 1, 9, 1, 0])]))) },
    {
      says: 'no compression method',
      bytes: record(hello(Buffer.concat([random, Buffer.from([0]), suites, Buffer.from([0])]))),
    },
    { says: 'bytes behind the extensions', bytes: record(hello(Buffer.concat([start, vector(2), Buffer.from([0])]))) },
    { says: 'two server names', bytes: withExtensions(sni(vector(2, hostName('a'), hostName('b')))) },
    {
      says: 'two server name extensions',
      bytes: withExtensions(sni(vector(2, hostName('a'))), sni(vector(2, hostName('b')))),
    },
    { says: 'a server name of an unknown type', bytes: withExtensions(sni(vector(2, hostName('a', 1)))) },
    { says: 'an empty server name', bytes: withExtensions(sni(vector(2, hostName('')))) },
    { says: 'a server name with a zero byte', bytes: withExtensions(sni(vector(2, hostName('a\0b')))) },
    { says: 'a server name with a line break', bytes: withExtensions(sni(vector(2, hostName('a\r\nb')))) },
    { says: 'a server name longer than DNS allows', bytes: withExtensions(sni(vector(2, hostName('a'.repeat(256))))) },
    { says: 'an empty protocol list', bytes: withExtensions(alpn()) },
    { says: 'an empty protocol name', bytes: withExtensions(alpn('h2', '')) },
  ]) {
    test(says, () => assert.throws(() => parseClientHello(bytes), InvalidClientHello))
  }
})

suite('whatever arrives', () => {
  const isHarmless = (bytes: Uint8Array): void => {
    try {
      const hello = parseClientHello(Buffer.from(bytes))
      if (hello === 'incomplete') return
      if (hello.serverName !== undefined) assert.match(hello.serverName, /^[\x21-\x7e]{1,255}$/)
      assert.ok(!hello.alpn.includes(''))
    } catch (error) {
      assert.ok(error instanceof InvalidClientHello, String(error))
    }
  }

  test('any bytes give a hello, or "incomplete", or that one error', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), isHarmless))
  })

  test('so does a record around any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (body) =>
        isHarmless(record(hello(Buffer.from(body)))),
      ),
    )
  })

  test('so does a real one with some bytes changed', () => {
    const change = fc.tuple(fc.integer({ min: 0, max: real.length - 1 }), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = Buffer.from(real)
        for (const [at, value] of changes) bytes[at] = value
        isHarmless(bytes)
      }),
      { numRuns: 2000 },
    )
  })
})

function u24(value: number): number[] {
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255]
}

function record(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([22, 3, 1, body.length >> 8, body.length & 255]), body])
}

function hello(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([1, ...u24(body.length)]), body])
}

function vector(lengthBytes: 1 | 2, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(body.length, 0, lengthBytes)
  return Buffer.concat([length, body])
}
