import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { systemClock } from '#clock.ts'
import { InvalidInput } from '#errors.ts'
import { silentLog } from '#log.ts'
import type { AuthPreference } from '#resources/cluster-config.ts'
import { openResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import type { AuthConfig } from './auth-config.ts'
import { applySettings, applyStaticTokens, createPresets, settleCluster } from './first-start.ts'

async function open() {
  const backend = await openSqliteBackend({ path: ':memory:', clock: systemClock, log: silentLog })
  return {
    backend,
    store: openResourceStore({ backend }),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  }
}
const config = (more: Partial<AuthConfig>): AuthConfig => ({
  listen: { host: '127.0.0.1', port: 0 },
  publicAddrs: [],
  tokens: [],
  settings: {},
  ...more,
})

suite('the name of a cluster', () => {
  test('is fixed at the first start', async () => {
    await using state = await open()
    assert.equal(
      (await settleCluster(state.backend, { name: 'one.example', hostId: 'a' }, silentLog)).name,
      'one.example',
    )
    const again = await settleCluster(state.backend, { name: 'two.example', hostId: 'b' }, silentLog)
    assert.deepEqual(again, { name: 'one.example', hostId: 'a' })
  })

  for (const name of ['', 'Example', 'a b', '-a', 'a..b', 'a/b', 'x'.repeat(151), 'a.', '*.example']) {
    test(`cannot be ${JSON.stringify(name.slice(0, 20))}`, async () => {
      await using state = await open()
      await assert.rejects(settleCluster(state.backend, { name, hostId: 'a' }, silentLog), InvalidInput)
    })
  }
})

test('preset roles are made once, and one of the same name stays as it is', async () => {
  await using state = await open()
  await createPresets(state.backend, state.store)
  await state.store.delete('role', 'editor')
  await createPresets(state.backend, state.store)
  assert.deepEqual(
    (await state.store.list('role')).map(({ metadata }) => metadata.name),
    ['access', 'auditor'],
  )
})

suite('settings', () => {
  const read = async (state: Awaited<ReturnType<typeof open>>): Promise<AuthPreference> =>
    state.store.get<AuthPreference>('cluster_auth_preference', 'cluster-auth-preference')
  const origin = (preference: AuthPreference) => preference.metadata.labels?.['teleport.dev/origin']

  test('have defaults, then what the file says, then defaults again', async () => {
    await using state = await open()
    await applySettings(state.store, config({}))
    assert.equal(origin(await read(state)), 'defaults')
    await applySettings(state.store, config({ settings: { cluster_auth_preference: { locking_mode: 'strict' } } }))
    assert.deepEqual([origin(await read(state)), (await read(state)).spec.locking_mode], ['config-file', 'strict'])
    await applySettings(state.store, config({}))
    assert.deepEqual([origin(await read(state)), (await read(state)).spec.locking_mode], ['defaults', 'best_effort'])
  })

  test('that were changed in the cluster stay when the file says nothing', async () => {
    await using state = await open()
    await applySettings(state.store, config({}))
    const { revision: _, ...metadata } = (await read(state)).metadata
    const changed = { ...(await read(state)), metadata: { ...metadata, labels: { 'teleport.dev/origin': 'dynamic' } } }
    await state.store.upsert({ ...changed, spec: { ...changed.spec, message_of_the_day: 'kept' } })
    await applySettings(state.store, config({}))
    assert.equal((await read(state)).spec.message_of_the_day, 'kept')
  })
})

suite('static tokens', () => {
  const names = async (state: Awaited<ReturnType<typeof open>>): Promise<string[]> =>
    (await state.store.list('token')).map(({ metadata }) => metadata.name)

  test('come and go with the file, and others stay', async () => {
    await using state = await open()
    await applyStaticTokens(state.store, config({ tokens: ['app,proxy:one', 'app:two:with:colons'] }))
    assert.deepEqual(await names(state), ['one', 'two:with:colons'])
    await applyStaticTokens(state.store, config({ tokens: ['app:one'] }))
    assert.deepEqual(await names(state), ['one'])
  })

  test('may stand in a file, one in each line', async () => {
    await using state = await open()
    const dir = await mkdtemp(join(tmpdir(), 'auth-tokens-'))
    try {
      await writeFile(join(dir, 'tokens'), 'first\n\n  second  \n')
      await applyStaticTokens(state.store, config({ tokens: [`app:${join(dir, 'tokens')}`] }))
      assert.deepEqual(await names(state), ['first', 'second'])
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  for (const text of ['no-colon-and-a-secret-value', ':value', 'app:', 'app:/no/such/file', 'pilot:value']) {
    test(`cannot be ${JSON.stringify(text)}, and the error does not tell a secret`, async () => {
      await using state = await open()
      await assert.rejects(applyStaticTokens(state.store, config({ tokens: [text] })), (error: unknown) => {
        assert.ok(error instanceof InvalidInput)
        assert.doesNotMatch(error.message, /no-colon-and-a-secret/)
        return true
      })
    })
  }
})
