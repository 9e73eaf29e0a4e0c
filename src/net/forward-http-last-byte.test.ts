import assert from 'node:assert/strict'
import { once } from 'node:events'
import type http from 'node:http'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import type { ForwardSummary } from './forward-http.ts'
import { forwarderTo, get } from './forwarder.conformance.ts'

suite('before the last byte', () => {
  /** What a client has got when the event of an answer `ok` is being kept, and what it has in the end. */
  async function gated(head: http.OutgoingHttpHeaders): Promise<{ before: string; after: string }> {
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<ForwardSummary>()
    await using forwarder = await forwarderTo((_request, response) => void response.writeHead(200, head).end('ok'), {
      beforeEnd: (summary) => {
        asked.resolve(summary)
        return gate.promise
      },
    })
    const socket = net.connect(forwarder.port, '127.0.0.1')
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk
    })
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    assert.equal((await asked.promise).responseBytes, 2)
    if (head['content-length'] === undefined) while (!got.endsWith('ok\r\n')) await once(socket, 'data')
    else for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate) // time for what must not come
    const before = got
    gate.resolve()
    await once(socket, 'end')
    return { before, after: got }
  }

  test('with a content length the last chunk is held back', async () => {
    const { before, after } = await gated({ 'content-length': 2 })
    assert.equal(before, '', 'the head came in the same read, and goes with it in one write')
    assert.match(after, /\r\n\r\nok$/)
  })

  test('a head does not wait for a body that takes its time', async () => {
    const reached = Promise.withResolvers<void>()
    await using forwarder = await forwarderTo((_request, response) => {
      response.writeHead(200, { 'content-length': 2 }).flushHeaders()
      reached.promise.then(() => response.end('ok'))
    })
    const answer = await get(forwarder.port)
    reached.resolve()
    assert.equal(await text(answer), 'ok')
  })

  test('with chunks only the mark of the end is held back', async () => {
    const { before, after } = await gated({})
    assert.equal(after, `${before}0\r\n\r\n`)
  })

  test('an answer without a body waits with its head', async () => {
    await using forwarder = await forwarderTo((_request, response) => void response.writeHead(204).end(), {
      beforeEnd: async () => {
        throw new Error('the disk is full')
      },
    })
    const request = get(forwarder.port)
    request.catch(() => {})
    await assert.rejects(forwarder.outcome, /the disk is full/)
  })

  test('an event that cannot be kept leaves the answer incomplete', async () => {
    await using forwarder = await forwarderTo((_request, response) => void response.end('ok'), {
      beforeEnd: async () => {
        throw new Error('the disk is full')
      },
    })
    const read = get(forwarder.port).then(text)
    await assert.rejects(read, { code: 'ECONNRESET' })
    await assert.rejects(forwarder.outcome, /the disk is full/)
  })
})
