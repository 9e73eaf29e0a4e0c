import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { suite, test } from 'node:test'
import { SignatureV4 } from '@smithy/signature-v4'
import fc from 'fast-check'
import { Secret } from '#secret.ts'
import {
  canonicalPath,
  canonicalQuery,
  createSigningKeys,
  emptyHash,
  headerValues,
  sha256Hex,
  signingKey,
  signRequest,
  type WireRequest,
} from './sigv4.ts'
import { parseAuthorization } from './sigv4-authorization.ts'
import { suiteCases } from './sigv4-suite.test-data.ts'
import { InvalidSignature, verifySignature } from './sigv4-verify.ts'

const secretAccessKey = new Secret('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY')
const at = new Date('2015-08-30T12:36:00Z')
const scope = 'AKIDEXAMPLE/20150830/us-east-1/service/aws4_request'

suite("AWS's published signing suite", () => {
  for (const {
    name,
    method,
    path = '/',
    query = '',
    headers = [],
    token,
    hash = emptyHash,
    signedHeaders,
    signature,
  } of suiteCases) {
    const request: WireRequest = { method, path, query, headers: ['Host', 'example.amazonaws.com', ...headers] }
    test(`${name} is signed as published`, () => {
      const credentials = {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey,
        ...(token === undefined ? {} : { sessionToken: new Secret(token) }),
      }
      const signed = signRequest({
        request,
        credentials,
        region: 'us-east-1',
        service: 'service',
        at,
        payloadHash: hash,
      })
      assert.deepEqual(headerValues(signed.headers, 'authorization'), [
        `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
      ])
    })
    test(`${name} is accepted as published`, () => {
      const wire = { ...request, headers: [...request.headers, 'X-AMZ-Date', '20150830T123600Z'] }
      if (token !== undefined) wire.headers.push('X-Amz-Security-Token', token)
      const authorization = parseAuthorization(
        `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
      )
      verifySignature({ request: wire, authorization, payloadHash: hash, secretAccessKey, now: at })
      const forged = { ...wire, path: `${wire.path}x` }
      assert.throws(
        () => verifySignature({ request: forged, authorization, payloadHash: hash, secretAccessKey, now: at }),
        InvalidSignature,
      )
    })
  }
})

suite('canonical paths', () => {
  for (const [path, service, canonical] of [
    ['/example1/example2/../..', 's3', '/example1/example2/../..'],
    ['/./', 's3', '/./'],
    ['//example//', 's3', '//example//'],
    ['/example space/', 's3', '/example%20space/'],
    ['/my%20key+a', 's3', '/my%20key%2Ba'],
    ['/a%2fb', 's3', '/a%2Fb'],
    ['/100%', 's3', '/100%25'],
    ['', 's3', '/'],
    ['', 'lambda', '/'],
    ['/2015-03-31/functions/arn%3Aaws%3Alambda', 'lambda', '/2015-03-31/functions/arn%253Aaws%253Alambda'],
    ['/../..', 'service', '/'],
  ] as const) {
    test(`${path || 'nothing'} for ${service} is ${canonical}`, () =>
      assert.equal(canonicalPath(path, service), canonical))
  }
})

suite('canonical queries', () => {
  for (const [query, canonical] of [
    ['', ''],
    ['b&a=1', 'a=1&b='],
    ['a=1=2', 'a=1%3D2'],
    ['q=a+b', 'q=a%20b'],
    ['q=%e1%88%b4', 'q=%E1%88%B4'],
    ['a=2&a=1&a=10', 'a=1&a=10&a=2'],
    ['&&a=%', 'a=%25'],
  ] as const) {
    test(`${query || 'nothing'} is ${canonical || 'nothing'}`, () => assert.equal(canonicalQuery(query), canonical))
  }
})

test('the example of the signing key page gives its key', () => {
  const key = signingKey('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', {
    date: '20120215',
    region: 'us-east-1',
    service: 'iam',
  })
  assert.equal(key.toString('hex'), 'f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d')
})

test('kept signing keys are those of their secret and scope', () => {
  const keys = createSigningKeys()
  for (let day = 0; day < 300; day++) {
    const scope = { date: String(20150000 + day), region: 'us-east-1', service: 's3' }
    assert.deepEqual(keys('a', scope), signingKey('a', scope))
    assert.equal(keys('a', scope), keys('a', scope))
    assert.notDeepEqual(keys('a', scope), keys('b', scope))
  }
})

test('signing again replaces every part of the old signature and signs only what it was told', () => {
  const request: WireRequest = {
    method: 'PUT',
    path: '/bucket/key',
    query: '',
    headers: [
      ...['Host', 's3.amazonaws.com', 'authorization', 'old', 'x-amz-date', 'old', 'X-Amz-Security-Token', 'old'],
      ...['X-Amz-Content-SHA256', 'UNSIGNED-PAYLOAD', 'Expect', '100-continue', 'x-amz-acl', 'private', 'X-Other', '1'],
    ],
  }
  const { headers } = signRequest({
    request,
    credentials: { accessKeyId: 'ASIAX', secretAccessKey, sessionToken: new Secret('token') },
    region: 'eu-west-1',
    service: 's3',
    at,
    payloadHash: 'UNSIGNED-PAYLOAD',
    signedHeaders: ['host', 'x-amz-acl', 'x-amz-date'],
  })
  const [authorization, ...more] = headerValues(headers, 'authorization')
  assert.deepEqual(more, [])
  assert.deepEqual(headerValues(headers, 'x-amz-date'), ['20150830T123600Z'])
  assert.deepEqual(headerValues(headers, 'x-amz-security-token'), ['token'])
  assert.deepEqual(headerValues(headers, 'expect'), ['100-continue'])
  assert.match(
    authorization ?? '',
    /SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token,/,
  )
})

test('any request has a canonical form, which is its own canonical form', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('s3', 'sts'),
      (path, query, service) => {
        const canonical = canonicalPath(path, service)
        assert.match(canonical, /^(\/|$|[\w.~%-])/)
        assert.doesNotMatch(canonical, /[^\w.~%/-]/)
        if (service === 's3') assert.equal(canonicalPath(canonical, 's3'), canonical)
        const once = canonicalQuery(query)
        assert.doesNotMatch(once, /[^\w.~%&=-]/)
        assert.equal(canonicalQuery(once), once)
      },
    ),
  )
})

test("the SDK's own signer gives the same signature for any request", async () => {
  const word = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme-ascii' })
  const segment = word.map((text) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'PUT', 'POST', 'DELETE'),
      fc.array(segment, { maxLength: 4 }),
      fc.dictionary(fc.stringMatching(/^[a-z][a-z-]{0,6}$/), word, { maxKeys: 4 }),
      fc.dictionary(fc.stringMatching(/^x-h[a-z]{1,6}$/), fc.stringMatching(/^[!-~]( {0,2}[!-~]){0,8}$/), {
        maxKeys: 4,
      }),
      fc.constantFrom('s3', 'lambda'),
      async (method, segments, query, extra, service) => {
        const path = `/${segments.join('/')}`
        const body = 'content'
        const host = `${service}.us-east-1.amazonaws.com`
        const hash = sha256Hex(body)
        const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret', sessionToken: 'token' }
        const peer = new SignatureV4({
          service,
          region: 'us-east-1',
          credentials,
          sha256: Sha256,
          uriEscapePath: service !== 's3',
          applyChecksum: service === 's3',
        })
        const signed = await peer.sign(
          { method, protocol: 'https:', hostname: host, path, query, headers: { host, ...extra }, body },
          { signingDate: at },
        )
        const ours = signRequest({
          request: {
            method,
            path,
            query: Object.entries(query)
              .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
              .join('&'),
            headers: ['Host', host, ...Object.entries(extra).flat()],
          },
          credentials: {
            accessKeyId: 'AKID',
            secretAccessKey: new Secret('secret'),
            sessionToken: new Secret('token'),
          },
          region: 'us-east-1',
          service,
          at,
          payloadHash: hash,
        })
        assert.equal(headerValues(ours.headers, 'authorization')[0], signed.headers.authorization)
      },
    ),
    { numRuns: 150 },
  )
})

/** The hash that the SDK's signer asks for. */
class Sha256 {
  readonly #hash
  constructor(secret?: unknown) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as Uint8Array) // as the SDK passes it
  }
  update(data: string | Uint8Array | ArrayBuffer): void {
    this.#hash.update(data instanceof ArrayBuffer ? new Uint8Array(data) : data)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {}
}
