import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import fc from 'fast-check'
import { type AwsLab, startAwsLab } from './cloud.ts'
import { callRaw, type RawKey, type RawRequest, type RawSigning, sendRaw, signRaw } from './raw-client.ts'
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
const unknownKey = (): Partial<RawSigning> => ({ key: { ...admin, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } })
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
      signing: unknownKey,
      answer: [403, 'InvalidClientTokenId'],
    },
    {
      says: 'an unknown key',
      service: 's3',
      signing: unknownKey,
      answer: [403, 'InvalidAccessKeyId'],
    },
    {
      says: 'an unknown key',
      service: 'dynamodb',
      signing: unknownKey,
      answer: [400, 'UnrecognizedClientException'],
    },
    {
      says: 'an unknown key',
      service: 'ec2',
      signing: unknownKey,
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
      says: 'a hash of something where there is no body',
      service: 's3',
      bend: ({ body: _, ...request }) => withHeader('content-length', () => '0')(request),
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
      answer: [400, 'InvalidRequest'],
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

  test('in answers that carry the time of the cloud', async () => {
    const later = new Date(Date.now() + 7 * 60_000)
    lab.setClock(later)
    const { headers } = await callRaw(lab, stsCall, { key: admin, service: 'sts', at: later })
    lab.setClock(undefined)
    assert.ok(Math.abs(Date.parse(String(headers.date)) - later.getTime()) < 60_000, String(headers.date))
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
