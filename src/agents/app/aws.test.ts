import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { forwarding } from '#aws/forwarding.ts'
import { AccessError } from '#errors.ts'
import { redactQuery } from './aws-event.ts'
import { parseAwsRequest } from './aws-request.ts'
import { answer, lab, startBed, WRITER } from './bed.conformance.ts'

suite('an upload to S3', () => {
  const content = Buffer.alloc(200_000, 'abc')
  const length = ['x-amz-decoded-content-length', String(content.length)]
  const chunked = ['content-encoding', 'aws-chunked', ...length]
  const checksum = createHash('sha256').update(content).digest('base64')

  test('of signed chunks is framed and signed anew, chunk by chunk', async () => {
    await using bed = await startBed()
    const { status, body } = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/chunks',
      body: content,
      headers: chunked,
      payload: { hash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', mode: 'signed-chunks' },
    })
    assert.equal(status, 200, body)
    const seen = lab.seen.findLast(({ path }) => path.endsWith('/chunks'))
    assert.equal(seen?.payloadMode, 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD')
    assert.equal((await answer(await bed.connect(), { path: '/reports/chunks' })).body, content.toString())
  })

  test('of signed chunks with a trailer keeps the trailer, signed anew', async () => {
    await using bed = await startBed()
    const { status, body } = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/trailer',
      body: content,
      headers: [...chunked, 'x-amz-trailer', 'x-amz-checksum-sha256'],
      payload: { hash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', mode: 'signed-chunks-trailer' },
      trailers: { 'x-amz-checksum-sha256': checksum },
      change: (headers) => [
        ...headers,
        forwarding.trailer,
        'x-amz-checksum-sha256',
        'Trailer',
        'x-amz-checksum-sha256',
        'Transfer-Encoding',
        'chunked',
      ],
    })
    assert.equal(status, 200, body)
    assert.equal((await answer(await bed.connect(), { path: '/reports/trailer' })).body, content.toString())
  })

  test('of an unsigned body passes untouched', async () => {
    await using bed = await startBed()
    const { status } = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/unsigned',
      body: content,
      payload: { hash: 'UNSIGNED-PAYLOAD', mode: 'whole' },
    })
    assert.equal(status, 200)
  })

  test('whose body is not what its hash says is refused by AWS', async () => {
    await using bed = await startBed()
    const { status, body } = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/wrong',
      body: content,
      payload: { hash: '0'.repeat(64), mode: 'whole' },
    })
    assert.equal(status, 400)
    assert.match(body, /XAmzContentSHA256Mismatch|BadDigest/)
  })

  test('that asks leave to send its body gets it from AWS', async () => {
    await using bed = await startBed()
    const { status } = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/expect',
      body: content,
      change: (headers) => [...headers, 'Expect', '100-continue'],
    })
    assert.equal(status, 200)
  })
})

suite('reading a request', () => {
  const good = [
    'Host',
    'agent',
    'Authorization',
    `AWS4-HMAC-SHA256 Credential=AKIAPLACEHOLDER/20300101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`,
    'X-Amz-Date',
    '20300101T000000Z',
    'Expect',
    '100-continue',
    'X-Forwarded-For',
    '192.0.2.1',
    'X-Teleport-Anything',
    'x',
    forwarding.host,
    's3.amazonaws.com',
    forwarding.payloadHash,
    'UNSIGNED-PAYLOAD',
    forwarding.payloadMode,
    'whole',
  ]

  test('keeps what the client sent, and drops what is between us and the local proxy', () => {
    const { headers, scope, signedHeaders, host, query } = parseAwsRequest({
      method: 'GET',
      url: '/a?b=c',
      rawHeaders: good,
    })
    assert.deepEqual(headers, ['Host', 's3.amazonaws.com', 'X-Amz-Date', '20300101T000000Z', 'Expect', '100-continue'])
    assert.deepEqual([scope.region, scope.service, host, query], ['us-east-1', 's3', 's3.amazonaws.com', 'b=c'])
    assert.deepEqual(signedHeaders, ['host', 'x-amz-date'])
  })

  test('drops the signature of a presigned query and nothing else of it', () => {
    const query = `a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAPLACEHOLDER%2F20300101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20300101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=${'0'.repeat(64)}&versionId=1`
    const rawHeaders = [...good.slice(0, 2), ...good.slice(4), forwarding.presigned, '1']
    assert.equal(parseAwsRequest({ method: 'GET', url: `/k?${query}`, rawHeaders }).query, 'a=b&versionId=1')
  })

  test('refuses with a reason, and never otherwise, whatever stands in the headers', () => {
    const header = fc.tuple(
      fc.oneof(fc.constantFrom(...good.filter((_, index) => index % 2 === 0)), fc.string()),
      fc.oneof(fc.constantFrom(...good.filter((_, index) => index % 2 === 1)), fc.string()),
    )
    fc.assert(
      fc.property(fc.array(header, { maxLength: 12 }), fc.string(), (headers, url) => {
        try {
          const { endpoint } = parseAwsRequest({ method: 'GET', url: `/${url}`, rawHeaders: headers.flat() })
          assert.match(endpoint.host, /\.amazonaws\.com$/)
        } catch (error) {
          assert.ok(error instanceof AccessError && error.code === 'invalid', String(error))
        }
      }),
    )
  })
})

test('secrets in a query do not reach the audit log', () => {
  const query =
    'Action=X&SerialNumber=1&TokenCode=123456&X-Amz-Security-Token=abc&Web%49dentityToken=e.y.j&prefix=a%20b'
  assert.equal(
    redactQuery(query),
    'Action=X&SerialNumber=1&TokenCode=[redacted]&X-Amz-Security-Token=[redacted]&Web%49dentityToken=[redacted]&prefix=a%20b',
  )
})
