import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { findLock, type LockTargets } from '#rbac/locks.ts'
import { type Lock, parseLock } from '#resources/lock.ts'
import { openResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { openLiveResources } from './live-resources.ts'
import { createLockIndex } from './lock-index.ts'

const lock = (name: string, target: object): Lock => parseLock({ kind: 'lock', metadata: { name }, spec: { target } })

async function open(...present: readonly Lock[]) {
  const stack = new AsyncDisposableStack()
  const backend = stack.use(await openSqliteBackend({ path: ':memory:', clock: systemClock, log: silentLog }))
  const store = openResourceStore({ backend })
  for (const one of present) await store.create(one)
  const index = createLockIndex()
  const onChange = (_: string, name: string, resource: unknown) => index.change(name, resource as Lock | undefined) // only locks
  const live = stack.use(await openLiveResources({ store, kinds: ['lock'], log: silentLog, onChange }))
  return { store, live, index, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

suite('the locks in memory', () => {
  test('are those of the store from the start, then with every change that is waited for', async () => {
    await using opened = await open(lock('first', { user: 'alice' }))
    const { store, live, index } = opened
    const names = (targets: LockTargets) => index.candidates(targets).map(({ metadata }) => metadata.name)
    assert.deepEqual(names({ user: 'alice' }), ['first'])
    const { metadata } = await store.create(lock('second', { user: 'alice', role: 'ops' }))
    await live.known('lock', 'second', metadata.revision)
    assert.deepEqual(names({ user: 'alice' }), ['first', 'second'])
    const moved = await store.update(lock('second', { server_id: 'host' }))
    await live.known('lock', 'second', moved.metadata.revision)
    assert.deepEqual(names({ user: 'alice' }), ['first'])
    assert.deepEqual(names({ serverId: 'host' }), ['second'])
    await store.delete('lock', 'first')
    await live.known('lock', 'first')
    assert.deepEqual(names({ user: 'alice' }), [])
  })

  test('find the same lock as a look at all of them', async () => {
    const word = fc.constantFrom('a', 'b', 'c')
    const target = fc
      .record(
        {
          user: word,
          role: word,
          mfa_device: word,
          access_request: word,
          server_id: word,
          bot_instance_id: word,
          app_session: word,
          join_token: word,
        },
        { requiredKeys: [] },
      )
      .filter((fields) => Object.keys(fields).length > 0)
    const identity: fc.Arbitrary<LockTargets> = fc.record(
      {
        user: word,
        roles: fc.array(word, { maxLength: 3 }),
        mfaDevice: word,
        accessRequests: fc.array(word, { maxLength: 2 }),
        serverId: word,
        botInstanceId: word,
        appSession: word,
        joinToken: word,
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(target, { maxLength: 6 }),
        fc.array(identity, { maxLength: 20 }),
        async (targets, identities) => {
          const all = targets.map((one, index) => lock(`lock-${index}`, one))
          const index = createLockIndex()
          for (const one of all) index.change(one.metadata.name, one)
          for (const one of identities) {
            const expected = findLock(all, one, new Date()) !== undefined
            assert.equal(findLock(index.candidates(one), one, new Date()) !== undefined, expected)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})
