/** What the stock signer signs is accepted, whatever it signs: the two were written apart. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '#clock.ts'
import { AccessKeys } from './credentials.ts'
import { Directory } from './directory.ts'
import { encodePercent } from './percent.ts'
import { type RawRequest, signRaw } from './raw-client.ts'
import { parseClaim, sha256, verifyClaim } from './signature.ts'
import { SignatureProblem } from './signature-problem.ts'

const keys = new AccessKeys(systemClock)
const account = new Directory(systemClock).account('123456789012')
const { accessKeyId, secretAccessKey } = keys.createForUser(account, account.createUser('alice'))
const key = { accessKeyId, secretAccessKey: secretAccessKey.reveal() }

const text = fc.string({
  unit: fc.oneof(fc.constantFrom(...'ab /+%&=?~*\'"();:@$,!é漢😀.'), fc.string({ minLength: 1, maxLength: 1 })),
  maxLength: 12,
})
const query = fc.dictionary(
  text.filter((name) => name !== '' && !/^x-amz-/i.test(name)),
  text,
  { maxKeys: 4 },
)
const value = fc.stringMatching(/^[!-~]([ -~]{0,12}[!-~])?$/)
const headers = fc.dictionary(fc.stringMatching(/^x-amz-meta-[a-z]{1,8}$/), value, { maxKeys: 3 })

/** Verifies as a service would that got these bytes. */
function verify(request: RawRequest, service: string): void {
  const wire = {
    method: request.method ?? 'GET',
    path: request.path ?? '/',
    query: Object.entries(request.query ?? {})
      .map((pair) => pair.map(encodeURIComponent).join('='))
      .join('&'),
    headers: Object.entries(request.headers ?? {}),
  }
  const claim = parseClaim(wire)
  assert.ok(claim)
  const payloadHash = claim.form === 'query' && service === 's3' ? 'UNSIGNED-PAYLOAD' : sha256(request.body ?? '')
  verifyClaim(claim, {
    request: wire,
    payloadHash,
    findKey: (id) => keys.find(id),
    region: 'us-east-1',
    service,
    now: new Date(),
    allowedSkewMs: 300_000,
  })
}

suite('what the stock signer signs', () => {
  const rows = [
    { says: 'in headers, for S3', service: 's3', signing: {} },
    { says: 'in headers, for other services', service: 'lambda', signing: {} },
    { says: 'in the query, for S3', service: 's3', signing: { expiresIn: 60, payload: 'UNSIGNED-PAYLOAD' } },
    { says: 'in the query, for other services', service: 'lambda', signing: { expiresIn: 60 } },
  ]
  for (const { says, service, signing } of rows) {
    test(`${says}, is accepted, and with one more letter in its path it is not`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            text.filter((segment) => !['', '.', '..'].includes(segment)),
            { maxLength: 4 },
          ),
          query,
          headers,
          async (segments, parameters, extra) => {
            const path = `/${segments.map(encodePercent).join('/')}`
            const host = `${service}.us-east-1.amazonaws.com`
            const signed = await signRaw(
              { host, path, query: parameters, headers: extra },
              { key, service, ...signing },
            )
            verify(signed, service)
            assert.throws(
              () => verify({ ...signed, path: `${path}x` }, service),
              (error) => error instanceof SignatureProblem && error.kind === 'mismatch',
            )
          },
        ),
        { numRuns: 60 },
      )
    })
  }
})
