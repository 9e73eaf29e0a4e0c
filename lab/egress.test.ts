import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { createLabAuthority } from './authority.ts'
import { type LabEgress, startEgress } from './egress.ts'

let egress: LabEgress
before(async () => {
  const serve: http.RequestListener = (request, response) => response.end(`${request.headers.host} ${request.url}`)
  const routes = [{ name: 'cloud', answers: (host: string) => host.endsWith('.cloud.example'), serve }]
  egress = await startEgress({ routes, authority: createLabAuthority(systemClock), log: silentLog })
})
after(() => egress[Symbol.asyncDispose]())

/** Status of a CONNECT and the socket that it gave. */
async function connect(target: string): Promise<{ status: number | undefined; socket: net.Socket }> {
  const request = http.request({ port: egress.port, host: '127.0.0.1', method: 'CONNECT', path: target, agent: false })
  request.end()
  const [response, socket]: [http.IncomingMessage, net.Socket] = (await once(request, 'connect')) as [
    http.IncomingMessage,
    net.Socket,
  ] // what `connect` is emitted with
  return { status: response.statusCode, socket }
}

async function get(url: string, ca = egress.caPem, headers: Record<string, string> = {}): Promise<string> {
  const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: egress.url }, ca })
  try {
    const request = https.get(url, { agent, headers, servername: new URL(url).hostname })
    const [response]: [http.IncomingMessage] = (await once(request, 'response')) as [http.IncomingMessage] // what `response` is emitted with
    return `${response.statusCode} ${Buffer.concat(await response.toArray())}`
  } finally {
    agent.destroy()
  }
}

suite('the way into the lab', () => {
  test('answers for the names of its clouds, with a certificate of its own', async () => {
    assert.equal(await get('https://a.cloud.example/x?y=1'), '200 a.cloud.example /x?y=1')
    assert.deepEqual(egress.connections.at(-1), { host: 'a.cloud.example', port: 443, outcome: 'cloud' })
  })
  test('is not believed by whom was not given its authority', async () => {
    await assert.rejects(get('https://a.cloud.example/', tls.rootCertificates[0]), {
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
  })
  test('refuses names of nobody', async () => {
    const { status, socket } = await connect('www.example.org:443')
    socket.destroy()
    assert.equal(status, 403)
    assert.equal(egress.connections.at(-1)?.outcome, 'refused')
  })
  test('refuses a host that is blocked, until it is no more', async () => {
    const block = egress.block('a.cloud.example')
    const { status, socket } = await connect('a.cloud.example:443')
    socket.destroy()
    assert.equal(status, 503)
    block[Symbol.dispose]()
    assert.match(await get('https://a.cloud.example/'), /^200/)
  })
  test('refuses a request for one name on the connection for another', async () => {
    assert.match(await get('https://a.cloud.example/', egress.caPem, { host: 'b.cloud.example' }), /^421/)
  })
  test('refuses what is not CONNECT', async () => {
    const response = await fetch(`${egress.url}/`)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /HTTPS only/)
  })
  test('refuses a target that is none', async () => {
    const { status, socket } = await connect('a.cloud.example')
    socket.destroy()
    assert.equal(status, 400)
  })
  test('relays to loopback untouched, and says when nobody answers there', async () => {
    const echo = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    const { port } = echo.address() as AddressInfo // a TCP server
    const { socket } = await connect(`127.0.0.1:${port}`)
    socket.write('there and back')
    const [data] = await once(socket, 'data')
    assert.equal(String(data), 'there and back')
    socket.destroy()
    echo.close()
    await once(echo, 'close')
    const refused = await connect(`127.0.0.1:${port}`)
    refused.socket.destroy()
    assert.equal(refused.status, 502)
  })
})
