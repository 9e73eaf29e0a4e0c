import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { listen } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { NoAgentConnected } from './registry.ts'
import { exchange, hour, member, startAgentEnd, startProxyEnd, whenRegistered } from './tunnel-ends.conformance.ts'

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
