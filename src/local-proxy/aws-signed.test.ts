import assert from 'node:assert/strict'
import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { answerHeaders } from '#aws/forwarding.ts'
import { headerValues, sha256Hex, unsignedPayload } from '#aws/sigv4.ts'
import { encodeChunks, encodedLength, streamingPayload, streamingPayloadTrailer } from '#aws/sigv4-chunks.ts'
import { Secret } from '#secret.ts'
import { type Answer, type Call, connectTo, presign, send, setUp, sign } from './aws-proxy-site.ts'

const form = Buffer.from('Action=GetCallerIdentity&Version=2011-06-15')
const s3 = 'bucket.s3.us-east-1.amazonaws.com'

suite('requests that a client of ours signed', () => {
  test('reach the agent with the host, the payload hash, and none of the headers that only we may set', async () => {
    await using site = await setUp()
    const credentials = site.proxy.credentialsOf('awsconsole')
    const call: Call = {
      method: 'POST',
      headers: [
        'X-Forwarded-Host',
        'evil.example.com',
        'X-Teleport-Aws-Presigned',
        '1',
        'Connection',
        'x-forwarded-host',
        'Content-Length',
        String(form.length),
      ],
      body: form,
    }
    const signed = sign(credentials, call)
    const answer = await send(site, { ...call, headers: signed.headers })
    assert.deepEqual([answer.status, answer.body], [200, 'done'])
    const [seen] = site.seen
    assert.ok(seen)
    assert.equal(seen.body, form.toString())
    assert.deepEqual(headerValues(seen.headers, 'x-forwarded-host'), ['sts.us-east-1.amazonaws.com'])
    assert.deepEqual(headerValues(seen.headers, 'x-teleport-aws-payload-hash'), [sha256Hex(form)])
    assert.deepEqual(headerValues(seen.headers, 'x-teleport-aws-payload-mode'), ['whole'])
    assert.deepEqual(headerValues(seen.headers, 'x-teleport-aws-presigned'), [])
    assert.deepEqual(headerValues(seen.headers, 'content-length'), [String(form.length)])
    assert.deepEqual(site.notices, [])
  })

  test('share connections to the agent', async () => {
    await using site = await setUp()
    const credentials = site.proxy.credentialsOf('awsconsole')
    for (let count = 0; count < 3; count++) await send(site, { headers: sign(credentials, {}).headers })
    assert.equal(site.seen.length, 3)
    assert.equal(site.dialled(), 1)
  })

  test('go to the app whose key signed them', async () => {
    await using site = await setUp({
      apps: ['one', 'two'],
      answer: (_, response) => response.writeHead(200, { [answerHeaders.apiInfo]: 'lowered%20to%2015m' }).end(),
    })
    for (const app of ['two', 'one']) {
      const answer = await send(site, { headers: sign(site.proxy.credentialsOf(app), {}).headers })
      assert.deepEqual(headerValues(answer.headers, answerHeaders.apiInfo), [])
    }
    assert.deepEqual(site.notices, [
      { kind: 'info', app: 'two', text: 'lowered to 15m' },
      { kind: 'info', app: 'one', text: 'lowered to 15m' },
    ])
  })

  test('stream to S3 under the stated hash, without being read first', async () => {
    await using site = await setUp()
    const body = Buffer.alloc(3_000_000, 'x')
    const call: Call = { host: s3, method: 'PUT', path: '/k', headers: ['Content-Length', String(body.length)], body }
    const signed = sign(site.proxy.credentialsOf('awsconsole'), call, { service: 's3', payloadHash: unsignedPayload })
    assert.equal((await send(site, { ...call, headers: signed.headers })).status, 200)
    assert.equal(site.seen[0]?.body.length, body.length)
    assert.deepEqual(headerValues(site.seen[0]?.headers ?? [], 'x-teleport-aws-payload-hash'), [unsignedPayload])
  })

  test('with Expect get their 100 from whoever reads the body', async () => {
    await using site = await setUp()
    const credentials = site.proxy.credentialsOf('awsconsole')
    for (const service of ['s3', 'sts']) {
      const call: Call = {
        host: service === 's3' ? s3 : 'sts.us-east-1.amazonaws.com',
        method: 'PUT',
        path: '/k',
        headers: ['Content-Length', '5', 'Expect', '100-continue'],
      }
      const payloadHash = sha256Hex('hello')
      const { headers } = sign(credentials, call, { service, payloadHash })
      const host = call.host ?? ''
      const socket = tls.connect({ socket: await connectTo(site.proxy, `${host}:443`), servername: host, ca: site.ca })
      const request = https.request({
        createConnection: () => socket,
        method: 'PUT',
        path: '/k',
        headers: [...headers],
      })
      request.flushHeaders()
      await once(request, 'continue')
      request.end('hello')
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      assert.equal(response.statusCode, 200)
      socket.destroy()
    }
    assert.deepEqual(
      site.seen.map(({ body }) => body),
      ['hello', 'hello'],
    )
  })

  for (const { mode, payload, trailers } of [
    { mode: 'signed-chunks', payload: streamingPayload, trailers: undefined },
    {
      mode: 'signed-chunks-trailer',
      payload: streamingPayloadTrailer,
      trailers: [['x-amz-checksum-crc32', 'AAAAAA==']] as const,
    },
  ]) {
    test(`in ${mode} are checked, unwrapped, and never completed when they were changed`, async () => {
      await using site = await setUp()
      const content = Buffer.alloc(200_000, 'c')
      const names = trailers?.map(([name]) => name)
      const length = encodedLength(content.length, names === undefined ? {} : { trailerNames: names })
      const call: Call = {
        host: s3,
        method: 'PUT',
        path: '/k',
        headers: [
          ...[
            'Content-Encoding',
            'aws-chunked',
            'x-amz-decoded-content-length',
            String(content.length),
            'Content-Length',
            String(length),
          ],
          ...(names === undefined ? [] : ['x-amz-trailer', names.join()]),
        ],
      }
      const upload = async (change: (bytes: Buffer) => Buffer): Promise<Answer> => {
        const { headers, seed } = sign(site.proxy.credentialsOf('awsconsole'), call, {
          service: 's3',
          payloadHash: payload,
        })
        const parts: Buffer[] = []
        for await (const part of encodeChunks(Readable.from([content]), {
          seed,
          ...(trailers === undefined ? {} : { trailers: () => trailers }),
        }))
          parts.push(part)
        return send(site, { ...call, headers, body: change(Buffer.concat(parts)) })
      }
      assert.equal((await upload((bytes) => bytes)).status, 200)
      const [good] = site.seen
      assert.equal(good?.body, content.toString())
      assert.deepEqual(headerValues(good?.headers ?? [], 'x-teleport-aws-payload-mode'), [mode])
      assert.deepEqual(good?.trailers, trailers?.flat() ?? [])

      const refused = await upload((bytes) => {
        bytes[bytes.length - 300] = 'd'.charCodeAt(0)
        return bytes
      })
      assert.equal(refused.status, 403)
      assert.match(refused.body, /<Code>SignatureDoesNotMatch<\/Code><Message>invalid signed upload/)
      assert.equal(
        site.seen.some(({ body, complete }) => complete && body.includes('d')),
        false,
      )
    })
  }

  test('in signed chunks with Expect wait for the 100 of the agent', async () => {
    await using site = await setUp()
    const content = Buffer.alloc(70_000, 'c')
    const length = encodedLength(content.length) ?? 0
    const call: Call = {
      host: s3,
      method: 'PUT',
      path: '/k',
      headers: [
        'x-amz-decoded-content-length',
        String(content.length),
        'Content-Length',
        String(length),
        'Expect',
        '100-continue',
      ],
    }
    const { headers, seed } = sign(site.proxy.credentialsOf('awsconsole'), call, {
      service: 's3',
      payloadHash: streamingPayload,
    })
    const socket = tls.connect({ socket: await connectTo(site.proxy, `${s3}:443`), servername: s3, ca: site.ca })
    const request = https.request({ createConnection: () => socket, method: 'PUT', path: '/k', headers: [...headers] })
    request.flushHeaders()
    await once(request, 'continue')
    Readable.from(encodeChunks(Readable.from([content]), { seed })).pipe(request)
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    assert.equal(response.statusCode, 200)
    assert.equal(site.seen[0]?.body, content.toString())
    socket.destroy()
  })

  test('that are presigned with a placeholder are marked, and those of a key that only looks like one are refused', async () => {
    await using site = await setUp()
    const mine = site.proxy.credentialsOf('awsconsole')
    const stranger = { accessKeyId: `PLACEHOLDER${'A'.repeat(16)}`, secretAccessKey: new Secret('x') }
    for (const [credentials, status] of [
      [mine, 200],
      [{ ...mine, secretAccessKey: new Secret('x') }, 403],
      [stranger, 403],
    ] as const) {
      const answer = await send(site, { host: s3, path: '/k', query: presign(credentials, { host: s3, path: '/k' }) })
      assert.equal(answer.status, status)
    }
    const [seen] = site.seen
    assert.equal(site.seen.length, 1)
    assert.match(seen?.url ?? '', /X-Amz-Signature/)
    assert.deepEqual(headerValues(seen?.headers ?? [], 'x-teleport-aws-presigned'), ['1'])
    assert.deepEqual(headerValues(seen?.headers ?? [], 'x-teleport-aws-payload-hash'), [unsignedPayload])
  })

  test('with keys that an agent handed out are accepted from then on', async () => {
    const issued = {
      accessKeyId: 'ASIAISSUED1234567890',
      secretAccessKey: new Secret('an-issued-secret-of-enough-length'),
    }
    await using site = await setUp({
      answer: (_, response) =>
        response
          .writeHead(200, { [answerHeaders.issuedKey]: `${issued.accessKeyId}:${issued.secretAccessKey.reveal()}` })
          .end(),
    })
    assert.equal((await send(site, { headers: sign(issued, {}).headers })).status, 403)
    const answer = await send(site, { headers: sign(site.proxy.credentialsOf('awsconsole'), {}).headers })
    assert.deepEqual(headerValues(answer.headers, answerHeaders.issuedKey), [])
    assert.equal((await send(site, { headers: sign(issued, {}).headers })).status, 200)
  })
})
