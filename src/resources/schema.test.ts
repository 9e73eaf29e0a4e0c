import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parseCertAuthority } from './cert-authority.ts'
import { parseAuthPreference, parseNetworkingConfig } from './cluster-config.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { parseLock } from './lock.ts'
import { nearest } from './nearest.ts'
import { parseSwitch } from './schema.ts'
import { parseUser } from './user.ts'

suite('durations', () => {
  for (const [text, ms] of [
    ['30h0m0s', 108_000_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['100ms', 100],
    ['2d', 172_800_000],
    ['0', 0],
    ['-5m', -300_000],
    ['1us', 0.001],
    ['', undefined],
    ['5', undefined],
    ['5 m', undefined],
    ['m', undefined],
    ['1h 5m', undefined],
    ['1y', undefined],
    ['1e3s', undefined],
    ['99999999999h', undefined],
    [`${'1s'.repeat(100)}`, undefined],
  ] as const) {
    test(JSON.stringify(text.slice(0, 20)), () => assert.equal(parseDuration(text), ms))
  }
  for (const [ms, text] of [
    [0, '0s'],
    [1, '1ms'],
    [1500, '1.5s'],
    [60_000, '1m0s'],
    [108_000_000, '30h0m0s'],
    [-300_000, '-5m0s'],
    [0.001, '1µs'],
  ] as const) {
    test(`${ms} ms is printed as ${text}`, () => assert.equal(formatDuration(ms), text))
  }
  test('what is printed is read as the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e12 }), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)),
    )
  })
})

test('switches are what people write, and nothing else', () => {
  for (const value of [true, 'yes', 'on', 'TRUE', '1']) assert.equal(parseSwitch(value), true)
  for (const value of [false, 'no', 'Off', 'false', '0']) assert.equal(parseSwitch(value), false)
  for (const value of ['y', '', 'maybe', 1, 0, null, undefined, {}, 'toString'])
    assert.equal(parseSwitch(value), undefined)
})

test('the nearest word is found only where it is near', () => {
  assert.equal(nearest('app_label', ['app_labels', 'db_labels']), 'app_labels')
  assert.equal(nearest('xyz', ['app_labels']), undefined)
})

test('a user has each role and each value of a trait once, and ends when its spec says', () => {
  const user = parseUser({
    metadata: { name: 'a' },
    spec: { roles: ['x', 'x'], traits: { t: ['1', '1'] }, expires: '2030-01-01T00:00:00Z' },
  })
  assert.deepEqual(user.spec.roles, ['x'])
  assert.deepEqual(user.spec.traits, { t: ['1'] })
  assert.equal(user.metadata.expires, '2030-01-01T00:00:00.000Z')
  assert.throws(() => parseUser({ metadata: { name: 'a' }, spec: { roles: [' '] } }), /is empty/)
})

test('a lock without a target is refused, and one that expires ends in the store', () => {
  assert.throws(
    () => parseLock({ metadata: { name: 'l' }, spec: { target: {} } }),
    /at least one target field must be set/,
  )
  const lock = parseLock({ metadata: { name: 'l' }, spec: { target: { node: 'h' }, expires: '2030-01-01T00:00:00Z' } })
  assert.deepEqual([lock.spec.target, lock.metadata.expires], [{ server_id: 'h' }, '2030-01-01T00:00:00.000Z'])
})

test('the settings of a cluster have one name and their defaults', () => {
  const preference = parseAuthPreference({ spec: { require_session_mfa: false } })
  assert.equal(preference.metadata.name, 'cluster-auth-preference')
  assert.deepEqual(preference.spec, {
    type: 'local',
    require_session_mfa: 'no',
    allow_local_auth: true,
    locking_mode: 'best_effort',
    default_session_ttl: '12h0m0s',
  })
  assert.equal(parseNetworkingConfig({ spec: { client_idle_timeout: 'never' } }).spec.client_idle_timeout, '0s')
  assert.throws(
    () => parseAuthPreference({ spec: { locking_mode: 'loose' } }),
    /expected one of "best_effort", "strict", found "loose"/,
  )
})

test('an authority of an unknown type is refused', () => {
  const authority = (type: string) => ({ metadata: { name: type }, spec: { type, cluster_name: 'c' } })
  assert.throws(() => parseCertAuthority(authority('db')), /"db" authority type is not supported/)
  assert.equal(parseCertAuthority(authority('host')).sub_kind, 'host')
})
