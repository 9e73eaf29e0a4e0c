import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { openRecords } from '#auth/records.ts'
import { InvalidInput, NotFound } from '#errors.ts'
import { silentLog } from '#log.ts'
import { Secret } from '#secret.ts'
import { RevisionConflict } from '#storage/backend-errors.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { createUserTokens, userTokenSchema } from './user-tokens.ts'

async function open() {
  let now = new Date('2030-01-01T00:00:00Z')
  const clock = () => now
  const backend = await openSqliteBackend({ path: ':memory:', clock, log: silentLog })
  const records = openRecords(backend, 'user_tokens', userTokenSchema)
  return {
    backend,
    records,
    tokens: createUserTokens({ records, clock }),
    pass: (ms: number) => {
      now = new Date(now.getTime() + ms)
    },
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  }
}

suite('an invite or reset link', () => {
  test('opens until it expires', async () => {
    await using kept = await open()
    const { token, record } = await kept.tokens.create('alice', 'invite', 0)
    assert.match(token.reveal(), /^[0-9a-f]{32}$/)
    assert.equal(record.expires.getTime() - record.created.getTime(), 3_600_000)
    assert.equal((await kept.tokens.get(token)).user, 'alice')
    kept.pass(3_600_000)
    await assert.rejects(kept.tokens.get(token), NotFound)
  })

  test('gives the same secret to scan each time it is opened', async () => {
    await using kept = await open()
    const { token } = await kept.tokens.create('alice', 'invite', 0)
    const first = (await kept.tokens.get(token)).totpSecret.reveal()
    assert.equal((await kept.tokens.get(token)).totpSecret.reveal(), first)
  })

  test('is used once, also by two at the same time', async () => {
    await using kept = await open()
    const { token } = await kept.tokens.create('alice', 'invite', 0)
    const writes = [await kept.tokens.redeem(token), await kept.tokens.redeem(token)]
    const outcomes = await Promise.allSettled(writes.map((write) => kept.backend.write([write])))
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    const [failed] = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.ok(failed?.reason instanceof RevisionConflict)
    await assert.rejects(kept.tokens.get(token), NotFound)
  })

  test('makes earlier ones of the user void', async () => {
    await using kept = await open()
    const { token: first } = await kept.tokens.create('alice', 'reset', 0)
    const { token: other } = await kept.tokens.create('bob', 'reset', 0)
    await kept.tokens.create('alice', 'reset', 0)
    await assert.rejects(kept.tokens.get(first), NotFound)
    assert.equal((await kept.tokens.get(other)).user, 'bob')
  })

  test('is nowhere in the state', async () => {
    await using kept = await open()
    const { token } = await kept.tokens.create('alice', 'invite', 0)
    const { items } = await kept.backend.list('/')
    for (const { key, value } of items) {
      assert.ok(!key.includes(token.reveal()) && !Buffer.from(value).includes(token.reveal()))
    }
  })

  for (const { says, text } of [
    { says: 'an unknown one', text: '0'.repeat(32) },
    { says: 'an empty one', text: '' },
    { says: 'one that is no token', text: '../../users/alice' },
  ]) {
    test(`${says} is refused with the text of an expired one`, async () => {
      await using kept = await open()
      await assert.rejects(kept.tokens.get(new Secret(text)), /it expired, or it was used already/)
    })
  }

  for (const { says, purpose, hours, accepted } of [
    { says: 'an invite may live 48 hours', purpose: 'invite', hours: 48, accepted: true },
    { says: 'an invite may not live 49 hours', purpose: 'invite', hours: 49, accepted: false },
    { says: 'a reset may live 24 hours', purpose: 'reset', hours: 24, accepted: true },
    { says: 'a reset may not live 25 hours', purpose: 'reset', hours: 25, accepted: false },
    { says: 'no link lives less than a minute', purpose: 'invite', hours: 0.001, accepted: false },
    { says: 'nor less than nothing', purpose: 'invite', hours: -1, accepted: false },
  ] as const) {
    test(says, async () => {
      await using kept = await open()
      const create = kept.tokens.create('alice', purpose, hours * 3_600_000)
      if (accepted) await create
      else await assert.rejects(create, InvalidInput)
    })
  }
})
