import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { silentLog } from '#log.ts'
import { RevisionConflict } from './backend-errors.ts'
import { openPrivateStore, privatePath } from './private-store.ts'
import { openSqliteBackend } from './sqlite.ts'

const root = mkdtempSync(join(tmpdir(), 'private-store-'))
after(() => rmSync(root, { recursive: true }))

test('a private value is read as it was put, until it expires', async () => {
  let now = Date.UTC(2030, 0, 1)
  await using backend = await openSqliteBackend({ path: join(root, 'a'), clock: () => new Date(now), log: silentLog })
  const store = openPrivateStore({ backend })
  const put = await store.put('users/alice/token', { secret: 'x' }, { expires: new Date(now + 1000) })
  assert.deepEqual(await store.get('users/alice/token'), put)
  assert.deepEqual(await store.list('users/alice/'), [put])
  now += 1000
  assert.equal(await store.get('users/alice/token'), undefined)
})

test('of several who swap the same revision, one wins', async () => {
  await using backend = await openSqliteBackend({ path: join(root, 'b'), clock: () => new Date(), log: silentLog })
  const store = openPrivateStore({ backend })
  const first = await store.compareAndSwap('attempts', 'absent', 1)
  await assert.rejects(store.compareAndSwap('attempts', 'absent', 1), RevisionConflict)
  const outcomes = await Promise.allSettled([2, 3, 4].map((n) => store.compareAndSwap('attempts', first.revision, n)))
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal(await store.delete('attempts'), true)
  assert.equal(await store.delete('attempts'), false)
})

test('a name from outside cannot reach another path', () => {
  assert.equal(privatePath('users', '../bob/password', 'password'), 'users/..%2Fbob%2Fpassword/password')
})
