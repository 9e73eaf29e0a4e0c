import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { InvalidInput, LimitExceeded } from '#errors.ts'
import { Secret } from '#secret.ts'
import { checkNewPassword, createPasswordHasher } from './password.ts'

const hasher = createPasswordHasher()
const right = new Secret('correct horse battery')

suite('a password', () => {
  test('opens with its own hash and nothing else does', async () => {
    const hash = await hasher.hash(right)
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    assert.equal(await hasher.verify(right, hash), true)
    assert.equal(await hasher.verify(new Secret('correct horse batterz'), hash), false)
    assert.equal(await hasher.verify(new Secret(''), hash), false)
  })

  test('has another hash each time', async () => {
    assert.notEqual(await hasher.hash(right), await hasher.hash(right))
  })

  test('is the same password whichever way the keyboard composes its letters', async () => {
    const hash = await hasher.hash(new Secret('schl\u00fcssel-bund'))
    assert.equal(await hasher.verify(new Secret('schlu\u0308ssel-bund'), hash), true)
  })

  test('of a user that does not exist opens nothing', async () => {
    assert.equal(await hasher.verify(right, undefined), false)
  })

  for (const { says, hash } of [
    { says: 'an empty hash', hash: '' },
    {
      says: 'another function',
      hash: '$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    },
    {
      says: 'memory without end',
      hash: '$argon2id$v=19$m=9999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    },
    {
      says: 'passes without end',
      hash: '$argon2id$v=19$m=19456,t=99,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    },
    {
      says: 'no lanes',
      hash: '$argon2id$v=19$m=19456,t=2,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    },
  ]) {
    test(`with ${says} in its record opens nothing and harms nothing`, async () => {
      assert.equal(await hasher.verify(right, hash), false)
    })
  }

  test('more logins at once than may wait are refused', async () => {
    const small = createPasswordHasher({ concurrency: 1, queue: 1 })
    const [first, second, third] = await Promise.allSettled([small.hash(right), small.hash(right), small.hash(right)])
    assert.equal(first.status, 'fulfilled')
    assert.equal(second.status, 'fulfilled')
    assert.ok(third.status === 'rejected' && third.reason instanceof LimitExceeded)
    await small.hash(right)
  })
})

suite('a new password', () => {
  for (const { says, password, accepted } of [
    { says: '11 bytes are too few', password: 'a'.repeat(11), accepted: false },
    { says: '12 bytes are enough', password: 'a'.repeat(12), accepted: true },
    { says: '128 bytes are not too many', password: 'a'.repeat(128), accepted: true },
    { says: '129 bytes are too many', password: 'a'.repeat(129), accepted: false },
    { says: 'bytes count, not letters', password: 'äöüäöü', accepted: true },
    { says: 'an empty one is refused', password: '', accepted: false },
  ]) {
    test(says, () => {
      if (accepted) checkNewPassword(new Secret(password))
      else assert.throws(() => checkNewPassword(new Secret(password)), InvalidInput)
    })
  }

  test('is never in the text of the error', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 4, maxLength: 8 }), (password) => {
        try {
          checkNewPassword(new Secret(`\u0001${password}`))
          assert.fail('too short')
        } catch (error) {
          assert.ok(error instanceof InvalidInput && !error.message.includes(`\u0001${password}`))
        }
      }),
    )
  })
})
