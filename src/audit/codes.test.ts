import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { type AuditEventType, auditEvent, eventCodes, isAuditEvent } from './codes.ts'
import { trimEvent } from './trim.ts'

const context = { clock: () => new Date(Date.UTC(2030, 0, 1, 2, 3, 4, 5)), cluster: 'example.com' }

suite('an event has the code that rules key on', () => {
  const rows: readonly [AuditEventType, Record<string, unknown>, string][] = [
    ['user.login', { method: 'local', success: true }, 'T1000I'],
    ['user.login', { method: 'local', success: false }, 'T1000W'],
    ['user.login', { method: 'oidc', success: true }, 'T1001I'],
    ['user.login', { method: 'saml', success: false }, 'T1001W'],
    ['github.updated', {}, 'T80002I'],
    ['instance.join', { success: false }, 'TJ002E'],
    ['role.created', { success: false }, 'T9000I'],
    ['workload_identity.create', {}, 'WID001I'],
    ['user.login', { code: 'T1012I' }, 'T1012I'],
  ]
  for (const [type, fields, code] of rows) {
    test(`${type} ${JSON.stringify(fields)}: ${code}`, () => assert.equal(auditEvent(type, fields, context).code, code))
  }
  test('and a table where every code has the form of one', () => {
    for (const [type, codes] of Object.entries(eventCodes)) {
      for (const code of Object.values(codes)) assert.match(code, /^[A-Z]+\d{2,5}[IWEL]$/, type)
    }
  })
})

test('an event has time in milliseconds, a uid and the fields given', () => {
  const event = auditEvent('user.create', { name: 'alice' }, context)
  assert.equal(event.time, '2030-01-01T02:03:04.005Z')
  assert.match(event.uid, /^[0-9a-f-]{36}$/)
  assert.equal(event.name, 'alice')
  assert.ok(isAuditEvent(event))
})

suite('what is no event is told apart', () => {
  const good = auditEvent('user.create', {}, context)
  for (const wrong of [
    null,
    [],
    'x',
    {},
    { ...good, time: '2030' },
    { ...good, time: '2030-13-01T00:00:00.000Z' },
    { ...good, uid: '' },
    { ...good, ei: '0' },
  ]) {
    test(JSON.stringify(wrong).slice(0, 80), () => assert.equal(isAuditEvent(wrong), false))
  }
})

test('whatever its fields, a trimmed event fits, keeps its envelope and stays an event', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.anything({ maxDepth: 3 })),
      fc.string({ minLength: 3000 }),
      (fields, long) => {
        const safe: Record<string, unknown> = JSON.parse(
          JSON.stringify({ ...fields, long }, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
        )
        const event = { ...safe, ...auditEvent('user.create', {}, context) }
        const trimmed = trimEvent(event, 2048)
        assert.ok(Buffer.byteLength(JSON.stringify(trimmed)) <= 2048)
        assert.ok(isAuditEvent(trimmed))
        assert.equal(trimmed.uid, event.uid)
        assert.equal(trimmed.trimmed, true)
      },
    ),
    { numRuns: 50 },
  )
})
