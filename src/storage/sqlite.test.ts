import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { after, suite, test } from 'node:test'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { backendConformance } from './backend.conformance.ts'
import type { Backend } from './backend.ts'
import { BackendLocked, UnknownFormat } from './backend-errors.ts'
import { openSqliteBackend } from './sqlite.ts'

const root = mkdtempSync(join(tmpdir(), 'storage-'))
after(() => rmSync(root, { recursive: true }))
let files = 0
const freshPath = (): string => join(root, `${files++}`, 'backend', 'sqlite.db')
const open = (path: string): Promise<Backend> => openSqliteBackend({ path, clock: systemClock, log: silentLog })

backendConformance('SQLite', (clock) =>
  openSqliteBackend({ path: freshPath(), clock, log: silentLog, keepChanges: 500 }),
)

suite('a SQLite file', () => {
  test('and its directory belong to their owner alone, also where the file was too open', async () => {
    const path = freshPath()
    await (await open(path))[Symbol.asyncDispose]()
    chmodSync(path, 0o644)
    await using backend = await open(path)
    await backend.write([{ key: '/a', value: Buffer.from('1') }])
    for (const file of [path, `${path}-wal`]) assert.equal(statSync(file).mode & 0o777, 0o600, file)
    assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  })

  test('keeps items, revisions and the change log when it is opened again', async () => {
    const path = freshPath()
    let revision = ''
    {
      await using backend = await open(path)
      revision = (await backend.list('/')).revision
      await backend.write([{ key: '/a', value: Buffer.from('1') }])
    }
    await using backend = await open(path)
    const stop = new AbortController()
    for await (const event of backend.watch('/', revision, stop.signal)) {
      assert.equal(event.type, 'put')
      stop.abort()
    }
    assert.equal((await backend.get('/a'))?.revision, (await backend.list('/')).revision)
  })

  test('that this process has open already is refused', async () => {
    const path = freshPath()
    await using backend = await open(path)
    await assert.rejects(open(path), BackendLocked)
    await assert.rejects(open(path), BackendLocked)
    await backend.write([{ key: '/a', value: Buffer.from('1') }])
  })

  test('that another process owns is refused with its process id and what to do', async () => {
    const path = freshPath()
    await using writer = await startWriter(path)
    await assert.rejects(
      open(path),
      (error) =>
        error instanceof BackendLocked &&
        error.message === `the storage file ${path} is in use by process ${writer.pid}` &&
        /stop process \d+/.test(error.hint),
    )
  })

  test('of a newer format is refused and left as it was', async () => {
    const path = freshPath()
    await (await open(path))[Symbol.asyncDispose]()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA user_version = 9')
    db.close()
    await assert.rejects(open(path), (error) => error instanceof UnknownFormat && /has format 9/.test(error.message))
    const again = new DatabaseSync(path)
    assert.deepEqual({ ...again.prepare('PRAGMA user_version').get() }, { user_version: 9 })
    again.close()
  })

  test('that is something else is refused by name', async () => {
    const path = join(root, 'notes.txt')
    writeFileSync(path, 'these are my notes, and they are long enough to look like a page of something else'.repeat(20))
    await assert.rejects(
      open(path),
      (error) => error instanceof UnknownFormat && /is not a storage file/.test(error.message),
    )
  })

  test('loses nothing that was acknowledged when its process is killed', async () => {
    const path = freshPath()
    for (let round = 0; round < 3; round++) {
      const writer = await startWriter(path)
      const acknowledged = await writer.killAfter(20)
      await using backend = await open(path)
      const { items } = await backend.list(`/round/${writer.pid}/`)
      const kept = new Set(items.map(({ key }) => key))
      for (const key of acknowledged) assert.ok(kept.has(key), `${key} was lost`)
      // A write of two keys is kept whole or not at all.
      const pairs = (await backend.list(`/pair/${writer.pid}/`)).items.map(({ key }) => key.slice(0, -2))
      assert.equal(pairs.length, 2 * new Set(pairs).size)
      await backend.write([{ key: `/after/${round}`, value: Buffer.from('sound') }])
    }
  })
})

interface Writer extends AsyncDisposable {
  readonly pid: number
  /** Kills it with SIGKILL after that many acknowledged writes and gives the keys that it had acknowledged. */
  killAfter(count: number): Promise<readonly string[]>
}

/** A process that opens the file, then writes as fast as it can and prints each key when it is on disk. */
async function startWriter(path: string): Promise<Writer> {
  const source = `
    import { openSqliteBackend } from ${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)}
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
    const backend = await openSqliteBackend({ path: ${JSON.stringify(path)}, clock: () => new Date(), log })
    const value = Buffer.alloc(512)
    console.log('open')
    async function write(lane) {
      for (let n = 0; ; n++) {
        const key = '/round/' + process.pid + '/' + lane + '-' + n
        const pair = '/pair/' + process.pid + '/' + lane + '-' + n
        await backend.write([{ key, value }, { key: pair + '/a', value }, { key: pair + '/b', value }])
        console.log(key)
      }
    }
    await Promise.all([write(0), write(1), write(2), write(3)])
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'open')
  return {
    pid: child.pid ?? 0,
    async killAfter(count) {
      const keys: string[] = []
      for (;;) {
        const { value, done } = await lines.next()
        if (done === true) return keys
        keys.push(value)
        if (keys.length === count) child.kill('SIGKILL')
      }
    },
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      if (child.kill('SIGKILL')) await exited
    },
  }
}
