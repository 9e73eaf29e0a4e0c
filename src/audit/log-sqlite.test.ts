import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { auditEvent } from './codes.ts'
import type { AuditEvent } from './event.ts'
import { type AuditLog, type AuditQuery, InvalidCursor } from './log.ts'
import { openSqliteAuditLog } from './log-sqlite.ts'

const root = mkdtempSync(join(tmpdir(), 'audit-log-'))
after(() => rmSync(root, { recursive: true }))
let files = 0
const open = (path = join(root, `${files++}`, 'events.db')): Promise<AuditLog> =>
  openSqliteAuditLog({ path, log: silentLog })

const start = Date.UTC(2030, 0, 1)
const login = (second: number, user: string, fields: Record<string, unknown> = {}): AuditEvent =>
  auditEvent('user.login', { user, ...fields }, { clock: () => new Date(start + second * 1000), cluster: 'c' })
const logout = (second: number, user: string): AuditEvent =>
  auditEvent('app.session.end', { user }, { clock: () => new Date(start + second * 1000), cluster: 'c' })

suite('searching the audit log', () => {
  const events = [
    login(1, 'alice', { 'addr.remote': '10.1.2.3' }),
    login(2, 'bob'),
    logout(3, 'alice'),
    logout(4, 'bob'),
  ]
  const rows: readonly { says: string; query: AuditQuery; finds: readonly number[] }[] = [
    { says: 'everything, the oldest first', query: {}, finds: [0, 1, 2, 3] },
    { says: 'the newest first', query: { descending: true }, finds: [3, 2, 1, 0] },
    { says: 'from an instant on', query: { from: new Date(start + 2000) }, finds: [1, 2, 3] },
    { says: 'up to and without an instant', query: { to: new Date(start + 2000) }, finds: [0] },
    { says: 'by types', query: { types: ['user.login'] }, finds: [0, 1] },
    { says: 'by several types', query: { types: ['user.login', 'app.session.end'] }, finds: [0, 1, 2, 3] },
    { says: 'by user', query: { user: 'alice' }, finds: [0, 2] },
    { says: 'by text', query: { text: '10.1.2' }, finds: [0] },
    { says: 'by text of another case', query: { text: 'ALICE' }, finds: [0, 2] },
    { says: 'by all at once', query: { user: 'alice', types: ['user.login'], text: 'alice' }, finds: [0] },
    { says: 'nothing of an unknown user', query: { user: `x' OR 1=1 --` }, finds: [] },
    { says: 'a percent sign as itself', query: { text: '%' }, finds: [] },
  ]
  for (const { says, query, finds } of rows) {
    test(says, async () => {
      await using log = await open()
      await log.append(events)
      assert.deepEqual(await log.search(query), { events: finds.map((index) => events[index]) })
    })
  }

  for (const descending of [false, true]) {
    test(`in pages without gaps or repeats, also within one ms, ${descending ? 'backwards' : 'forwards'}`, async () => {
      await using log = await open()
      const many = Array.from({ length: 25 }, (_, n) => login(Math.floor(n / 10), `user-${n}`))
      await log.append(many)
      const seen: AuditEvent[] = []
      for (let after: string | undefined; ; ) {
        const page = await log.search({ limit: 7, descending, ...(after === undefined ? {} : { after }) })
        seen.push(...page.events)
        after = page.next
        if (after === undefined) break
      }
      assert.deepEqual(seen, descending ? many.toReversed() : many)
    })
  }

  test('from a place that no page gave is refused', async () => {
    await using log = await open()
    await assert.rejects(log.search({ after: '1; DROP TABLE events' }), InvalidCursor)
  })
})

suite('the audit log', () => {
  test('keeps an event once, however often and in whatever company it comes', async () => {
    await using log = await open()
    const event = login(1, 'alice')
    await Promise.all([log.append([event, event]), log.append([event, login(2, 'bob')])])
    await log.append([event])
    assert.equal((await log.search({})).events.length, 2)
  })

  test('keeps two events of the same time, and two of the same uid at other times', async () => {
    await using log = await open()
    const event = login(1, 'alice')
    await log.append([event, { ...event, uid: 'other' }, { ...event, time: login(2, 'alice').time }])
    assert.equal((await log.search({})).events.length, 3)
  })

  test('is readable by its owner alone and keeps what was there when it is opened again', async () => {
    const path = join(root, 'again', 'events.db')
    {
      await using log = await open(path)
      await log.append([login(1, 'alice')])
    }
    assert.equal(statSync(path).mode & 0o777, 0o600)
    await using log = await open(path)
    assert.equal((await log.search({})).events.length, 1)
  })

  test('trims an event that is too large and never drops it', async () => {
    await using log = await open()
    const event = login(1, 'alice', {
      attributes: { groups: Array.from({ length: 5000 }, (_, n) => `group-${n}`.repeat(9)) },
    })
    await log.append([event])
    const [kept] = (await log.search({ user: 'alice' })).events
    assert.equal(kept?.uid, event.uid)
    assert.equal(kept?.trimmed, true)
    assert.ok(JSON.stringify(kept).length <= 64 * 1024)
  })

  test('refuses calls after it was closed', async () => {
    const log = await open()
    await log[Symbol.asyncDispose]()
    await assert.rejects(log.append([login(1, 'alice')]), { code: 'unavailable' })
  })
})
