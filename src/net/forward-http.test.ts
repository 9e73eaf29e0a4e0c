import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { forwardHttp } from './forward-http.ts'
import { forwarderTo, get, raw, serve } from './forwarder.conformance.ts'
import { withoutHopByHop } from './raw-headers.ts'

suite('forwarding one request', () => {
  test('the request keeps its header order, case and duplicates, and loses what is hop by hop', async () => {
    let seen: readonly string[] = []
    await using forwarder = await forwarderTo((request, response) => {
      seen = request.rawHeaders
      response.end()
    })
    await raw(
      forwarder.port,
      'GET /a?b=%2F HTTP/1.1\r\nhOsT: example.com\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nX-Hop: 1\r\nConnection: close, x-hop\r\nTE: trailers\r\nProxy-Authorization: Basic eA==\r\n\r\n',
    )
    assert.deepEqual(seen.slice(0, 8), ['hOsT', 'example.com', 'X-B', '1', 'x-a', '2', 'X-B', '3'])
    assert.deepEqual(seen.slice(8), ['Connection', 'keep-alive'])
  })

  test('the answer keeps status text, header order, case and duplicates', async () => {
    await using forwarder = await forwarderTo((_request, response) => {
      response.sendDate = false
      response.writeHead(418, 'Short And Stout', [
        'X-Z',
        '1',
        'Set-Cookie',
        'a',
        'set-cookie',
        'b',
        'Content-Length',
        '2',
      ])
      response.end('ok')
    })
    const answer = await raw(forwarder.port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    assert.equal(
      answer,
      'HTTP/1.1 418 Short And Stout\r\nX-Z: 1\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
    )
  })

  test('megabytes stream both ways and are counted', async () => {
    const sent = randomBytes(3_000_000)
    await using forwarder = await forwarderTo((request, response) => void request.pipe(response))
    const answer = await get(forwarder.port, { method: 'PUT', headers: { 'content-length': sent.length } }, sent)
    assert.ok((await buffer(answer)).equals(sent))
    const { status, requestBytes, responseBytes } = await forwarder.outcome
    assert.deepEqual(
      { status, requestBytes, responseBytes },
      { status: 200, requestBytes: sent.length, responseBytes: sent.length },
    )
  })

  test('a chunked request stays chunked and its trailers arrive', async () => {
    const seen: unknown[] = []
    await using forwarder = await forwarderTo(async (request, response) => {
      seen.push(
        request.headers['transfer-encoding'],
        request.headers['content-length'],
        await text(request),
        request.rawTrailers,
      )
      response.end()
    })
    await raw(
      forwarder.port,
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n',
    )
    assert.deepEqual(seen, ['chunked', undefined, 'abc', ['X-Sum', '1']])
  })

  test('trailers of an answer arrive', async () => {
    await using forwarder = await forwarderTo((_request, response) => {
      response.writeHead(200, { trailer: 'X-Sum' })
      response.write('abc')
      response.addTrailers({ 'X-Sum': '1' })
      response.end()
    })
    const answer = await raw(forwarder.port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    assert.match(answer, /Transfer-Encoding: chunked\r\n[\s\S]*3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n$/)
  })

  for (const { says, method, status, length } of [
    { says: 'HEAD keeps the length and sends no body', method: 'HEAD', status: 200, length: '12' },
    { says: '304 keeps the length and sends no body', method: 'GET', status: 304, length: '12' },
    { says: '204 has neither', method: 'GET', status: 204, length: undefined },
  ]) {
    test(says, async () => {
      await using forwarder = await forwarderTo((_request, response) => {
        response.writeHead(status, length === undefined ? {} : { 'content-length': length })
        response.end()
      })
      const answer = await get(forwarder.port, { method })
      assert.deepEqual(
        [answer.statusCode, answer.headers['content-length'], answer.headers['transfer-encoding'], await text(answer)],
        [status, length, undefined, ''],
      )
    })
  }
})

suite('Expect: 100-continue', () => {
  const ask = (port: number, onContinue: (request: http.ClientRequest) => void) =>
    new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = http.request({
        port,
        host: '127.0.0.1',
        method: 'PUT',
        agent: false,
        headers: { expect: '100-continue', 'content-length': 4 },
      })
      request.once('continue', () => onContinue(request))
      request.once('response', resolve)
      request.once('error', reject)
      request.flushHeaders()
    })

  test('the go-ahead comes from the server', async () => {
    const events: string[] = []
    await using forwarder = await forwarderTo(
      () => {},
      {},
      async (request, response) => {
        events.push('server was asked')
        response.writeContinue()
        response.end(await text(request))
      },
    )
    const answer = await ask(forwarder.port, (request) => {
      events.push('client may go on')
      request.end('body')
    })
    assert.equal(await text(answer), 'body')
    assert.deepEqual(events, ['server was asked', 'client may go on'])
  })

  test('a refusal reaches the client before it sent its body, and its connection is closed', async () => {
    await using forwarder = await forwarderTo(
      () => {},
      {},
      (_request, response) => {
        response.writeHead(403, { 'content-length': 2 }).end('no')
      },
    )
    const answer = await ask(forwarder.port, () => assert.fail('the body was asked for'))
    assert.deepEqual([answer.statusCode, answer.headers.connection, await text(answer)], [403, 'close', 'no'])
  })

  test('a client that does not wait is served', async () => {
    await using forwarder = await forwarderTo(
      () => {},
      {},
      async (request, response) => {
        response.end(await text(request))
      },
    )
    const answer = await raw(
      forwarder.port,
      'PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody',
    )
    assert.match(answer, /body/)
  })
})

suite('when one side goes away', () => {
  test('a client that leaves ends the call upstream', async () => {
    const left = Promise.withResolvers<void>()
    await using forwarder = await forwarderTo((request, response) => {
      response.write('begin')
      request.once('close', left.resolve)
    })
    const answer = await get(forwarder.port)
    answer.destroy()
    await left.promise
    await assert.rejects(forwarder.outcome, { name: 'ClientGone' })
  })

  test('a client that leaves in the middle of its body ends the call upstream', async () => {
    const left = Promise.withResolvers<void>()
    await using forwarder = await forwarderTo((request) => {
      request.on('error', () => {})
      request.once('close', left.resolve)
      request.once('data', () => socket.destroy())
      request.resume()
    })
    const socket = net.connect(forwarder.port, '127.0.0.1')
    socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome')
    await left.promise
    await assert.rejects(forwarder.outcome, { name: 'ClientGone' })
  })

  test('a server that cannot be reached leaves the answer to the caller', async () => {
    const closed = await serve(() => {})
    await closed[Symbol.asyncDispose]()
    await using proxy = await serve(async (request, response) => {
      const target = { protocol: 'http:', host: '127.0.0.1', port: closed.port }
      const { signal } = new AbortController()
      await assert.rejects(forwardHttp({ request, response, target, headers: [], body: undefined, signal }), {
        name: 'UpstreamFailed',
        message: 'no answer from 127.0.0.1',
      })
      response.writeHead(502).end('in our own words')
    })
    assert.equal(await text(await get(proxy.port)), 'in our own words')
  })

  test('a server that stops in the middle cuts the answer', async () => {
    await using forwarder = await forwarderTo((_request, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('some', () => response.destroy())
    })
    await assert.rejects(text(await get(forwarder.port)), { code: 'ECONNRESET' })
    await assert.rejects(forwarder.outcome)
  })

  test('aborting cuts both sides', async () => {
    const lock = new AbortController()
    const left = Promise.withResolvers<void>()
    await using forwarder = await forwarderTo(
      (request, response) => {
        response.write('begin')
        request.once('close', left.resolve)
      },
      { signal: lock.signal },
    )
    const answer = await get(forwarder.port)
    lock.abort(new Error('locked'))
    await assert.rejects(text(answer))
    await left.promise
    await assert.rejects(forwarder.outcome, /locked/)
  })

  test('aborting before the answer has begun cuts the server, and leaves the caller to say why', async () => {
    const lock = new AbortController()
    const arrived = Promise.withResolvers<http.IncomingMessage>()
    await using upstream = await serve((request) => {
      request.on('error', () => {})
      arrived.resolve(request)
    })
    await using proxy = await serve(async (request, response) => {
      const target = { protocol: 'http:', host: '127.0.0.1', port: upstream.port }
      const call = { request, response, target, headers: request.rawHeaders, body: request, signal: lock.signal }
      await assert.rejects(forwardHttp(call), /locked/)
      response.writeHead(403).end('you are locked')
    })
    const request = http.request({ port: proxy.port, host: '127.0.0.1', agent: false, method: 'PUT' })
    request.on('error', () => {})
    request.write('the first of many bytes')
    const far = await arrived.promise
    const cut = new Promise((resolve) => far.once('close', resolve))
    lock.abort(new Error('locked'))
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage] // node:http, event "response"
    assert.equal(await text(answer), 'you are locked')
    await cut
    request.destroy()
  })

  test('a client that reads only when it has sent everything gets the answer of a server that read little and left', async () => {
    const arrived = Promise.withResolvers<http.IncomingMessage>()
    await using forwarder = await forwarderTo((request, response) => {
      response.writeHead(403, { 'content-length': 2 }).end('no')
      request.pause()
      arrived.resolve(request)
    })
    const body = Buffer.alloc(8_000_000)
    const socket = net.connect(forwarder.port, '127.0.0.1')
    const sent = new Promise((resolve) => {
      socket.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
      socket.write(body, resolve)
    })
    await forwarder.outcome
    const server = await arrived.promise
    server.socket.destroy()
    await sent
    const [answer] = await once(socket, 'data')
    assert.match(String(answer), /^HTTP\/1\.1 403 /)
    socket.destroy()
  })

  test('silence for idleMs ends the call', async () => {
    await using forwarder = await forwarderTo(() => {}, { idleMs: 20 })
    const answer = get(forwarder.port)
    answer.catch(() => {})
    await assert.rejects(forwarder.outcome, /nothing passed for 20 ms/)
  })
})

test('the names that Connection lists are hop by hop', () => {
  assert.deepEqual(withoutHopByHop(['A', '1', 'connection', 'A , keep-alive', 'B', '2', 'Keep-Alive', 'x']), ['B', '2'])
})
