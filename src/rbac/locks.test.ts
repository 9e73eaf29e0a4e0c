import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseLock } from '#resources/lock.ts'
import { findLock, isLockViewUnreliable, type LockTargets, lockMessage } from './locks.ts'

const now = new Date('2030-01-01T00:00:00Z')
const lock = (target: object, spec: object = {}) => parseLock({ metadata: { name: 'l' }, spec: { target, ...spec } })
const alice: LockTargets = {
  user: 'alice',
  roles: ['access', 'ops'],
  mfaDevice: 'm1',
  accessRequests: ['r1'],
  appSession: 's1',
}

suite('whom a lock stops', () => {
  for (const { says, target, spec, whom = alice, stops } of [
    { says: 'a user', target: { user: 'alice' }, stops: true },
    { says: 'not another user', target: { user: 'bob' }, stops: false },
    { says: 'everyone with a role', target: { role: 'ops' }, stops: true },
    { says: 'every field has to fit', target: { user: 'alice', role: 'admin' }, stops: false },
    { says: 'fields that fit together', target: { user: 'alice', role: 'access' }, stops: true },
    { says: 'an MFA device', target: { mfa_device: 'm1' }, stops: true },
    { says: 'an access request', target: { access_request: 'r1' }, stops: true },
    { says: 'one app session', target: { app_session: 's1' }, stops: true },
    { says: 'a member of the cluster', target: { server_id: 'h1' }, whom: { serverId: 'h1' }, stops: true },
    { says: 'a member by the older spelling', target: { node: 'h1' }, whom: { serverId: 'h1' }, stops: true },
    { says: 'nobody by a field they do not have', target: { device: 'd1' }, stops: false },
    {
      says: 'nobody after it expired',
      target: { user: 'alice' },
      spec: { expires: '2029-12-31T23:59:59Z' },
      stops: false,
    },
    {
      says: 'nobody at the very instant',
      target: { user: 'alice' },
      spec: { expires: '2030-01-01T00:00:00Z' },
      stops: false,
    },
    {
      says: 'someone until it expires',
      target: { user: 'alice' },
      spec: { expires: '2030-01-01T00:00:01Z' },
      stops: true,
    },
  ]) {
    test(says, () => assert.equal(findLock([lock(target, spec)], whom, now) !== undefined, stops))
  }
})

test('a lock says whom it targets, and why', () => {
  assert.equal(lockMessage(lock({ user: 'alice' })), 'lock targeting User:"alice" is in force')
  assert.equal(
    lockMessage(lock({ mfa_device: 'm' }, { message: 'stolen' })),
    'lock targeting MfaDevice:"m" is in force: stolen',
  )
})

test('only strict mode refuses when the locks are not current', () => {
  const asOf = new Date(now.getTime() - 301_000)
  assert.equal(isLockViewUnreliable({ mode: 'strict', asOf, now }), true)
  assert.equal(isLockViewUnreliable({ mode: 'best_effort', asOf, now }), false)
  assert.equal(isLockViewUnreliable({ mode: 'strict', asOf: now, now }), false)
})
