import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { openRecords } from '#auth/records.ts'
import { AccessDenied } from '#errors.ts'
import { silentLog } from '#log.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import {
  afterFailure,
  afterSuccess,
  createLockout,
  defaultLockout,
  type LoginHistory,
  lockedUntil,
  loginHistorySchema,
} from './lockout.ts'

const start = new Date('2030-01-01T00:00:00Z')
const minute = (minutes: number): Date => new Date(start.getTime() + minutes * 60_000)
const empty: LoginHistory = { known: [], buckets: {} }

type Step = readonly ['fail' | 'succeed', address: string, atMinute: number]
const replay = (steps: readonly Step[]): LoginHistory =>
  steps.reduce(
    (history, [what, address, at]) =>
      what === 'fail' ? afterFailure(history, address, minute(at), defaultLockout) : afterSuccess(history, address),
    empty,
  )
const fails = (count: number, address: string, at: number): Step[] => Array(count).fill(['fail', address, at])

suite('who is locked out after failed logins', () => {
  for (const { says, steps, address, at, locked } of [
    { says: 'nobody before the fifth', steps: fails(4, 'a', 0), address: 'a', at: 0, locked: false },
    { says: 'the address that failed five times', steps: fails(5, 'a', 0), address: 'a', at: 29, locked: true },
    { says: 'nobody after 30 minutes', steps: fails(5, 'a', 0), address: 'a', at: 30, locked: false },
    {
      says: 'that address still when another failure is counted after the fifth',
      steps: fails(6, 'a', 0),
      address: 'a',
      at: 1,
      locked: true,
    },
    {
      says: 'nobody whose failures are spread over more than the window',
      steps: [...fails(4, 'a', 0), ...fails(1, 'a', 31)],
      address: 'a',
      at: 31,
      locked: false,
    },
    {
      says: 'other strangers too: guessing from many addresses counts together',
      steps: ['a', 'b', 'c', 'd', 'e'].map((from): Step => ['fail', from, 0]),
      address: 'f',
      at: 1,
      locked: true,
    },
    {
      says: 'not the place from which the account logged in before',
      steps: [['succeed', 'home', 0], ...fails(50, 'a', 1)],
      address: 'home',
      at: 2,
      locked: false,
    },
    {
      says: 'that place, after failures of its own',
      steps: [['succeed', 'home', 0], ...fails(5, 'home', 1)],
      address: 'home',
      at: 2,
      locked: true,
    },
    {
      says: 'and then strangers are not',
      steps: [['succeed', 'home', 0], ...fails(5, 'home', 1)],
      address: 'a',
      at: 2,
      locked: false,
    },
    {
      says: 'nobody who succeeded in between',
      steps: [['succeed', 'home', 0], ...fails(4, 'home', 1), ['succeed', 'home', 1], ...fails(4, 'home', 1)],
      address: 'home',
      at: 2,
      locked: false,
    },
    {
      says: 'strangers still, when the owner logs in from home',
      steps: [['succeed', 'home', 0], ...fails(5, 'a', 1), ['succeed', 'home', 2]],
      address: 'a',
      at: 3,
      locked: true,
    },
  ] satisfies { says: string; steps: Step[]; address: string; at: number; locked: boolean }[]) {
    test(says, () => assert.equal(lockedUntil(replay(steps), address, minute(at)) !== undefined, locked))
  }

  test('what is remembered does not grow with strangers', () => {
    const history = replay(Array.from({ length: 1000 }, (_, index): Step => ['fail', `10.0.0.${index}`, 0]))
    assert.ok(JSON.stringify(history).length < 300)
  })
})

test('failures at the same time all count, and a clear lets the account in again', async () => {
  await using backend = await openSqliteBackend({ path: ':memory:', clock: () => start, log: silentLog })
  const lockout = createLockout({ records: openRecords(backend, 'logins', loginHistorySchema), clock: () => start })
  await Promise.all(Array.from({ length: 5 }, () => lockout.recordFailure('alice', '192.0.2.1')))
  await assert.rejects(lockout.check('alice', '192.0.2.1'), (error: unknown) => {
    assert.ok(error instanceof AccessDenied)
    assert.match(error.hint, /30 minutes/)
    return true
  })
  await lockout.check('bob', '192.0.2.1')
  await lockout.clear('alice')
  await lockout.check('alice', '192.0.2.1')
})
