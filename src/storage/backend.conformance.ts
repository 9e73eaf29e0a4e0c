/** What every implementation of `Backend` does: the sentences of `backend.ts`, one by one. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Clock } from '#clock.ts'
import type { Backend, Change, Item, Progress } from './backend.ts'
import { RevisionCompacted, RevisionConflict } from './backend-errors.ts'

/** Opens a fresh, empty backend that keeps at least 100 and at most 1,000 changes for watchers. */
export type OpenBackend = (clock: Clock) => Promise<Backend>

/** Registers the rows for one implementation. */
export function backendConformance(name: string, open: OpenBackend): void {
  const row = (says: string, run: (backend: Backend, clock: { now: number }) => Promise<void>): void => {
    test(says, async () => {
      const clock = { now: Date.UTC(2030, 0, 1) }
      await using backend = await open(() => new Date(clock.now))
      await run(backend, clock)
    })
  }

  suite(`${name} keeps items`, () => {
    row('what was written is read', async (backend) => {
      const [written] = await backend.write([{ key: '/a', value: bytes('one') }])
      assert.deepEqual(await backend.get('/a'), written)
      assert.equal(textOf(written), 'one')
    })
    row('a key that was never written is undefined', async (backend) => {
      assert.equal(await backend.get('/a'), undefined)
    })
    row('any bytes and any text survive', async (backend) => {
      const value = Uint8Array.from({ length: 256 }, (_, index) => index)
      await backend.write([
        { key: '/ключ/𝒳', value },
        { key: '/empty', value: new Uint8Array() },
      ])
      assert.deepEqual([...((await backend.get('/ключ/𝒳'))?.value ?? [])], [...value])
      assert.equal((await backend.get('/empty'))?.value.length, 0)
    })
    row('a later change of the written bytes by the caller changes nothing', async (backend) => {
      const value = bytes('one')
      const writing = backend.write([{ key: '/a', value }])
      value.fill(0)
      await writing
      assert.equal(textOf(await backend.get('/a')), 'one')
    })
    row('each write gives a new revision', async (backend) => {
      const first = await put(backend, '/a', '1')
      const second = await put(backend, '/a', '1')
      assert.notEqual(first.revision, second.revision)
    })
    row('many concurrent writes are all kept', async (backend) => {
      await Promise.all(Array.from({ length: 300 }, (_, n) => put(backend, `/many/${n}`, String(n))))
      assert.equal((await backend.list('/many/')).items.length, 300)
    })
  })

  suite(`${name} writes on a condition`, () => {
    row('"absent" creates once', async (backend) => {
      const create = (): Promise<unknown> => backend.write([{ key: '/a', value: bytes('x'), ifRevision: 'absent' }])
      await create()
      await assert.rejects(create(), (error) => error instanceof RevisionConflict && error.key === '/a')
    })
    row('of many who create at the same time, one succeeds', async (backend) => {
      const create = (n: number): Promise<unknown> =>
        backend.write([{ key: '/a', value: bytes(String(n)), ifRevision: 'absent' }])
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => create(n)))
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    })
    row('the right revision replaces', async (backend) => {
      const { revision } = await put(backend, '/a', '1')
      await backend.write([{ key: '/a', value: bytes('2'), ifRevision: revision }])
      assert.equal(textOf(await backend.get('/a')), '2')
    })
    row('an old revision is refused and names what is there', async (backend) => {
      const { revision: old } = await put(backend, '/a', '1')
      const { revision } = await put(backend, '/a', '2')
      await assert.rejects(
        backend.write([{ key: '/a', value: bytes('3'), ifRevision: old }]),
        (error) => error instanceof RevisionConflict && error.found === revision,
      )
      assert.equal(textOf(await backend.get('/a')), '2')
    })
    row('a revision of something that is gone is refused', async (backend) => {
      const { revision } = await put(backend, '/a', '1')
      await backend.delete('/a')
      await assert.rejects(backend.write([{ key: '/a', value: bytes('2'), ifRevision: revision }]), RevisionConflict)
    })
    row('one condition that fails keeps all writes of its list out', async (backend) => {
      await put(backend, '/b', '1')
      const before = await backend.list('/')
      await assert.rejects(
        backend.write([
          { key: '/a', value: bytes('x') },
          { key: '/b', value: bytes('x'), ifRevision: 'absent' },
        ]),
        RevisionConflict,
      )
      assert.deepEqual(await backend.list('/'), before)
    })
    row('a list that fails does not take its neighbours with it', async (backend) => {
      await put(backend, '/b', '1')
      const outcomes = await Promise.allSettled([
        put(backend, '/a', '1'),
        backend.write([{ key: '/b', value: bytes('x'), ifRevision: 'absent' }]),
        put(backend, '/c', '1'),
      ])
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.deepEqual(await keys(backend, '/'), ['/a', '/b', '/c'])
    })
  })

  suite(`${name} deletes`, () => {
    row('says whether something was deleted', async (backend) => {
      await put(backend, '/a', '1')
      assert.equal(await backend.delete('/a'), true)
      assert.equal(await backend.delete('/a'), false)
      assert.equal(await backend.get('/a'), undefined)
    })
    row('only at the right revision when one is given', async (backend) => {
      const { revision: old } = await put(backend, '/a', '1')
      const { revision } = await put(backend, '/a', '2')
      await assert.rejects(backend.delete('/a', old), RevisionConflict)
      assert.equal(await backend.delete('/a', revision), true)
      await assert.rejects(backend.delete('/a', revision), RevisionConflict)
    })
  })

  suite(`${name} lists`, () => {
    row('by prefix, in the order of the bytes of the keys', async (backend) => {
      for (const key of ['/r/b', '/r/a', '/r/B', '/r/é', '/r/𝒳', '/r', '/s/a', '/r0']) await put(backend, key, '')
      assert.deepEqual(await keys(backend, '/r/'), ['/r/B', '/r/a', '/r/b', '/r/é', '/r/𝒳'])
    })
    row('in pages without gaps or repeats', async (backend) => {
      for (let n = 0; n < 7; n++) await put(backend, `/p/${n}`, '')
      const seen: string[] = []
      for (let after: string | undefined; ; ) {
        const { items } = await backend.list('/p/', { limit: 3, ...(after === undefined ? {} : { after }) })
        seen.push(...items.map(({ key }) => key))
        after = items.at(-1)?.key
        if (items.length < 3) break
      }
      assert.deepEqual(seen, ['/p/0', '/p/1', '/p/2', '/p/3', '/p/4', '/p/5', '/p/6'])
    })
    row('nothing as an empty list with a revision to watch from', async (backend) => {
      const { items, revision } = await backend.list('/none/')
      assert.deepEqual(items, [])
      await using watch = follow(backend, '/none/', revision)
      await put(backend, '/none/a', '1')
      assert.equal(await watch.next(), 'put /none/a 1')
    })
    row('a key before the prefix as "after" leaves out nothing', async (backend) => {
      await put(backend, '/p/a', '')
      const { items } = await backend.list('/p/', { after: '/a' })
      assert.deepEqual(
        items.map(({ key }) => key),
        ['/p/a'],
      )
    })
  })

  suite(`${name} expires items`, () => {
    row('at once for get, list and conditional writes', async (backend, clock) => {
      const expires = new Date(clock.now + 1000)
      await backend.write([{ key: '/a', value: bytes('1'), expires }])
      assert.deepEqual((await backend.get('/a'))?.expires, expires)
      clock.now += 999
      assert.ok(await backend.get('/a'))
      clock.now += 1
      assert.equal(await backend.get('/a'), undefined)
      assert.deepEqual(await keys(backend, '/'), [])
      assert.equal(await backend.delete('/a'), false)
      await backend.write([{ key: '/a', value: bytes('2'), ifRevision: 'absent' }])
      assert.equal(textOf(await backend.get('/a')), '2')
    })
    row('and reports them as deletes', async (backend, clock) => {
      const { revision } = await backend.list('/')
      await backend.write([{ key: '/a', value: bytes('1'), expires: new Date(clock.now + 1000) }])
      await using watch = follow(backend, '/', revision)
      assert.equal(await watch.next(), 'put /a 1')
      clock.now += 1000
      assert.equal(await watch.next(), 'delete /a')
    })
    row('a write without expiry keeps the item that had one', async (backend, clock) => {
      await backend.write([{ key: '/a', value: bytes('1'), expires: new Date(clock.now + 1000) }])
      await put(backend, '/a', '2')
      clock.now += 5000
      assert.equal(textOf(await backend.get('/a')), '2')
    })
    row('an item that is written expired is never seen', async (backend, clock) => {
      await backend.write([{ key: '/a', value: bytes('1'), expires: new Date(clock.now - 1) }])
      assert.equal(await backend.get('/a'), undefined)
    })
  })

  suite(`${name} watches`, () => {
    row('every change after the revision, in order, under the prefix alone', async (backend) => {
      await put(backend, '/w/before', '0')
      const { revision } = await backend.list('/w/')
      await put(backend, '/w/a', '1')
      await put(backend, '/x/a', '1')
      await using watch = follow(backend, '/w/', revision)
      await put(backend, '/w/a', '2')
      await backend.delete('/w/a')
      await backend.delete('/w/a')
      await put(backend, '/w/b', '3')
      assert.deepEqual(
        [await watch.next(), await watch.next(), await watch.next(), await watch.next()],
        ['put /w/a 1', 'put /w/a 2', 'delete /w/a', 'put /w/b 3'],
      )
    })
    row('goes on from the revision of any change', async (backend) => {
      const { revision } = await backend.list('/')
      await backend.write(['a', 'b', 'c'].map((name) => ({ key: `/${name}`, value: bytes(name) })))
      const changes = await collect(backend, '/', revision, 3)
      const middle = changes[1]
      const rest = await collect(backend, '/', middle?.type === 'put' ? middle.item.revision : '', 1)
      assert.deepEqual(rest.map(show), ['put /c c'])
    })
    row('marks progress at least every 500 ms', async (backend) => {
      const { revision } = await backend.list('/')
      const stop = new AbortController()
      let last = performance.now()
      let marks = 0
      for await (const event of backend.watch('/', revision, stop.signal)) {
        const gap = performance.now() - last
        last = performance.now()
        assert.equal(event.type, 'progress')
        assert.ok(gap < 900, `${gap} ms`) // 500 and what a busy machine adds
        if (++marks === 3) stop.abort()
      }
    })
    row('a progress mark is a revision to go on from', async (backend) => {
      const { revision } = await backend.list('/')
      await put(backend, '/a', '1')
      const stop = new AbortController()
      let seen = ''
      let at = ''
      for await (const event of backend.watch('/', revision, stop.signal)) {
        if (event.type !== 'progress') seen = show(event)
        else if (seen !== '') {
          at = event.revision
          stop.abort()
        }
      }
      await put(backend, '/b', '2')
      assert.deepEqual((await collect(backend, '/', at, 1)).map(show), ['put /b 2'])
    })
    row('ends quietly when its signal aborts, and at once when it was aborted before', async (backend) => {
      for await (const event of backend.watch('/', '0', AbortSignal.abort())) assert.fail(event.type)
    })
    row('a revision that is no longer kept is refused', async (backend) => {
      const { revision } = await backend.list('/')
      for (let n = 0; n < 1200; n += 100) {
        await backend.write(Array.from({ length: 100 }, (_, m) => ({ key: `/c/${m}`, value: bytes(`${n}`) })))
      }
      await assert.rejects(collect(backend, '/', revision, 1), RevisionCompacted)
    })
    row('a revision that has not been reached, or is none, is refused', async (backend) => {
      const { revision } = await put(backend, '/a', '1')
      await assert.rejects(collect(backend, '/', `${revision}0`, 1), RevisionCompacted)
      await assert.rejects(collect(backend, '/', 'x', 1), RevisionCompacted)
    })
    row('a slow reader misses nothing', async (backend) => {
      const { revision } = await backend.list('/')
      const seen: string[] = []
      const stop = new AbortController()
      for await (const event of backend.watch('/s/', revision, stop.signal)) {
        if (event.type === 'progress') {
          if (seen.length === 0) for (let n = 0; n < 90; n++) await put(backend, `/s/${n}`, `${n}`)
          continue
        }
        seen.push(show(event))
        if (seen.length === 90) stop.abort()
      }
      assert.deepEqual(
        seen,
        Array.from({ length: 90 }, (_, n) => `put /s/${n} ${n}`),
      )
    })
    row('disposing ends watches and later calls with an error', async (backend) => {
      const { revision } = await backend.list('/')
      const ended = assert.rejects(collect(backend, '/', revision, 1), { code: 'unavailable' })
      await backend[Symbol.asyncDispose]()
      await ended
      await assert.rejects(backend.get('/a'), { code: 'unavailable' })
    })
  })
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (item: Item | undefined): string | undefined => item && new TextDecoder().decode(item.value)
const keys = async (backend: Backend, prefix: string): Promise<string[]> =>
  (await backend.list(prefix)).items.map(({ key }) => key)

async function put(backend: Backend, key: string, value: string): Promise<Item> {
  const [item] = await backend.write([{ key, value: bytes(value) }])
  assert.ok(item)
  return item
}

function show(change: Change | Progress): string {
  if (change.type === 'put') return `put ${change.item.key} ${textOf(change.item)}`
  return change.type === 'delete' ? `delete ${change.key}` : 'progress'
}

async function collect(backend: Backend, prefix: string, revision: string, count: number): Promise<Change[]> {
  const changes: Change[] = []
  const stop = new AbortController()
  for await (const event of backend.watch(prefix, revision, stop.signal)) {
    if (event.type !== 'progress') changes.push(event)
    if (changes.length === count) stop.abort()
  }
  return changes
}

/** A watch whose changes are taken one by one. */
function follow(backend: Backend, prefix: string, revision: string): AsyncDisposable & { next(): Promise<string> } {
  const stop = new AbortController()
  const events = backend.watch(prefix, revision, stop.signal)[Symbol.asyncIterator]()
  return {
    async next() {
      for (;;) {
        const { value, done } = await events.next()
        if (done === true) throw new Error('the watch has ended')
        if (value.type !== 'progress') return show(value)
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await events.return?.()
    },
  }
}
