import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { type AwsLab, startAwsLab } from './cloud.ts'
import {
  callRaw,
  encodeChunked,
  type RawKey,
  type RawRequest,
  type RawSigning,
  sendRaw,
  signRaw,
} from './raw-client.ts'
import { parseClaim } from './signature.ts'
import { SignatureProblem } from './signature-problem.ts'

const identityForm = 'Action=GetCallerIdentity&Version=2011-06-15'
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const stsCall: RawRequest = { method: 'POST', host: 'sts.us-east-1.amazonaws.com', headers: form, body: identityForm }
const s3Put = (body: string | Buffer): RawRequest => ({
  method: 'PUT',
  host: 's3.us-east-1.amazonaws.com',
  path: '/reports/a%20b%2Bc/%C3%A9',
  headers: { 'content-length': String(Buffer.byteLength(body)) },
  body,
})
const dynamo: RawRequest = {
  method: 'POST',
  host: 'dynamodb.us-east-1.amazonaws.com',
  headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.ListTables' },
  body: '{}',
}
const requests: Readonly<Record<string, RawRequest>> = {
  sts: stsCall,
  s3: s3Put('hello'),
  dynamodb: dynamo,
  ec2: { ...stsCall, host: 'ec2.us-east-1.amazonaws.com', body: 'Action=DescribeVpcs&Version=2016-11-15' },
}

let lab: AwsLab
let admin: RawKey
let session: RawKey
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  admin = keyOf(lab.environment())
  session = keyOf(lab.environment({ role: 'ExampleReadOnlyAccess' }))
})
after(() => lab[Symbol.asyncDispose]())

suite('a correct signature is accepted', () => {
  for (const service of Object.keys(requests)) {
    test(`in the header, for ${service}`, async () => {
      const { status, body } = await callRaw(lab, requests[service]!, { key: admin, service })
      assert.equal(status, 200, body)
    })
  }
  test('with a session token that belongs to the key', async () => {
    assert.equal((await callRaw(lab, stsCall, { key: session, service: 'sts' })).status, 200)
  })
  test('in the query, for a presigned GetObject', async () => {
    await lab.putObject('reports', 'presigned.txt', 'signed beforehand')
    const { status, body } = await callRaw(
      lab,
      { host: 'reports.s3.us-east-1.amazonaws.com', path: '/presigned.txt' },
      { key: session, service: 's3', expiresIn: 60, payload: 'UNSIGNED-PAYLOAD' },
    )
    assert.deepEqual([status, body], [200, 'signed beforehand'])
  })
  test('in the query, for a presigned GetCallerIdentity as eks get-token makes it', async () => {
    const query = { Action: 'GetCallerIdentity', Version: '2011-06-15' }
    const { status } = await callRaw(
      lab,
      { host: 'sts.us-east-1.amazonaws.com', query, headers: { 'x-k8s-aws-id': 'demo' } },
      { key: admin, service: 'sts', expiresIn: 60 },
    )
    assert.equal(status, 200)
  })
})

interface Refusal {
  readonly says: string
  readonly service: string
  readonly signing?: () => Partial<RawSigning>
  readonly bend?: (request: RawRequest) => RawRequest
  readonly answer: readonly [status: number, code: string]
}

const withHeader =
  (name: string, change: (value: string) => string | undefined) =>
  (request: RawRequest): RawRequest => {
    const { [name]: value = '', ...rest } = request.headers ?? {}
    const changed = change(value)
    return { ...request, headers: changed === undefined ? rest : { ...rest, [name]: changed } }
  }
const minutesAgo = (minutes: number) => (): Partial<RawSigning> => ({ at: new Date(Date.now() - minutes * 60_000) })
const wrongSecret = (): Partial<RawSigning> => ({ key: { ...admin, secretAccessKey: 'not the one' } })
const flip = (value: string): string => value.slice(0, -1) + (value.endsWith('0') ? '1' : '0')

suite('a signature that is not right is refused', () => {
  const rows: readonly Refusal[] = [
    { says: 'another secret', service: 'sts', signing: wrongSecret, answer: [403, 'SignatureDoesNotMatch'] },
    { says: 'another secret', service: 's3', signing: wrongSecret, answer: [403, 'SignatureDoesNotMatch'] },
    { says: 'another secret', service: 'dynamodb', signing: wrongSecret, answer: [400, 'InvalidSignatureException'] },
    { says: 'another secret', service: 'ec2', signing: wrongSecret, answer: [403, 'SignatureDoesNotMatch'] },
    {
      says: 'one other digit',
      service: 's3',
      bend: withHeader('authorization', flip),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'an unknown key',
      service: 'sts',
      signing: () => ({ key: { ...admin, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } }),
      answer: [403, 'InvalidClientTokenId'],
    },
    {
      says: 'an unknown key',
      service: 's3',
      signing: () => ({ key: { ...admin, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } }),
      answer: [403, 'InvalidAccessKeyId'],
    },
    {
      says: 'an unknown key',
      service: 'dynamodb',
      signing: () => ({ key: { ...admin, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } }),
      answer: [400, 'UnrecognizedClientException'],
    },
    {
      says: 'an unknown key',
      service: 'ec2',
      signing: () => ({ key: { ...admin, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } }),
      answer: [401, 'AuthFailure'],
    },
    {
      says: "another key's token",
      service: 'sts',
      signing: () => ({ key: { ...session, sessionToken: 'dG9rZW4=' } }),
      answer: [403, 'InvalidClientTokenId'],
    },
    {
      says: "another key's token",
      service: 's3',
      signing: () => ({ key: { ...session, sessionToken: 'dG9rZW4=' } }),
      answer: [400, 'InvalidToken'],
    },
    {
      says: 'a token with a key that has none',
      service: 's3',
      signing: () => ({ key: { ...admin, sessionToken: 'dG9rZW4=' } }),
      answer: [400, 'InvalidToken'],
    },
    {
      says: 'a temporary key without its token',
      service: 's3',
      signing: () => ({ key: { accessKeyId: session.accessKeyId, secretAccessKey: session.secretAccessKey } }),
      answer: [403, 'InvalidAccessKeyId'],
    },
    {
      says: 'a clock six minutes behind',
      service: 'sts',
      signing: minutesAgo(6),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'a clock six minutes ahead',
      service: 'sts',
      signing: minutesAgo(-6),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    { says: 'a clock six minutes behind', service: 'ec2', signing: minutesAgo(6), answer: [400, 'RequestExpired'] },
    {
      says: 'a clock sixteen minutes behind',
      service: 's3',
      signing: minutesAgo(16),
      answer: [403, 'RequestTimeTooSkewed'],
    },
    {
      says: 'a clock sixteen minutes ahead',
      service: 's3',
      signing: minutesAgo(-16),
      answer: [403, 'RequestTimeTooSkewed'],
    },
    {
      says: 'a scope of another region',
      service: 'sts',
      signing: () => ({ region: 'eu-west-1' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'a scope of another region',
      service: 's3',
      signing: () => ({ region: 'eu-west-1' }),
      answer: [400, 'AuthorizationHeaderMalformed'],
    },
    {
      says: 'a scope of another service',
      service: 'sts',
      signing: () => ({ service: 'iam' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'another body',
      service: 'sts',
      bend: (request) => ({ ...request, body: `${identityForm}&X=1` }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'another body',
      service: 's3',
      bend: (request) => ({ ...request, body: 'jello' }),
      answer: [400, 'XAmzContentSHA256Mismatch'],
    },
    {
      says: 'another path',
      service: 's3',
      bend: (request) => ({ ...request, path: '/reports/other' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'another query',
      service: 's3',
      bend: (request) => ({ ...request, query: { 'x-id': 'PutObject' } }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'another method',
      service: 's3',
      bend: (request) => ({ ...request, method: 'POST' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'an x-amz header that is not signed',
      service: 's3',
      bend: withHeader('x-amz-meta-owner', () => 'mallory'),
      answer: [403, 'AccessDenied'],
    },
    {
      says: 'an x-amz header that is not signed',
      service: 'dynamodb',
      bend: withHeader('x-amz-extra', () => 'x'),
      answer: [400, 'InvalidSignatureException'],
    },
    {
      says: 'no x-amz-content-sha256',
      service: 's3',
      bend: withHeader('x-amz-content-sha256', () => undefined),
      answer: [400, 'InvalidRequest'],
    },
    {
      says: 'a header of one part',
      service: 's3',
      bend: withHeader('authorization', (value) => value.split(',')[0]),
      answer: [400, 'AuthorizationHeaderMalformed'],
    },
    {
      says: 'a header of one part',
      service: 'sts',
      bend: withHeader('authorization', (value) => value.split(',')[0]),
      answer: [400, 'IncompleteSignature'],
    },
    {
      says: 'no date',
      service: 'sts',
      bend: withHeader('x-amz-date', () => undefined),
      answer: [400, 'IncompleteSignature'],
    },
    {
      says: 'an older algorithm',
      service: 's3',
      bend: withHeader('authorization', () => 'AWS AKIAIOSFODNN7EXAMPLE:c2ln'),
      answer: [400, 'InvalidArgument'],
    },
    {
      says: 'version 4A',
      service: 's3',
      bend: withHeader('authorization', (value) => value.replace('HMAC', 'ECDSA-P256')),
      answer: [501, 'NotImplemented'],
    },
    {
      says: 'no signature',
      service: 'sts',
      bend: withHeader('authorization', () => undefined),
      answer: [403, 'MissingAuthenticationToken'],
    },
    {
      says: 'no signature',
      service: 's3',
      bend: withHeader('authorization', () => undefined),
      answer: [403, 'AccessDenied'],
    },
  ]
  for (const { says, service, signing, bend, answer } of rows) {
    test(`${service}: ${says}`, async () => {
      const signed = await signRaw(requests[service]!, { key: admin, service, ...signing?.() })
      const { status, code } = await sendRaw(lab, bend ? bend(signed) : signed)
      assert.deepEqual([status, code], answer)
    })
  }

  test('s3 shows what it calculated', async () => {
    const { body } = await callRaw(lab, requests.s3!, { key: admin, service: 's3', ...wrongSecret() })
    assert.match(body, /<AWSAccessKeyId>AKIA\w+<\/AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256\n/)
    assert.match(body, /<CanonicalRequest>PUT\n\/reports\/a%20b%2Bc\/%C3%A9\n/)
  })

  test('a token that has expired', async () => {
    const key = keyOf(lab.environment({ role: 'ExampleReadOnlyAccess' }))
    const later = new Date(Date.now() + 61 * 60_000)
    lab.setClock(later)
    const answers = await Promise.all([
      callRaw(lab, stsCall, { key, service: 'sts', at: later }),
      callRaw(lab, requests.s3!, { key, service: 's3', at: later }),
      callRaw(lab, dynamo, { key, service: 'dynamodb', at: later }),
    ])
    lab.setClock(undefined)
    assert.deepEqual(
      answers.map(({ status, code }) => [status, code]),
      [
        [403, 'ExpiredToken'],
        [400, 'ExpiredToken'],
        [400, 'ExpiredTokenException'],
      ],
    )
  })
})

suite('a presigned request that is not right is refused', () => {
  const get: RawRequest = { host: 's3.us-east-1.amazonaws.com', path: '/reports/presigned.txt' }
  const presign = (signing: Partial<RawSigning> = {}): Promise<RawRequest> =>
    signRaw(get, { key: admin, service: 's3', expiresIn: 60, payload: 'UNSIGNED-PAYLOAD', ...signing })
  test('unlike the same request as it was signed', async () => {
    assert.equal((await sendRaw(lab, await presign())).status, 200)
  })
  const rows: readonly { says: string; request: () => Promise<RawRequest>; answer: readonly [number, string] }[] = [
    { says: 'after its time', request: () => presign(minutesAgo(2)()), answer: [403, 'AccessDenied'] },
    { says: 'with another secret', request: () => presign(wrongSecret()), answer: [403, 'SignatureDoesNotMatch'] },
    {
      says: 'for another object',
      request: async () => ({ ...(await presign()), path: '/reports/other.txt' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'for another method',
      request: async () => ({ ...(await presign()), method: 'DELETE' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'with a longer life than it was signed for',
      request: async () => withQuery(await presign(), 'X-Amz-Expires', '3600'),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'for more than a week',
      request: async () => withQuery(await presign(), 'X-Amz-Expires', '604801'),
      answer: [400, 'AuthorizationQueryParametersError'],
    },
    {
      says: 'with a header as well',
      request: async () => ({
        ...(await presign()),
        headers: (await signRaw(get, { key: admin, service: 's3' })).headers ?? {},
      }),
      answer: [400, 'InvalidArgument'],
    },
    {
      says: 'without its date',
      request: async () => withQuery(await presign(), 'X-Amz-Date', undefined),
      answer: [400, 'AuthorizationQueryParametersError'],
    },
  ]
  for (const { says, request, answer } of rows) {
    test(says, async () => {
      const { status, code } = await sendRaw(lab, await request())
      assert.deepEqual([status, code], answer)
    })
  }
})

suite('uploads in signed or unsigned chunks', () => {
  const data = Buffer.alloc(20_000, 'lab')
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(data))
  const trailer = { 'x-amz-checksum-crc32': sum.toString('base64') }
  const modes = [
    { mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', signed: true, trailers: {} },
    { mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', signed: true, trailers: trailer },
    { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', signed: false, trailers: trailer },
  ]
  type Mode = (typeof modes)[number]
  const upload = async (
    { mode, signed, trailers }: Mode,
    {
      length = data.length,
      chunkBytes = 8192,
      bend = (body: Buffer) => body,
      sent = trailers as Record<string, string>,
    } = {},
  ) => {
    const request: RawRequest = {
      method: 'PUT',
      host: 'reports.s3.us-east-1.amazonaws.com',
      path: `/${mode}`,
      headers: {
        'x-amz-decoded-content-length': String(length),
        'content-encoding': 'aws-chunked',
        ...(Object.keys(trailers).length > 0 ? { 'x-amz-trailer': Object.keys(trailers).join(',') } : {}),
      },
    }
    const { headers = {} } = await signRaw(request, { key: admin, service: 's3', payload: mode })
    const body = bend(
      encodeChunked({ data, chunkBytes, trailers: sent, ...(signed ? { seed: { headers, key: admin } } : {}) }),
    )
    return sendRaw(lab, { ...request, headers: { ...headers, 'content-length': String(body.length) }, body })
  }
  const replace =
    (from: RegExp, to: (found: string) => string) =>
    (body: Buffer): Buffer => {
      const text = body.toString('latin1')
      const bent = text.replace(from, to)
      assert.notEqual(bent, text)
      return Buffer.from(bent, 'latin1')
    }

  for (const mode of modes) {
    test(`${mode.mode} is unframed and kept`, async () => {
      const put = await upload(mode)
      assert.equal(put.status, 200, put.body)
      const { body } = await callRaw(
        lab,
        { host: 's3.us-east-1.amazonaws.com', path: `/reports/${mode.mode}` },
        { key: admin, service: 's3' },
      )
      assert.equal(createHash('md5').update(body).digest('hex'), createHash('md5').update(data).digest('hex'))
      assert.equal(lab.seen.findLast(({ operation }) => operation === 'PutObject')?.payloadMode, mode.mode)
    })
    test(`${mode.mode} with a wrong decoded length is refused`, async () => {
      assert.equal((await upload(mode, { length: data.length + 1 })).code, 'IncompleteBody')
    })
    test(`${mode.mode} with small chunks in the middle is refused`, async () => {
      assert.equal((await upload(mode, { chunkBytes: 4096 })).code, 'InvalidChunkSizeError')
    })
    test(`${mode.mode} that is cut off is refused`, async () => {
      assert.equal((await upload(mode, { bend: (body) => body.subarray(0, 9000) })).code, 'IncompleteBody')
    })
  }
  for (const mode of modes.filter(({ signed }) => signed)) {
    for (const [which, found] of [
      ['the first chunk', /chunk-signature=[0-9a-f]{64}/],
      ['the last chunk', /\r\n0;chunk-signature=[0-9a-f]{64}/],
    ] as const) {
      test(`${mode.mode} with a wrong signature on ${which} is refused`, async () => {
        assert.equal((await upload(mode, { bend: replace(found, flip) })).code, 'SignatureDoesNotMatch')
      })
    }
    test(`${mode.mode} with other bytes in a chunk is refused`, async () => {
      assert.equal((await upload(mode, { bend: replace(/lablab/, () => 'LABlab') })).code, 'SignatureDoesNotMatch')
    })
  }
  for (const mode of modes.filter(({ mode }) => mode.endsWith('TRAILER'))) {
    test(`${mode.mode} with a wrong checksum in the trailer is refused`, async () => {
      assert.equal((await upload(mode, { sent: { 'x-amz-checksum-crc32': 'AAAAAA==' } })).code, 'BadDigest')
    })
    test(`${mode.mode} with another trailer than was promised is refused`, async () => {
      assert.equal((await upload(mode, { sent: { 'x-amz-checksum-sha1': 'AAAAAA==' } })).code, 'MalformedTrailerError')
    })
  }
  test('a wrong signature on the trailer is refused', async () => {
    const answer = await upload(modes[1]!, { bend: replace(/x-amz-trailer-signature:[0-9a-f]{64}/, flip) })
    assert.equal(answer.code, 'SignatureDoesNotMatch')
  })
  test('nothing that was refused is kept', async () => {
    await upload(modes[0]!, { bend: replace(/lablab/, () => 'LABlab') })
    const { body } = await callRaw(
      lab,
      { host: 's3.us-east-1.amazonaws.com', path: `/reports/${modes[0]!.mode}` },
      { key: admin, service: 's3' },
    )
    assert.doesNotMatch(body, /LAB/)
  })
})

test('no claim, however odd, makes the parser throw anything but a refusal', () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom('AWS4-HMAC-SHA256 ', 'Credential=', 'SignedHeaders=host', 'Signature=', ',', '/', 'aws4_request'),
  )
  fc.assert(
    fc.property(fc.array(part), fc.string(), (parts, date) => {
      const headers = [
        ['authorization', parts.join('')],
        ['x-amz-date', date],
        ['host', 'x'],
      ] as const
      try {
        parseClaim({ method: 'GET', path: '/', query: '', headers })
      } catch (error) {
        assert.ok(error instanceof SignatureProblem)
      }
    }),
    { numRuns: 300 },
  )
})

function keyOf(environment: Readonly<Record<string, string>>): RawKey {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken,
  } = environment
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
}

function withQuery(request: RawRequest, name: string, value: string | undefined): RawRequest {
  const { [name]: _, ...rest } = request.query ?? {}
  return { ...request, query: value === undefined ? rest : { ...rest, [name]: value } }
}
