import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { type WatchEvent, WatchEventSchema } from '#gen/access/v1/access_pb.ts'
import { silentLog } from '#log.ts'
import { type CacheChange, openResourceCache, type ResourceCache } from './resource-cache.ts'

const root = mkdtempSync(join(tmpdir(), 'cache-'))
after(() => rmSync(root, { recursive: true }))

/** What stands for Auth: each call of `watch` is a stream that the test writes. */
class Streams {
  readonly revisions: (string | undefined)[] = []
  #waiting = Promise.withResolvers<Stream>()

  readonly watch = (
    _: readonly string[],
    revision: string | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent> => {
    const stream = new Stream(signal)
    this.revisions.push(revision)
    this.#waiting.resolve(stream)
    return stream.read()
  }

  async next(): Promise<Stream> {
    const stream = await this.#waiting.promise
    this.#waiting = Promise.withResolvers()
    return stream
  }
}

class Stream {
  readonly #signal: AbortSignal
  readonly #events: WatchEvent[] = []
  #news = Promise.withResolvers<void>()
  #broken = false

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => this.#news.resolve())
  }

  send(...events: readonly WatchEvent[]): this {
    this.#events.push(...events)
    this.#news.resolve()
    return this
  }

  break(): void {
    this.#broken = true
    this.#news.resolve()
  }

  async *read(): AsyncIterable<WatchEvent> {
    while (!this.#signal.aborted) {
      const event = this.#events.shift()
      if (event !== undefined) yield event
      else if (this.#broken) throw new Error('connection lost')
      else {
        await this.#news.promise
        this.#news = Promise.withResolvers()
      }
    }
  }
}

const lock = (name: string, message = ''): string =>
  JSON.stringify({ kind: 'lock', version: 'v2', metadata: { name }, spec: { target: { user: name }, message } })
const event = (revision: string, value: WatchEvent['event']): WatchEvent =>
  create(WatchEventSchema, { event: value, revision })
const put = (revision: string, json: string): WatchEvent =>
  create(WatchEventSchema, { event: { case: 'put', value: { json } }, revision })
const deleted = (revision: string, name: string): WatchEvent =>
  create(WatchEventSchema, { event: { case: 'deleted', value: { kind: 'lock', name } }, revision })
const snapshotStart = create(WatchEventSchema, { event: { case: 'snapshotStart', value: {} } })
const snapshotEnd = (revision: string): WatchEvent =>
  create(WatchEventSchema, { event: { case: 'snapshotEnd', value: {} }, revision })
const progress = (revision: string): WatchEvent =>
  create(WatchEventSchema, { event: { case: 'progress', value: {} }, revision })

const names = (cache: ResourceCache): string[] => cache.list('lock').map(({ metadata }) => metadata.name)
const nextChange = (cache: ResourceCache, name: string): Promise<CacheChange> =>
  new Promise((resolve) => cache.onChange((change) => change.name === name && resolve(change)))

async function open(
  snapshotFile?: string,
  log = silentLog,
): Promise<{ cache: ResourceCache; streams: Streams; clock: { now: number } }> {
  const streams = new Streams()
  const clock = { now: Date.UTC(2030, 0, 1) }
  const cache = await openResourceCache({
    watch: streams.watch,
    kinds: ['lock'],
    clock: () => new Date(clock.now),
    log,
    ...(snapshotFile === undefined ? {} : { snapshotFile }),
  })
  return { cache, streams, clock }
}

suite('a live copy', () => {
  test('shows a snapshot when it is whole, not before', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const stream = await streams.next()
    stream.send(put('', lock('alice')))
    assert.deepEqual(names(cache), [])
    assert.equal(cache.asOf().getTime(), 0)
    stream.send(put('', lock('bob')), snapshotEnd('7'))
    await cache.ready
    assert.deepEqual(names(cache), ['alice', 'bob'])
    assert.deepEqual(streams.revisions, [undefined])
  })

  test('follows changes and tells who listens', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const stream = (await streams.next()).send(put('', lock('alice')), snapshotEnd('7'))
    await cache.ready
    stream.send(put('8', lock('bob')))
    assert.equal((await nextChange(cache, 'bob')).resource?.metadata.name, 'bob')
    stream.send(deleted('9', 'alice'))
    assert.equal((await nextChange(cache, 'alice')).resource, undefined)
    assert.deepEqual(names(cache), ['bob'])
  })

  test('says once that it is stale, and when it is current again', async () => {
    const said: string[] = []
    const current = Promise.withResolvers<void>()
    const log = {
      ...silentLog,
      warn: (message: string) => void (/stale/.test(message) && said.push(message)),
      info: (message: string) => {
        said.push(message)
        current.resolve()
      },
    }
    const { cache, streams, clock } = await open(undefined, log)
    await using _ = cache
    const stream = (await streams.next()).send(snapshotEnd('7'))
    await cache.ready
    stream.break()
    const brief = await streams.next()
    assert.deepEqual(said, [])
    clock.now += 6_000
    brief.break()
    const second = await streams.next()
    second.break()
    const third = await streams.next()
    third.send(progress('7'))
    await current.promise
    assert.deepEqual(said, [
      'the copy of the cluster state is stale: changes such as new locks are not known here',
      'the copy of the cluster state is current again',
    ])
  })

  test('goes on answering when the stream breaks, and comes back at its revision', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const stream = (await streams.next()).send(put('', lock('alice')), snapshotEnd('7'), put('8', lock('bob')))
    await nextChange(cache, 'bob')
    stream.break()
    const again = await streams.next()
    assert.deepEqual(streams.revisions, [undefined, '8'])
    assert.deepEqual(names(cache), ['alice', 'bob'])
    again.send(deleted('9', 'alice'))
    await nextChange(cache, 'alice')
  })

  test('replaces everything at once when its revision is gone, and reports what is different', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const stream = (await streams.next()).send(put('', lock('alice')), put('', lock('bob')), snapshotEnd('7'))
    await cache.ready
    const seen: string[] = []
    cache.onChange(({ name, resource }) => {
      assert.deepEqual(names(cache), ['bob', 'carol'])
      seen.push(`${name} ${resource === undefined ? 'gone' : 'there'}`)
    })
    const carol = nextChange(cache, 'alice')
    stream.send(snapshotStart, put('', lock('bob')), put('', lock('carol')), snapshotEnd('20'))
    await carol
    assert.deepEqual(seen, ['carol there', 'alice gone'])
  })

  test('forgets a snapshot that broke off, and asks for it anew', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const stream = (await streams.next()).send(put('', lock('alice')), snapshotEnd('7'))
    await cache.ready
    stream.send(snapshotStart, put('', lock('bob'))).break()
    const again = await streams.next()
    assert.deepEqual(names(cache), ['alice'])
    assert.deepEqual(streams.revisions, [undefined, '7'])
    again.send(snapshotStart, put('', lock('carol')), snapshotEnd('9'))
    await nextChange(cache, 'carol')
    assert.deepEqual(names(cache), ['carol'])
  })

  test('is as fresh as its last progress mark', async () => {
    const { cache, streams, clock } = await open()
    await using _ = cache
    const stream = (await streams.next()).send(snapshotEnd('7'))
    await cache.ready
    const first = cache.asOf().getTime()
    clock.now += 60_000
    assert.equal(cache.asOf().getTime(), first)
    stream.send(progress('7'), put('8', lock('alice')))
    await nextChange(cache, 'alice')
    assert.equal(cache.asOf().getTime(), clock.now)
  })

  test('names what it cannot read and keeps it out of the lists', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    const strange = lock('alice').replace('"user":', '"planet":')
    ;(await streams.next()).send(put('', strange), snapshotEnd('7'))
    await cache.ready
    assert.deepEqual(names(cache), [])
    assert.deepEqual([cache.isUnreadable('lock', 'alice'), cache.isUnreadable('lock', 'bob')], [true, false])
  })

  test('begins anew after an event that it does not know', async () => {
    const { cache, streams } = await open()
    await using _ = cache
    ;(await streams.next()).send(snapshotEnd('7'), event('8', { case: undefined }))
    await streams.next()
    assert.deepEqual(streams.revisions, [undefined, undefined])
  })
})

suite('a copy on disk', () => {
  test('serves a member that starts while Auth is away, and says how old it is', async () => {
    const file = join(root, 'a', 'cache.json')
    const first = await open(file)
    ;(await first.streams.next()).send(put('', lock('alice')), snapshotEnd('7'))
    await first.cache.ready
    const asOf = first.cache.asOf()
    await first.cache[Symbol.asyncDispose]()
    assert.equal(statSync(file).mode & 0o777, 0o600)

    const { cache, streams } = await open(file)
    await using _ = cache
    await cache.ready
    assert.deepEqual(names(cache), ['alice'])
    assert.deepEqual(cache.asOf(), asOf)
    await streams.next()
    assert.deepEqual(streams.revisions, ['7'])
  })

  for (const [says, text] of [
    ['is no JSON', 'oops'],
    ['is of another format', '{"format":2}'],
    ['is cut short', '{"format":1,"kinds":["lock"],"revision":"7"}'],
    [
      'holds a document without a name',
      '{"format":1,"kinds":["lock"],"revision":"7","asOf":"2030-01-01T00:00:00Z","documents":["{}"]}',
    ],
  ] as const) {
    test(`that ${says} is left aside`, async () => {
      const file = join(root, `${says}.json`)
      writeFileSync(file, text)
      const { cache, streams } = await open(file)
      await using _ = cache
      await streams.next()
      assert.deepEqual(streams.revisions, [undefined])
      assert.equal(cache.asOf().getTime(), 0)
    })
  }

  test('of other kinds is good to start with, and is then replaced', async () => {
    const file = join(root, 'kinds.json')
    const first = await open(file)
    ;(await first.streams.next()).send(put('', lock('alice')), snapshotEnd('7'))
    await first.cache.ready
    await first.cache[Symbol.asyncDispose]()
    writeFileSync(file, readFileSync(file, 'utf8').replace('["lock"]', '["lock","role"]'))
    const { cache, streams } = await open(file)
    await using _ = cache
    assert.deepEqual(names(cache), ['alice'])
    await streams.next()
    assert.deepEqual(streams.revisions, [undefined])
  })
})
