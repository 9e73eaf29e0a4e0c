import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { generate } from 'otplib'
import { Secret } from '#secret.ts'
import { generateTotpSecret, totpUri, verifyTotp } from './totp.ts'

const now = new Date('2030-01-01T00:00:15Z')
const step = Math.floor(now.getTime() / 30_000)
const secret = generateTotpSecret()
const codeAt = (offset: number): Promise<string> =>
  generate({ secret: secret.reveal(), epoch: now.getTime() / 1000 + offset * 30 })

suite('a code of an authenticator', () => {
  for (const { says, offset, lastStep, answer } of [
    { says: 'of the present step opens', offset: 0, lastStep: 0, answer: step },
    { says: 'of the step before opens', offset: -1, lastStep: 0, answer: step - 1 },
    { says: 'of the step after opens, for clocks that differ', offset: 1, lastStep: 0, answer: step + 1 },
    { says: 'of two steps before is too old', offset: -2, lastStep: 0, answer: undefined },
    { says: 'of two steps after is too new', offset: 2, lastStep: 0, answer: undefined },
    { says: 'opens once', offset: 0, lastStep: step, answer: undefined },
    { says: 'is used up by a later one', offset: -1, lastStep: step, answer: undefined },
    { says: 'opens after an earlier one', offset: 0, lastStep: step - 1, answer: step },
  ]) {
    test(says, async () => {
      assert.equal(await verifyTotp(secret, await codeAt(offset), { now, lastStep }), answer)
    })
  }

  test('fits the vectors of RFC 6238 appendix B (SHA-1, last six digits)', async () => {
    const vector = new Secret('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ') // the ASCII text 12345678901234567890
    for (const [seconds, code] of [
      [59, '287082'],
      [1111111109, '081804'],
      [1111111111, '050471'],
      [1234567890, '005924'],
      [2000000000, '279037'],
      [20000000000, '353130'],
    ] as const) {
      const at = new Date(seconds * 1000)
      assert.equal(await verifyTotp(vector, code, { now: at, lastStep: 0 }), Math.floor(seconds / 30), code)
    }
  })

  test('is six digits and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (code) => {
        fc.pre(!/^\d{6}$/.test(code))
        assert.equal(await verifyTotp(secret, code, { now, lastStep: 0 }), undefined)
      }),
    )
  })
})

test('the URI for authenticators names cluster and user, and a name cannot add parameters', () => {
  assert.equal(
    totpUri({ user: 'alice', cluster: 'example.com', secret: new Secret('ABC') }),
    'otpauth://totp/example.com:alice@example.com?algorithm=SHA1&digits=6&issuer=example.com&period=30&secret=ABC',
  )
  assert.match(totpUri({ user: 'a?secret=X', cluster: 'c', secret }), /^otpauth:\/\/totp\/c:a%3Fsecret%3DX@c\?/)
})

test('two secrets differ and have 20 bytes', () => {
  assert.match(secret.reveal(), /^[A-Z2-7]{32}$/)
  assert.notEqual(generateTotpSecret().reveal(), secret.reveal())
  assert.equal(`${secret}`, '[secret]')
})
