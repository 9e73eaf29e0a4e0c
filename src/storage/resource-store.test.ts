import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { InvalidResource } from '#resources/invalid-resource.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import { ResourceChanged, ResourceExists, ResourceNotFound } from './resource-errors.ts'
import { openResourceStore, type ResourceStore, type StoreEvent } from './resource-store.ts'
import { openSqliteBackend } from './sqlite.ts'

const root = mkdtempSync(join(tmpdir(), 'resource-store-'))
after(() => rmSync(root, { recursive: true }))
let files = 0

function row(says: string, run: (store: ResourceStore, clock: { now: number }) => Promise<void>): void {
  test(says, async () => {
    const clock = { now: Date.UTC(2030, 0, 1) }
    const path = join(root, `${files++}`, 'sqlite.db')
    await using backend = await openSqliteBackend({
      path,
      clock: () => new Date(clock.now),
      log: silentLog,
      keepChanges: 100,
    })
    await run(openResourceStore({ backend }), clock)
  })
}

const lock = (name: string, extra: { message?: string; expires?: string } = {}): Resource => {
  const document = {
    kind: 'lock',
    version: 'v2',
    metadata: { name, ...(extra.expires === undefined ? {} : { expires: extra.expires }) },
    spec: { target: { user: name }, ...(extra.message === undefined ? {} : { message: extra.message }) },
  }
  const parsed = findKind('lock')?.parse(document)
  assert.ok(parsed)
  return parsed
}
const messageOf = (resource: Resource): unknown => (resource.spec as { message?: string }).message

suite('resources are kept by kind and name', () => {
  row('what was created is read, with a revision', async (store) => {
    const created = await store.create(lock('alice'))
    assert.deepEqual(await store.get('lock', 'alice'), created)
    assert.notEqual(created.metadata.revision, undefined)
  })
  row('nothing of the name is an error for get and undefined for find', async (store) => {
    await assert.rejects(store.get('lock', 'alice'), ResourceNotFound)
    assert.equal(await store.find('lock', 'alice'), undefined)
  })
  row('creating what exists is refused', async (store) => {
    await store.create(lock('alice'))
    await assert.rejects(store.create(lock('alice')), ResourceExists)
  })
  row('a document that its kind refuses is not written', async (store) => {
    const wrong = { ...lock('alice'), spec: { target: { user: 'alice' }, surprise: 1 } }
    await assert.rejects(store.create(wrong), InvalidResource)
    assert.equal(await store.find('lock', 'alice'), undefined)
  })
  row('a name with slashes stays within its kind', async (store) => {
    await store.create(lock('../role/access'))
    assert.deepEqual(
      (await store.list('lock')).map(({ metadata }) => metadata.name),
      ['../role/access'],
    )
    assert.deepEqual(await store.list('role'), [])
  })
  row('lists go on after a name', async (store) => {
    for (const name of ['c', 'a/b', 'a', 'b']) await store.create(lock(name))
    const first = await store.list('lock', { limit: 2 })
    const after = first.at(-1)?.metadata.name ?? ''
    const rest = await store.list('lock', { after })
    assert.deepEqual(
      [...first, ...rest].map(({ metadata }) => metadata.name),
      ['a', 'a/b', 'b', 'c'],
    )
  })
  row('expires is kept and acts', async (store, clock) => {
    await store.create(lock('alice', { expires: new Date(clock.now + 1000).toISOString() }))
    assert.ok(await store.find('lock', 'alice'))
    clock.now += 1000
    assert.equal(await store.find('lock', 'alice'), undefined)
  })
})

suite('resources change', () => {
  row('an update with an old revision is refused', async (store) => {
    const first = await store.create(lock('alice'))
    await store.update(lock('alice', { message: 'second' }))
    await assert.rejects(store.update({ ...first }), ResourceChanged)
  })
  row('an update with the present revision, or with none, is kept', async (store) => {
    const first = await store.create(lock('alice'))
    const { spec } = lock('alice', { message: 'second' })
    assert.equal(messageOf(await store.update({ ...first, spec })), 'second')
    assert.equal(messageOf(await store.update(lock('alice', { message: 'third' }))), 'third')
  })
  row('an update of nothing is not found', async (store) => {
    await assert.rejects(store.update(lock('alice')), ResourceNotFound)
    const gone = await store.create(lock('alice'))
    await store.delete('lock', 'alice')
    await assert.rejects(store.update(gone), ResourceNotFound)
  })
  row('upsert says whether it created, also when many do it at once', async (store) => {
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => store.upsert(lock('alice'))))
    assert.equal(outcomes.filter(({ created }) => created).length, 1)
  })
  row('a delete of nothing, or at an old revision, is refused', async (store) => {
    await assert.rejects(store.delete('lock', 'alice'), ResourceNotFound)
    const { metadata } = await store.create(lock('alice'))
    await store.upsert(lock('alice'))
    await assert.rejects(store.delete('lock', 'alice', metadata.revision), ResourceChanged)
    await store.delete('lock', 'alice')
    assert.equal(await store.find('lock', 'alice'), undefined)
  })
})

suite('a watch', () => {
  row('begins with what is there and goes on with every change of its kinds', async (store) => {
    await store.create(lock('alice'))
    const stop = new AbortController()
    const seen: string[] = []
    for await (const event of store.watch(['lock'], undefined, stop.signal)) {
      if (event.type === 'progress') continue
      seen.push(show(event))
      if (event.type === 'snapshot-end') {
        await store.create(lock('bob'))
        await store.delete('lock', 'bob')
      }
      if (event.type === 'deleted') stop.abort()
    }
    assert.deepEqual(seen, ['snapshot-start', 'put lock/alice', 'snapshot-end', 'put lock/bob', 'deleted lock/bob'])
  })
  row('from a revision reports only what came after it', async (store) => {
    const { metadata } = await store.create(lock('alice'))
    await store.create(lock('bob'))
    assert.deepEqual(await until(store, metadata.revision, 'put lock/bob'), ['put lock/bob'])
  })
  row('from a revision that is gone begins anew', async (store) => {
    const { metadata } = await store.create(lock('alice'))
    for (let n = 0; n < 150; n++) await store.upsert(lock('bob'))
    assert.deepEqual(await until(store, metadata.revision, 'snapshot-end'), [
      'snapshot-start',
      'put lock/alice',
      'put lock/bob',
      'snapshot-end',
    ])
  })
})

function show(event: StoreEvent): string {
  if (event.type === 'put') return `put ${event.resource.kind}/${event.resource.metadata.name}`
  return event.type === 'deleted' ? `deleted ${event.kind}/${event.name}` : event.type
}

async function until(store: ResourceStore, revision: string | undefined, last: string): Promise<string[]> {
  const stop = new AbortController()
  const seen: string[] = []
  for await (const event of store.watch(['lock'], revision, stop.signal)) {
    if (event.type !== 'progress') seen.push(show(event))
    if (seen.at(-1) === last) stop.abort()
  }
  return seen
}
