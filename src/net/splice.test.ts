import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { suite, test } from 'node:test'
import { Unavailable } from '#errors.ts'
import { silentLog } from '#log.ts'
import { listen } from './listen.ts'
import { type SpliceResult, splice } from './splice.ts'

/** A relay on loopback in front of `serve`, and a connection through it. */
async function relayTo(serve: (socket: net.Socket) => Promise<void>) {
  const spliced = Promise.withResolvers<SpliceResult>()
  spliced.promise.catch(() => {})
  const stack = new AsyncDisposableStack()
  const server = stack.use(await listen({ host: '127.0.0.1', port: 0, log: silentLog }, serve))
  const relay = stack.use(
    await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket, signal) => {
      const upstream = net.connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
      splice(socket, upstream, { signal }).then(spliced.resolve, spliced.reject)
      await spliced.promise
    }),
  )
  const client = net.connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
  stack.defer(() => void client.destroy())
  return { client, spliced: spliced.promise, relay, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Everything until the end. The consumers of node:stream also destroy the stream, and with it what it has yet to send. */
async function collect(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

suite('splice', () => {
  test('megabytes pass unchanged both ways, and are counted', async () => {
    const sent = randomBytes(5_000_000)
    await using relay = await relayTo(async (socket) => {
      const got = await collect(socket)
      socket.end(got)
      await once(socket, 'close')
    })
    relay.client.end(sent)
    assert.ok((await collect(relay.client)).equals(sent))
    assert.deepEqual(await relay.spliced, { aToB: sent.length, bToA: sent.length })
  })

  test('the end of one direction leaves the other open', async () => {
    await using relay = await relayTo(async (socket) => {
      assert.equal((await collect(socket)).toString(), 'question')
      socket.end('answer after the end of the question')
      await once(socket, 'close')
    })
    relay.client.end('question')
    assert.equal((await collect(relay.client)).toString(), 'answer after the end of the question')
  })

  test('a slow reader slows the writer down', async () => {
    const [near, a] = duplexPair({ highWaterMark: 1000 })
    const [b, far] = duplexPair({ highWaterMark: 1000 })
    const done = splice(a, b)
    let written = 0
    while (written < 1_000_000 && near.write(Buffer.alloc(500))) {
      written += 500
      await new Promise(setImmediate)
    }
    assert.ok(written < 10_000, `${written} bytes were taken from a writer whose reader does not read`)
    near.end()
    near.resume()
    far.resume()
    far.end()
    await done
  })

  test('a peer that is destroyed ends both at once', async () => {
    const reset = Promise.withResolvers<void>()
    await using relay = await relayTo(async (socket) => {
      await reset.promise
      socket.resetAndDestroy()
    })
    relay.client.write('x')
    const ended = once(relay.client, 'end')
    relay.client.resume()
    reset.resolve()
    await assert.rejects(relay.spliced)
    await ended
  })

  test('a duplex that is destroyed without an error ends the other', async () => {
    const [, a] = duplexPair()
    const [b, far] = duplexPair()
    const done = splice(a, b)
    const closed = once(far, 'close')
    far.resume()
    a.destroy()
    await assert.rejects(done, /closed before its end/)
    assert.ok(b.destroyed)
    far.destroy()
    await closed
  })

  test('aborting destroys both and rejects with the reason', async () => {
    const [, a] = duplexPair()
    const [b] = duplexPair()
    const stop = new AbortController()
    const done = splice(a, b, { signal: stop.signal })
    stop.abort(new Error('locked'))
    await assert.rejects(done, /locked/)
    assert.ok(a.destroyed && b.destroyed)
  })

  test('a signal that is aborted already joins nothing', async () => {
    const [, a] = duplexPair()
    const [b] = duplexPair()
    await assert.rejects(splice(a, b, { signal: AbortSignal.abort(new Error('too late')) }), /too late/)
    assert.ok(a.destroyed && b.destroyed)
  })

  test('silence for idleMs ends both', async () => {
    const [, a] = duplexPair()
    const [b] = duplexPair()
    const alive = setTimeout(() => {}, 60_000) // the idle timer alone keeps no process alive
    await assert.rejects(splice(a, b, { idleMs: 20 }), Unavailable)
    clearTimeout(alive)
    assert.ok(a.destroyed && b.destroyed)
  })
})

test('disposing a listener aborts what it serves and waits for it', async () => {
  const events: string[] = []
  const serving = Promise.withResolvers<void>()
  const listener = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (_socket, signal) => {
    serving.resolve()
    await once(signal, 'abort')
    events.push('served')
  })
  const client = net.connect(listener.port, '127.0.0.1')
  await serving.promise
  await listener[Symbol.asyncDispose]()
  events.push('disposed')
  client.destroy()
  assert.deepEqual(events, ['served', 'disposed'])
})

test('a port that is taken is an error that says so', async () => {
  await using first = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async () => {})
  await assert.rejects(
    listen({ host: '127.0.0.1', port: first.port, log: silentLog }, async () => {}),
    {
      name: 'ListenFailed',
      message: `cannot listen on 127.0.0.1:${first.port}`,
      hint: 'stop the program that holds the port, or choose another port',
    },
  )
})
