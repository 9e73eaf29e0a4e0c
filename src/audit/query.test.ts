import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type AuditFilters, InvalidFilter, parseAuditFilters } from './query.ts'

const now = new Date('2030-01-31T12:00:00.000Z')

suite('filters of an audit search', () => {
  const rows: readonly [AuditFilters, object][] = [
    [{}, { descending: true }],
    [{ order: 'asc' }, { descending: false }],
    [{ from: '2h' }, { descending: true, from: new Date('2030-01-31T10:00:00Z') }],
    [
      { from: '7d', to: '90m' },
      { descending: true, from: new Date('2030-01-24T12:00:00Z'), to: new Date('2030-01-31T10:30:00Z') },
    ],
    [{ from: '2030-01-30' }, { descending: true, from: new Date('2030-01-30T00:00:00Z') }],
    [{ to: '2030-01-30T05:00:00+02:00' }, { descending: true, to: new Date('2030-01-30T03:00:00Z') }],
    [{ types: 'user.login, cert.create' }, { descending: true, types: ['user.login', 'cert.create'] }],
    [
      { user: 'alice', text: 'x', limit: '20' },
      { descending: true, user: 'alice', text: 'x', limit: 20 },
    ],
  ]
  for (const [filters, query] of rows) {
    test(JSON.stringify(filters), () => assert.deepEqual(parseAuditFilters(filters, now), query))
  }
  for (const wrong of [
    { from: 'yesterday' },
    { from: '2030-13-01' },
    { from: '5' },
    { from: '1h', to: '2h' },
    { types: 'user.logn' },
    { types: '' },
    { types: 'constructor' },
    { limit: '0' },
    { limit: '10001' },
    { limit: '-1' },
    { order: 'up' },
  ]) {
    test(`${JSON.stringify(wrong)} is refused`, () => assert.throws(() => parseAuditFilters(wrong, now), InvalidFilter))
  }
})
