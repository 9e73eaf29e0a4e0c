/** What a peer without any identity may send, and that the server goes on afterwards. */
import assert from 'node:assert/strict'
import http2 from 'node:http2'
import net from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { createClient } from '@connectrpc/connect'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { hosts, serverName, start } from './peers.conformance.ts'

type Running = Awaited<ReturnType<typeof start>>

async function stillServes(running: Running): Promise<void> {
  const { transport } = running.connect()
  assert.equal((await createClient(ClusterService, transport).whoAmI({})).name, 'anonymous')
}

/** Sends one request over a connection of its own and waits for the end of its stream. */
async function send(running: Running, headers: http2.OutgoingHttpHeaders, body: string): Promise<void> {
  const session = http2.connect(`https://${serverName}`, {
    createConnection: () =>
      tls.connect({
        port: running.server.port,
        host: '127.0.0.1',
        servername: serverName,
        ca: [hosts.pem],
        ALPNProtocols: ['h2'],
      }),
  })
  session.on('error', () => {})
  const stream = session.request(headers)
  stream.on('error', () => {})
  stream.end(body)
  stream.resume()
  await new Promise((resolve) => stream.once('close', resolve))
  session.destroy()
}

const path = '/access.v1.ClusterService/WhoAmI'
const json = { ':method': 'POST', 'content-type': 'application/json' }

suite('a hostile peer cannot stop the server', () => {
  for (const { says, headers, body } of [
    { says: 'an authority that is none', headers: { ...json, ':path': path, ':authority': '[' }, body: '{}' },
    { says: 'an authority with a path', headers: { ...json, ':path': path, ':authority': 'a b/c?d#e' }, body: '{}' },
    { says: 'no authority', headers: { ...json, ':path': path, ':authority': '' }, body: '{}' },
    { says: 'a path that is no URL', headers: { ...json, ':path': `${path}?\u0000`, ':authority': 'a' }, body: '{}' },
    { says: 'a path without a call', headers: { ...json, ':path': '/' }, body: '{}' },
    { says: 'the wrong method', headers: { ...json, ':path': path, ':method': 'DELETE' }, body: '' },
    { says: 'a body that is no JSON', headers: { ...json, ':path': path }, body: '{' },
    { says: 'a body of an unknown form', headers: { ...json, ':path': path, 'content-type': 'x/y' }, body: '{}' },
    { says: 'an unknown compression', headers: { ...json, ':path': path, 'content-encoding': 'x' }, body: '{}' },
    { says: 'a deadline that is none', headers: { ...json, ':path': path, 'connect-timeout-ms': '-1' }, body: '{}' },
    {
      says: 'a stream with a broken frame',
      headers: { ...json, ':path': '/access.v1.ResourceService/Watch', 'content-type': 'application/connect+json' },
      body: '\u0000\uffff',
    },
  ]) {
    test(`with ${says}`, async () => {
      await using running = await start()
      await send(running, headers, body).catch(() => {}) // the client library refuses to send some
      await stillServes(running)
    })
  }

  test('with bytes that are no TLS', async () => {
    await using running = await start()
    const socket = net.connect(running.server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end('GET / HTTP/1.1\r\n\r\n')
    socket.resume()
    await new Promise((resolve) => socket.once('close', resolve))
    await stillServes(running)
  })

  test('with TLS and no HTTP/2', async () => {
    await using running = await start()
    for (const ALPNProtocols of [['h2'], ['http/1.1'], []]) {
      const socket = tls.connect({
        port: running.server.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ALPNProtocols,
      })
      socket.on('error', () => {})
      socket.on('secureConnect', () => socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
      socket.resume()
      await new Promise((resolve) => socket.once('close', resolve))
    }
    await stillServes(running)
  })
})
