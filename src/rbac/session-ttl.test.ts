import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseRole } from '#resources/role.ts'
import { effectiveOptions } from './role-options.ts'
import { createRoleSet } from './role-set.ts'
import { sessionTtl } from './session-ttl.ts'

const HOUR = 3_600_000
const now = new Date('2030-01-01T00:00:00Z')
const role = (options: object) => parseRole({ kind: 'role', metadata: { name: 'r' }, spec: { options } })

suite('the shortest limit wins', () => {
  for (const { says, options = [{}], answer, ...request } of [
    { says: 'twelve hours by default', answer: 12 * HOUR },
    { says: 'the default of the cluster', defaultMs: 8 * HOUR, answer: 8 * HOUR },
    { says: 'what is asked for', requestedMs: HOUR, answer: HOUR },
    { says: 'never more than thirty hours', requestedMs: 100 * HOUR, answer: 30 * HOUR },
    {
      says: 'thirty hours also where a role says more',
      options: [{ max_session_ttl: '100h' }],
      requestedMs: 99 * HOUR,
      answer: 30 * HOUR,
    },
    {
      says: 'the smallest of the roles',
      options: [{ max_session_ttl: '4h' }, { max_session_ttl: '2h' }, {}],
      answer: 2 * HOUR,
    },
    {
      says: 'a role that says zero means thirty hours',
      options: [{ max_session_ttl: 0 }],
      requestedMs: 99 * HOUR,
      answer: 30 * HOUR,
    },
    { says: 'not less than a minute', options: [{ max_session_ttl: '1s' }], answer: 60_000 },
    { says: 'never beyond the parent certificate', parentExpires: new Date(now.getTime() + 5000), answer: 5000 },
    { says: 'nothing is left of a parent that is over', parentExpires: new Date(now.getTime() - 1), answer: -1 },
    { says: 'without roles the bounds still hold', options: [], requestedMs: 99 * HOUR, answer: 30 * HOUR },
  ]) {
    test(says, () => {
      const { ttlMs, expires } = sessionTtl({ roles: createRoleSet(options.map(role), {}), now, ...request })
      assert.equal(ttlMs, answer)
      assert.equal(expires.getTime(), now.getTime() + answer)
    })
  }
})

suite('the stricter option wins', () => {
  const options = (list: object[], cluster = {}) => effectiveOptions(createRoleSet(list.map(role), {}), cluster)
  test('the smallest idle timeout that is set', () => {
    assert.equal(
      options([{ client_idle_timeout: 'never' }, { client_idle_timeout: '5m' }], { clientIdleTimeoutMs: HOUR })
        .clientIdleTimeoutMs,
      300_000,
    )
    assert.equal(options([{}]).clientIdleTimeoutMs, 0)
  })
  test('strict locks beat everything, then the last role, then the cluster', () => {
    assert.equal(options([{ lock: 'strict' }, { lock: 'best_effort' }]).lockingMode, 'strict')
    assert.equal(options([{ lock: 'best_effort' }], { lockingMode: 'strict' }).lockingMode, 'best_effort')
    assert.equal(options([{}], { lockingMode: 'strict' }).lockingMode, 'strict')
    assert.equal(options([{}]).lockingMode, 'best_effort')
  })
  test('any role pins the address and ends connections with the certificate', () => {
    assert.equal(options([{}, { pin_source_ip: 'yes' }]).pinSourceIp, true)
    assert.equal(options([{}, { disconnect_expired_cert: 'on' }]).disconnectExpiredCert, true)
    assert.equal(options([{}], { disconnectExpiredCert: true }).disconnectExpiredCert, true)
  })
})
