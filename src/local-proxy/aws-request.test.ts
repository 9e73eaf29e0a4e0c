import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { forwarding } from '#aws/forwarding.ts'
import { headerValues, unsignedPayload, type WireRequest } from '#aws/sigv4.ts'
import { streamingPayload, streamingPayloadTrailer, streamingUnsignedTrailer } from '#aws/sigv4-chunks.ts'
import { AccessError } from '#errors.ts'
import {
  headersForAgent,
  NotAwsHost,
  readAwsRequest,
  type SignedAwsRequest,
  UnsupportedPayload,
} from './aws-request.ts'

const hash = 'a'.repeat(64)
const authorization = (service: string): string[] => [
  'Authorization',
  `AWS4-HMAC-SHA256 Credential=PLACEHOLDERAAAAAAAAAAAAAAAA/20300101/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=${hash}`,
]
const wire = (service: string, headers: readonly string[] = []): WireRequest => ({
  method: 'PUT',
  path: '/k',
  query: '',
  headers: ['Host', `${service}.us-east-1.amazonaws.com`, ...authorization(service), ...headers],
})

function readSigned(request: WireRequest): SignedAwsRequest {
  const read = readAwsRequest(request)
  assert.equal(read.kind, 'signed')
  if (read.kind !== 'signed') throw new Error('unreachable')
  return read.signed
}

suite('how a body travels', () => {
  const body = ['Content-Length', '5']
  const decoded = ['x-amz-decoded-content-length', '3', 'x-amz-trailer', 'x-amz-checksum-crc32, x-amz-checksum-sha256']
  for (const [says, service, headers, plan] of [
    [
      'none',
      'sts',
      [],
      { kind: 'stream', payloadHash: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
    ],
    ['one without a stated hash', 'sts', body, { kind: 'spool' }],
    ['one in chunks of HTTP', 'sts', ['Transfer-Encoding', 'chunked'], { kind: 'spool' }],
    ['one with a stated hash', 'sts', [...body, 'x-amz-content-sha256', hash], { kind: 'spool', stated: hash }],
    [
      'one for S3 with a stated hash',
      's3',
      [...body, 'x-amz-content-sha256', hash],
      { kind: 'stream', payloadHash: hash },
    ],
    [
      'an unsigned one',
      's3',
      [...body, 'x-amz-content-sha256', unsignedPayload],
      { kind: 'stream', payloadHash: unsignedPayload },
    ],
    [
      'an unsigned one with trailer',
      's3',
      [...body, 'x-amz-content-sha256', streamingUnsignedTrailer],
      { kind: 'stream', payloadHash: streamingUnsignedTrailer },
    ],
    [
      'signed chunks',
      's3',
      [...body, 'x-amz-content-sha256', streamingPayload, ...decoded],
      { kind: 'chunks', payloadHash: streamingPayload, decodedLength: 3 },
    ],
    [
      'signed chunks with trailer',
      's3',
      [...body, 'x-amz-content-sha256', streamingPayloadTrailer, ...decoded],
      {
        kind: 'chunks',
        payloadHash: streamingPayloadTrailer,
        decodedLength: 3,
        trailerNames: ['x-amz-checksum-crc32', 'x-amz-checksum-sha256'],
      },
    ],
  ] as const) {
    test(says, () => assert.deepEqual(readSigned(wire(service, headers)).plan, plan))
  }

  for (const [says, headers] of [
    ['SigV4A chunks', ['x-amz-content-sha256', 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD']],
    ['event streams', ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-EVENTS']],
    ['WebSockets', ['Connection', 'Upgrade', 'Upgrade', 'websocket']],
    ['an unknown mode', ['x-amz-content-sha256', 'NEW-MODE']],
    ['two hashes', ['x-amz-content-sha256', hash, 'X-Amz-Content-Sha256', hash]],
    ['chunks without their length', ['x-amz-content-sha256', streamingPayload]],
    [
      'a trailer that is not announced',
      ['x-amz-content-sha256', streamingPayloadTrailer, 'x-amz-decoded-content-length', '3'],
    ],
    [
      'a trailer that would set a header of ours',
      ['x-amz-content-sha256', streamingPayloadTrailer, 'x-amz-decoded-content-length', '3', 'x-amz-trailer', 'host'],
    ],
  ] as const) {
    test(`${says}: refused by name`, () => assert.throws(() => readAwsRequest(wire('s3', headers)), UnsupportedPayload))
  }
})

suite('whose a request is', () => {
  test('a link that was presigned with our key in the old way is refused by name', () => {
    const open = { ...wire('s3'), headers: ['Host', 's3.amazonaws.com'] }
    const query = `AWSAccessKeyId=PLACEHOLDER${'A'.repeat(16)}&Signature=x%3D&Expires=1`
    assert.throws(() => readAwsRequest({ ...open, query }), UnsupportedPayload)
    assert.equal(readAwsRequest({ ...open, query: query.replace('PLACEHOLDER', 'X') }).kind, 'foreign')
  })
  for (const host of [
    'localhost',
    'example.com',
    'ssmmessages.us-east-1.amazonaws.com',
    'x.amazonaws.com.example.net',
  ]) {
    test(`${host} is not ours`, () =>
      assert.throws(() => readAwsRequest({ ...wire('s3'), headers: ['Host', host] }), NotAwsHost))
  }
  test('two hosts, or another server in the request line, are refused', () => {
    assert.throws(() => readAwsRequest(wire('s3', ['host', 's3.amazonaws.com'])), NotAwsHost)
    assert.throws(() => readAwsRequest({ ...wire('s3'), path: 'https://example.com/' }), NotAwsHost)
  })
  test("what is not signed, or presigned with a stranger's key, is foreign", () => {
    const open = { ...wire('s3'), headers: ['Host', 's3.amazonaws.com'] }
    assert.equal(readAwsRequest(open).kind, 'foreign')
    const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20300101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20300101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=${hash}`
    assert.equal(readAwsRequest({ ...open, query }).kind, 'foreign')
    assert.equal(
      readAwsRequest({ ...open, query: query.replace('AKIA', `PLACEHOLDER${'A'.repeat(16)}`) }).kind,
      'signed',
    )
  })
})

test('whatever headers come, the agent gets ours exactly once, and none of the reserved names from the client', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'X-Forwarded-Host',
      'x-forwarded-for',
      'X-Teleport-Aws-Payload-Mode',
      'Connection',
      'Forwarded',
      'Via',
      'X-Real-Ip',
      'Content-Length',
      'Trailer',
    ),
    fc.stringMatching(/^[A-Za-z][A-Za-z-]{0,12}$/),
  )
  const value = fc.oneof(fc.constantFrom('x-forwarded-host', 'evil.example.com', '5'), fc.string())
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), fc.constantFrom('s3', 'sts'), (extra, service) => {
      let signed: SignedAwsRequest
      try {
        signed = readSigned(wire(service, extra.flat()))
      } catch (error) {
        assert.ok(error instanceof AccessError, String(error))
        return
      }
      const headers = headersForAgent(signed, {
        payloadHash: hash,
        ...(signed.plan.kind === 'spool' ? { spooledSize: 5 } : {}),
      })
      assert.deepEqual(headerValues(headers, forwarding.host), [`${service}.us-east-1.amazonaws.com`])
      assert.deepEqual(headerValues(headers, forwarding.payloadHash), [hash])
      assert.deepEqual(headerValues(headers, forwarding.payloadMode), ['whole'])
      for (const gone of ['connection', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-for', forwarding.presigned]) {
        assert.deepEqual(headerValues(headers, gone), [])
      }
    }),
  )
})
