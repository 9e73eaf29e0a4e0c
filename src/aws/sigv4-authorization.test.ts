import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { Secret } from '#secret.ts'
import { emptyHash, unsignedPayload, type WireRequest } from './sigv4.ts'
import {
  dropPresigned,
  InvalidAuthorization,
  parseAmzDate,
  parseAuthorization,
  parsePresigned,
} from './sigv4-authorization.ts'
import { InvalidSignature, verifySignature } from './sigv4-verify.ts'

const signature = 'a'.repeat(64)
const credential = 'Credential=AKIDEXAMPLE/20150830/us-east-1/s3/aws4_request'

suite('the Authorization header', () => {
  const expected = {
    accessKeyId: 'AKIDEXAMPLE',
    scope: { date: '20150830', region: 'us-east-1', service: 's3' },
    signedHeaders: ['host', 'x-amz-date'],
    signature,
  }
  for (const header of [
    `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
    `AWS4-HMAC-SHA256 ${credential},SignedHeaders=host;x-amz-date,Signature=${signature}`,
    `AWS4-HMAC-SHA256 Signature=${signature} ,  SignedHeaders=host;x-amz-date, ${credential}`,
  ]) {
    test(`is read: ${header.slice(0, 60)}`, () => assert.deepEqual(parseAuthorization(header), expected))
  }

  for (const [header, message] of [
    ['', /empty AWS SigV4 header/],
    ['Bearer x', /missing AWS SigV4 authorization algorithm/],
    [`AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host`, /3 comma-separated components but got 2/],
    [`AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=${signature}, X=1`, /but got 4/],
    [
      `AWS4-HMAC-SHA256 Credential=A/20150830/s3/aws4_request, SignedHeaders=host, Signature=${signature}`,
      /"Credential" section/,
    ],
    [`AWS4-HMAC-SHA256 ${credential}, SignedHeaders=Host, Signature=${signature}`, /signed headers/],
    [`AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host;host, Signature=${signature}`, /not sorted/],
    [`AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=abc`, /invalid signature/],
    ['AWS4-ECDSA-P256-SHA256 Credential=…', /SigV4A \(AWS4-ECDSA-P256-SHA256\) signatures are not supported/],
    ['AWS AKID:abc', /version 2 is not supported/],
    [`AWS4-HMAC-SHA256 ${'x'.repeat(9000)}`, /too long/],
  ] as const) {
    test(`is refused: ${header.slice(0, 50)}`, () => {
      assert.throws(
        () => parseAuthorization(header),
        (error) => error instanceof InvalidAuthorization && message.test(error.message),
      )
    })
  }

  test('fails only as InvalidAuthorization', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, prefixed) => {
        for (const parse of [parseAuthorization, parsePresigned, parseAmzDate]) {
          try {
            parse(prefixed ? `AWS4-HMAC-SHA256 ${credential},${text}` : text)
          } catch (error) {
            assert.ok(error instanceof InvalidAuthorization)
          }
        }
      }),
    )
  })
})

suite('the presigned example of the S3 page', () => {
  const query =
    'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
    '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
    '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'
  const request: WireRequest = {
    method: 'GET',
    path: '/test.txt',
    query,
    headers: ['Host', 'examplebucket.s3.amazonaws.com'],
  }
  const secretAccessKey = new Secret('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')
  const verify = (changes: Partial<WireRequest>, now: string): void => {
    const changed = { ...request, ...changes }
    const authorization = parsePresigned(changed.query)
    assert.ok(authorization)
    verifySignature({
      request: changed,
      authorization,
      payloadHash: unsignedPayload,
      secretAccessKey,
      now: new Date(now),
    })
  }

  test('is accepted until it expires', () => {
    verify({}, '2013-05-24T00:00:00Z')
    verify({}, '2013-05-24T23:59:59Z')
    assert.throws(() => verify({}, '2013-05-25T00:00:01Z'), /has expired/)
    assert.throws(() => verify({}, '2013-05-23T23:44:00Z'), /later time/)
  })
  for (const changes of [
    { path: '/other.txt' },
    { method: 'DELETE' },
    { query: query.replace('86400', '86401') },
    { query: `${query}&acl` },
    { headers: ['Host', 'other.s3.amazonaws.com'] },
    { headers: [] },
  ] satisfies Partial<WireRequest>[]) {
    test(`is refused with ${JSON.stringify(changes).slice(0, 60)}`, () => {
      assert.throws(() => verify(changes, '2013-05-24T00:00:00Z'), InvalidSignature)
    })
  }
  test('loses its signature and nothing else when it is signed anew', () => {
    assert.equal(
      dropPresigned(`versionId=a%2Fb&${query}&response-content-type=text%2Fplain`),
      'versionId=a%2Fb&response-content-type=text%2Fplain',
    )
  })
  test('is refused when a field is doubled, and absent when there is none', () => {
    assert.throws(() => parsePresigned(`${query}&X-Amz-Date=20130524T000000Z`), /given twice/)
    assert.throws(() => parsePresigned(query.replace('86400', '604801')), /X-Amz-Expires/)
    assert.equal(parsePresigned('list-type=2'), undefined)
  })
})

suite('a header signature that says the wrong thing', () => {
  const secretAccessKey = new Secret('secret')
  const base: WireRequest = {
    method: 'GET',
    path: '/',
    query: '',
    headers: ['Host', 'sts.amazonaws.com', 'X-Amz-Date', '20150830T123600Z'],
  }
  const check = (request: WireRequest, names: string, now = '2015-08-30T12:36:00Z', date = '20150830'): void => {
    const authorization = parseAuthorization(
      `AWS4-HMAC-SHA256 Credential=AKID/${date}/us-east-1/sts/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
    )
    verifySignature({ request, authorization, payloadHash: emptyHash, secretAccessKey, now: new Date(now) })
  }
  for (const [says, act, message] of [
    ['leaves out the host', () => check(base, 'x-amz-date'), /Host header is not signed/],
    ['names a header that is not there', () => check(base, 'host;x-amz-acl;x-amz-date'), /"x-amz-acl" is missing/],
    [
      'is of another day than its scope',
      () => check(base, 'host;x-amz-date', undefined, '20150831'),
      /credential scope/,
    ],
    ['is too old', () => check(base, 'host;x-amz-date', '2015-08-30T12:51:01Z'), /too long ago/],
    ['is of the future', () => check(base, 'host;x-amz-date', '2015-08-30T12:20:59Z'), /later time/],
    ['is made with another key', () => check(base, 'host;x-amz-date'), /signature verification failed/],
    ['has no date', () => check({ ...base, headers: ['Host', 'a'] }, 'host'), /X-Amz-Date/],
    [
      'has two dates',
      () => check({ ...base, headers: [...base.headers, 'x-amz-date', '20150830T123600Z'] }, 'host'),
      /X-Amz-Date/,
    ],
    [
      'has an impossible date',
      () => check({ ...base, headers: ['Host', 'a', 'x-amz-date', '20150230T123600Z'] }, 'host'),
      /X-Amz-Date/,
    ],
  ] as const) {
    test(says, () => assert.throws(act, message))
  }
})
