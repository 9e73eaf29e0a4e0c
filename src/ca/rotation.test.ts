/** The table of phases: which step each allows, which key signs in it, and which are trusted. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  dueStep,
  leadsTo,
  type RotatingKeys,
  type RotationPhase,
  RotationRefused,
  rotate,
  rotationPhases,
  rotationSchedule,
} from './rotation.ts'

const start: RotatingKeys<string> = { phase: 'standby', active: ['old'], trusted: [] }
const walk = (...phases: RotationPhase[]): RotatingKeys<string> =>
  phases.reduce((keys, phase) => rotate(keys, phase, () => 'new'), start)

suite('keys in each phase', () => {
  for (const { says, phases, active, trusted } of [
    { says: 'init trusts the new key, the old one signs', phases: ['init'], active: ['old'], trusted: ['new'] },
    {
      says: 'update_clients signs with the new key',
      phases: ['init', 'update_clients'],
      active: ['new'],
      trusted: ['old'],
    },
    {
      says: 'update_servers changes no key',
      phases: ['init', 'update_clients', 'update_servers'],
      active: ['new'],
      trusted: ['old'],
    },
    {
      says: 'standby drops the old key',
      phases: ['init', 'update_clients', 'update_servers', 'standby'],
      active: ['new'],
      trusted: [],
    },
    { says: 'rollback from init leaves the old key', phases: ['init', 'rollback'], active: ['old'], trusted: ['new'] },
    {
      says: 'rollback lets the old key sign again',
      phases: ['init', 'update_clients', 'rollback'],
      active: ['old'],
      trusted: ['new'],
    },
    {
      says: 'standby after rollback drops the new key',
      phases: ['init', 'update_clients', 'update_servers', 'rollback', 'standby'],
      active: ['old'],
      trusted: [],
    },
  ] as const) {
    test(says, () => {
      const keys = walk(...phases)
      assert.deepEqual({ active: keys.active, trusted: keys.trusted }, { active, trusted })
    })
  }
})

suite('steps out of order are refused with those that are allowed', () => {
  for (const from of rotationPhases) {
    for (const to of rotationPhases.filter((phase) => !leadsTo[from].includes(phase))) {
      test(`${from} does not lead to ${to}`, () => {
        assert.throws(
          () => rotate({ phase: from, active: ['a'], trusted: ['b'] }, to, () => 'new'),
          (error) => error instanceof RotationRefused && leadsTo[from].every((phase) => error.hint.includes(phase)),
        )
      })
    }
  }
})

test('at every step of a rotation at least one key that was trusted before is still trusted', () => {
  for (const from of rotationPhases) {
    for (const to of leadsTo[from]) {
      const before = { phase: from, active: ['a'], trusted: from === 'standby' ? [] : ['b'] }
      const after = rotate(before, to, () => 'new')
      const known = [...before.active, ...before.trusted]
      assert.ok(
        after.active.every((key) => known.includes(key)),
        `${from} to ${to} signs with a key nobody knows yet`,
      )
    }
  }
})

suite('an automatic rotation', () => {
  const started = new Date('2026-06-01T00:00:00Z')
  const graceMs = 30 * 3_600_000
  for (const [says, phase, hours, due] of [
    ['waits for a third of the grace period', 'init', 9, undefined],
    ['then updates clients', 'init', 10, 'update_clients'],
    ['then servers', 'update_clients', 20, 'update_servers'],
    ['ends after the whole of it', 'update_servers', 30, 'standby'],
    ['takes one step at a time', 'init', 100, 'update_clients'],
    ['never starts by itself', 'standby', 100, undefined],
    ['leaves a rollback to the operator', 'rollback', 100, undefined],
  ] as const) {
    test(says, () => {
      assert.equal(dueStep(phase, started, graceMs, new Date(started.getTime() + hours * 3_600_000)), due)
    })
  }

  test('has its instants at thirds', () => {
    assert.deepEqual(rotationSchedule(started, graceMs), {
      update_clients: new Date('2026-06-01T10:00:00Z'),
      update_servers: new Date('2026-06-01T20:00:00Z'),
      standby: new Date('2026-06-02T06:00:00Z'),
    })
  })
})
