import assert from 'node:assert/strict'
import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { silentLog } from '#log.ts'
import { createTunnelRegistry, NoAgentConnected } from '#tunnel/registry.ts'
import { createClientLimits, createPassThrough } from './pass-through.ts'

const { signal } = new AbortController()
const clock = (): Date => new Date(0)

test('an address that cuts too many connections gets no new ones, until time has passed', async () => {
  let now = 0
  const clients = createClientLimits({ connections: 10, aborts: { perMinute: 60, burst: 2 } }, () => new Date(now))
  const registry = createTunnelRegistry()
  const passThrough = createPassThrough({
    link: { dial: () => assert.fail('Auth was dialled'), agentsFor: () => ['host'] },
    registry,
    clients,
    log: silentLog,
  })
  registry.add('host', { open: async () => duplexPair()[0] })
  for (let round = 0; round < 2; round++) {
    const [client, socket] = duplexPair()
    assert.ok(clients.admit('192.0.2.1'))
    const relayed = passThrough.toAgent({ socket, clientAddress: '192.0.2.1', signal }, 'name')
    await new Promise(setImmediate)
    socket.destroy(new Error('reset'))
    await relayed
    client.destroy()
  }
  assert.equal(clients.admit('192.0.2.1'), undefined)
  assert.ok(clients.admit('192.0.2.2'))
  now = 1000
  assert.ok(clients.admit('192.0.2.1'))
})

test('connections of one address are counted while they are open', () => {
  const clients = createClientLimits({ connections: 2, aborts: { perMinute: 1, burst: 1 } }, clock)
  const first = clients.admit('a')
  assert.ok(first && clients.admit('a'))
  assert.equal(clients.admit('a'), undefined)
  first[Symbol.dispose]()
  assert.ok(clients.admit('a'))
})

test('a name that no agent serves ends in an error that the client never sees', async () => {
  const [client, socket] = duplexPair()
  const passThrough = createPassThrough({
    link: { dial: () => assert.fail('Auth was dialled'), agentsFor: () => [] },
    registry: createTunnelRegistry(),
    clients: createClientLimits({ connections: 1, aborts: { perMinute: 1, burst: 1 } }, clock),
    log: silentLog,
  })
  let got = ''
  client.on('data', (chunk) => {
    got += chunk
  })
  await assert.rejects(passThrough.toAgent({ socket, clientAddress: 'a', signal }, 'name'), NoAgentConnected)
  const closed = once(socket, 'close')
  socket.destroy()
  await closed
  assert.equal(got, '')
})
