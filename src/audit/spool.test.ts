import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { auditEvent } from './codes.ts'
import type { AuditEvent } from './event.ts'
import { openSqliteAuditLog } from './log-sqlite.ts'
import { type Deliver, openSpool, type Spool, SpoolFull } from './spool.ts'

const root = mkdtempSync(join(tmpdir(), 'spool-'))
after(() => rmSync(root, { recursive: true }))
let files = 0
const freshPath = (): string => join(root, `${files++}`, 'spool')
const open = (path: string, deliver: Deliver, maxBytes?: number): Promise<Spool> =>
  openSpool({ path, deliver, clock: systemClock, log: silentLog, ...(maxBytes === undefined ? {} : { maxBytes }) })

const call = (fields: Record<string, unknown> = {}): AuditEvent =>
  auditEvent('app.session.request', fields, { clock: systemClock, cluster: 'example.com' })

/** The far end: keeps what it gets, and can be away. */
function receiver(): {
  readonly got: AuditEvent[]
  isAway: boolean
  readonly deliver: Deliver
  readonly tried: () => Promise<void>
} {
  let attempt = Promise.withResolvers<void>()
  const state = {
    got: [] as AuditEvent[],
    isAway: false,
    tried: () => attempt.promise,
    deliver: async (events: readonly AuditEvent[]) => {
      attempt.resolve()
      attempt = Promise.withResolvers()
      if (state.isAway) throw new Error('away')
      state.got.push(...events)
      return { refused: {} }
    },
  }
  return state
}
const drained = (spool: Spool): Promise<void> => spool.drain(AbortSignal.timeout(5000))

suite('a spool', () => {
  test('delivers each event once and in order', async () => {
    const far = receiver()
    await using spool = await open(freshPath(), far.deliver)
    const events = Array.from({ length: 700 }, (_, n) => call({ n }))
    await Promise.all(events.map((event) => spool.emit(event)))
    await drained(spool)
    assert.deepEqual(far.got, events)
    assert.equal(spool.pending(), 0)
  })

  test('keeps events while the log is away, over restarts, and delivers them then', async () => {
    const path = freshPath()
    const far = receiver()
    far.isAway = true
    const events = [call(), call()]
    {
      await using spool = await open(path, far.deliver)
      for (const event of events) await spool.emit(event)
      assert.equal(spool.pending(), 2)
    }
    far.isAway = false
    await using spool = await open(path, far.deliver)
    await drained(spool)
    assert.deepEqual(far.got, events)
  })

  test('tries again by itself when a delivery fails', async () => {
    const far = receiver()
    far.isAway = true
    await using spool = await open(freshPath(), far.deliver)
    const tried = far.tried()
    await spool.emit(call())
    await tried
    far.isAway = false
    await drained(spool)
    assert.equal(far.got.length, 1)
  })

  test('delivers nothing twice after a restart', async () => {
    const path = freshPath()
    const far = receiver()
    {
      await using spool = await open(path, far.deliver)
      await spool.emit(call())
      await drained(spool)
    }
    await using spool = await open(path, far.deliver)
    await spool.emit(call({ last: true }))
    await drained(spool)
    assert.equal(far.got.length, 2)
  })

  test('goes on behind an event that is refused for good', async () => {
    const poison = call()
    const got: string[] = []
    await using spool = await open(freshPath(), async (events) => {
      got.push(...events.map(({ uid }) => uid))
      return { refused: { [poison.uid]: 'not your event' } }
    })
    const good = call()
    await spool.emit(poison)
    await spool.emit(good)
    await drained(spool)
    assert.deepEqual(got, [poison.uid, good.uid])
  })

  test('is readable by its owner alone', async () => {
    const path = freshPath()
    await using spool = await open(path, receiver().deliver)
    await spool.emit(call())
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  })

  test('stays small however much passes through it, with an intent open all the while', async () => {
    const path = freshPath()
    const far = receiver()
    {
      await using spool = await open(path, far.deliver, 80_000)
      await spool.intend(call({ long: true }))
      for (let n = 0; n < 400; n++) {
        await spool.emit(call({ n, filler: 'x'.repeat(1000) }))
        if (n % 20 === 0) await drained(spool)
      }
      await drained(spool)
      assert.ok(statSync(path).size < 80_000)
    }
    await using spool = await open(path, far.deliver)
    await drained(spool)
    assert.equal(far.got.length, 401)
    assert.deepEqual([far.got.at(-1)?.long, far.got.at(-1)?.outcome], [true, 'unknown'])
  })
})

suite('an intent', () => {
  test('is delivered as its outcome, under its own uid and time', async () => {
    const far = receiver()
    await using spool = await open(freshPath(), far.deliver)
    const intended = call({ method: 'POST' })
    const intent = await spool.intend(intended)
    assert.equal(spool.pending(), 0)
    await intent.complete(call({ method: 'POST', status_code: 200 }))
    await drained(spool)
    assert.deepEqual(far.got, [{ ...intended, status_code: 200 }])
  })

  test('without an outcome becomes an event of its own type whose outcome is unknown', async () => {
    const path = freshPath()
    const far = receiver()
    const intended = call({ method: 'POST' })
    {
      await using spool = await open(path, far.deliver)
      await spool.intend(intended)
    }
    assert.equal(far.got.length, 0)
    for (let round = 0; round < 2; round++) {
      await using spool = await open(path, far.deliver)
      await drained(spool)
    }
    assert.deepEqual(far.got, [{ ...intended, outcome: 'unknown' }])
  })

  test('has one outcome', async () => {
    await using spool = await open(freshPath(), receiver().deliver)
    const intent = await spool.intend(call())
    await intent.complete(call())
    await assert.rejects(intent.complete(call()), /has its outcome already/)
  })
})

suite('a full spool', () => {
  test('refuses events and intents, takes outcomes, says so once in the log itself, and recovers', async () => {
    const far = receiver()
    far.isAway = true
    await using spool = await open(freshPath(), far.deliver, 20_000)
    const intent = await spool.intend(call({ open: true }))
    let taken = 0
    const fill = async (): Promise<void> => {
      for (;;) {
        await spool.emit(call({ filler: 'x'.repeat(500) }))
        taken++
      }
    }
    await assert.rejects(fill(), (error) => error instanceof SpoolFull && /events wait/.test(error.message))
    await assert.rejects(spool.intend(call({ filler: 'x'.repeat(500) })), SpoolFull)
    await intent.complete(call({ open: false }))
    far.isAway = false
    await drained(spool)
    assert.equal(far.got.filter(({ event }) => event === 'audit.spool.full').length, 1)
    assert.equal(far.got.length, taken + 2)
    await spool.emit(call({ filler: 'x'.repeat(500) }))
  })
})

suite('a spool file that is not whole', () => {
  test('loses only its torn tail', async () => {
    const path = freshPath()
    const far = receiver()
    far.isAway = true
    const event = call()
    {
      await using spool = await open(path, far.deliver)
      await spool.emit(event)
      await spool.emit(call())
    }
    const whole = readFileSync(path)
    writeFileSync(path, whole.subarray(0, whole.length - 5))
    far.isAway = false
    await using spool = await open(path, far.deliver)
    await spool.emit({ ...event, uid: 'next' })
    await drained(spool)
    assert.deepEqual(
      far.got.map(({ uid }) => uid),
      [event.uid, 'next'],
    )
  })

  test('is cut at damage, and a copy is kept aside', async () => {
    const path = freshPath()
    const far = receiver()
    {
      await using spool = await open(path, far.deliver)
      await spool.emit(call())
      await drained(spool)
    }
    appendFileSync(path, Buffer.alloc(64, 0xff))
    await using spool = await open(path, far.deliver)
    assert.ok(existsSync(`${path}.damaged`))
    await spool.emit(call())
    await drained(spool)
    assert.equal(far.got.length, 2)
  })

  test('that is something else is moved aside', async () => {
    const path = freshPath()
    await (await open(path, receiver().deliver))[Symbol.asyncDispose]()
    writeFileSync(path, 'something else altogether')
    const far = receiver()
    await using spool = await open(path, far.deliver)
    await spool.emit(call())
    await drained(spool)
    assert.equal(far.got.length, 1)
    assert.equal(readFileSync(`${path}.damaged`, 'utf8'), 'something else altogether')
  })

  test('with an acknowledgement of another file, or a broken one, delivers everything', async () => {
    for (const ack of ['0000000000000000 9999\n', 'oops', '']) {
      const path = freshPath()
      const far = receiver()
      {
        await using spool = await open(path, far.deliver)
        await spool.emit(call())
        await drained(spool)
      }
      writeFileSync(`${path}.ack`, ack)
      await using spool = await open(path, far.deliver)
      await drained(spool)
      assert.equal(far.got.length, 2)
    }
  })
})

test('however often the process is killed, no event that was taken is lost or doubled in the log', async () => {
  const path = freshPath()
  await using log = await openSqliteAuditLog({ path: join(path, '..', 'log', 'events.db'), log: silentLog })
  const taken = new Set<string>()
  for (let round = 0; round < 3; round++) {
    const lines = await writeUntilKilled(path, 40)
    for (const line of lines) if (line.startsWith('taken ')) taken.add(line.slice(6))
  }
  const deliver: Deliver = async (events) => {
    await log.append(events)
    return { refused: {} }
  }
  {
    await using spool = await open(path, deliver)
    await drained(spool)
  }
  const { events } = await log.search({ limit: 10_000 })
  const uids = events.map(({ uid }) => uid)
  assert.equal(new Set(uids).size, uids.length)
  for (const uid of taken) assert.ok(uids.includes(uid), `${uid} was lost`)
  assert.ok(
    events.some(({ outcome }) => outcome === 'unknown'),
    'a call that was under way is in the log',
  )
})

/** A process that emits, intends and completes as fast as it can, delivers at times, and prints what it may rely on. */
async function writeUntilKilled(path: string, count: number): Promise<readonly string[]> {
  const source = `
    const { openSpool } = await import(${JSON.stringify(new URL('./spool.ts', import.meta.url).href)})
    const { auditEvent } = await import(${JSON.stringify(new URL('./codes.ts', import.meta.url).href)})
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
    const clock = () => new Date()
    const call = (fields) => auditEvent('app.session.request', fields, { clock, cluster: 'c' })
    const deliver = async () => { throw new Error('away') }
    const spool = await openSpool({ path: ${JSON.stringify(path)}, deliver, clock, log })
    async function emitting() {
      for (;;) { const event = call({}); await spool.emit(event); console.log('taken ' + event.uid) }
    }
    async function calling() {
      for (;;) {
        const event = call({ method: 'POST' })
        const intent = await spool.intend(event)
        console.log('taken ' + event.uid)
        await new Promise((resolve) => setImmediate(resolve))
        await intent.complete(call({ status_code: 200 }))
      }
    }
    await Promise.all([emitting(), emitting(), calling(), calling(), calling()])
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (lines.length === count) child.kill('SIGKILL')
  }
  await exited
  return lines
}
