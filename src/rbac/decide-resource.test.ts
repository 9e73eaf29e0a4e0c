import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { presetRoles } from '#resources/preset-roles.ts'
import { parseRole, type Role, readRole } from '#resources/role.ts'
import { decideResource, type Verb } from './decide-resource.ts'
import { explain } from './decision.ts'
import { createRoleSet } from './role-set.ts'

const preset = (name: string): Role => presetRoles.find(({ metadata }) => metadata.name === name)!
const rules = (name: string, allow: object[], deny: object[] = []): Role =>
  parseRole({ kind: 'role', metadata: { name }, spec: { allow: { rules: allow }, deny: { rules: deny } } })

const own = rules('own', [
  { resources: ['user'], verbs: ['read'], where: 'equals(resource.metadata.name, user.metadata.name)' },
  { resources: ['lock'], verbs: ['*'], where: 'contains(user.spec.traits["team"], resource.metadata.labels["team"])' },
  { resources: ['session'], verbs: ['read'], where: 'contains(session.participants, user.metadata.name)' },
])
const named = (name: string, labels = {}) => ({ kind: 'user', version: 'v2', metadata: { name, labels }, spec: {} })

interface Row {
  readonly says: string
  readonly roles: readonly Role[]
  readonly kind: string
  readonly verb: Verb
  readonly resource?: ReturnType<typeof named>
  readonly participants?: readonly string[]
  readonly answer: 'allowed' | 'rule-missing' | 'denied-by-role'
}

suite('who may do what with resources', () => {
  const rows: readonly Row[] = [
    { says: 'everyone sees which proxies there are', roles: [], kind: 'proxy', verb: 'list', answer: 'allowed' },
    {
      says: 'everyone sees the authorities',
      roles: [],
      kind: 'cert_authority',
      verb: 'readnosecrets',
      answer: 'allowed',
    },
    {
      says: 'nobody reads their keys',
      roles: [preset('editor')],
      kind: 'cert_authority',
      verb: 'read',
      answer: 'rule-missing',
    },
    { says: 'no role, no roles', roles: [], kind: 'role', verb: 'list', answer: 'rule-missing' },
    { says: 'an editor creates roles', roles: [preset('editor')], kind: 'role', verb: 'create', answer: 'allowed' },
    {
      says: 'an editor cannot use what does not exist',
      roles: [preset('editor')],
      kind: 'unheard_of',
      verb: 'read',
      answer: 'rule-missing',
    },
    { says: 'an auditor reads events', roles: [preset('auditor')], kind: 'event', verb: 'read', answer: 'allowed' },
    {
      says: 'an auditor changes nothing',
      roles: [preset('auditor')],
      kind: 'role',
      verb: 'update',
      answer: 'rule-missing',
    },
    {
      says: 'read includes readnosecrets',
      roles: [rules('r', [{ resources: ['user'], verbs: ['read'] }])],
      kind: 'user',
      verb: 'readnosecrets',
      answer: 'allowed',
    },
    {
      says: 'readnosecrets does not include read',
      roles: [rules('r', [{ resources: ['user'], verbs: ['readnosecrets'] }])],
      kind: 'user',
      verb: 'read',
      answer: 'rule-missing',
    },
    {
      says: 'a wildcard is every kind and every verb',
      roles: [rules('all', [{ resources: ['*'], verbs: ['*'] }])],
      kind: 'token',
      verb: 'delete',
      answer: 'allowed',
    },
    {
      says: 'deny wins',
      roles: [preset('editor'), rules('d', [], [{ resources: ['role'], verbs: ['*'] }])],
      kind: 'role',
      verb: 'read',
      answer: 'denied-by-role',
    },
    {
      says: 'denying read also denies readnosecrets',
      roles: [preset('editor'), rules('d', [], [{ resources: ['user'], verbs: ['read'] }])],
      kind: 'user',
      verb: 'readnosecrets',
      answer: 'denied-by-role',
    },
    {
      says: 'a where that holds allows',
      roles: [own],
      kind: 'user',
      verb: 'read',
      resource: named('alice'),
      answer: 'allowed',
    },
    {
      says: 'a where that does not hold allows nothing',
      roles: [own],
      kind: 'user',
      verb: 'read',
      resource: named('bob'),
      answer: 'rule-missing',
    },
    {
      says: 'a where about a resource holds for no listing',
      roles: [own],
      kind: 'user',
      verb: 'read',
      answer: 'rule-missing',
    },
    {
      says: 'traits are compared with labels',
      roles: [own],
      kind: 'lock',
      verb: 'delete',
      resource: named('l', { team: 'ops' }),
      answer: 'allowed',
    },
    {
      says: 'a missing label is in no list',
      roles: [own],
      kind: 'lock',
      verb: 'delete',
      resource: named('l'),
      answer: 'rule-missing',
    },
    {
      says: 'who took part reads the session',
      roles: [own],
      kind: 'session',
      verb: 'read',
      participants: ['alice'],
      answer: 'allowed',
    },
    {
      says: 'who did not take part does not',
      roles: [own],
      kind: 'session',
      verb: 'read',
      participants: ['bob'],
      answer: 'rule-missing',
    },
    {
      says: 'a deny whose where has no answer denies',
      roles: [
        preset('editor'),
        rules('d', [], [{ resources: ['role'], verbs: ['read'], where: 'has_prefix(user.spec.roles, "x")' }]),
      ],
      kind: 'role',
      verb: 'read',
      answer: 'denied-by-role',
    },
    {
      says: 'an allow whose where has no answer allows nothing',
      roles: [rules('a', [{ resources: ['role'], verbs: ['read'], where: 'resource.metadata.name' }])],
      kind: 'role',
      verb: 'read',
      answer: 'rule-missing',
    },
  ]
  for (const { says, roles, answer, ...request } of rows) {
    test(says, () => {
      const decision = decideResource(createRoleSet(roles, { team: ['ops'] }, { userName: 'alice' }), request)
      assert.equal(decision.allowed ? 'allowed' : decision.reason, answer)
      if (!decision.allowed) {
        assert.ok(
          explain(decision).startsWith(`access denied to perform action "${request.verb}" on "${request.kind}"`),
        )
      }
    })
  }

  for (const [where, answer] of [
    ['all_equal(user.spec.traits["team"], "ops")', true],
    ['all_end_with(user.spec.roles, "r")', true],
    ['is_subset(user.spec.traits["team"], user.spec.roles)', false],
    ['equals(user.spec.traits["team"], user.spec.traits["team"])', true],
    ['has_prefix(user.metadata.name, "al") && !equals(user.metadata.name, "al")', true],
    ['resource.kind == "role"', false],
  ] as const) {
    test(`${where} is ${answer}`, () => {
      const set = createRoleSet(
        [rules('r', [{ resources: ['x'], verbs: ['use'], where }])],
        { team: ['ops'] },
        { userName: 'alice' },
      )
      assert.equal(decideResource(set, { kind: 'x', verb: 'use' }).allowed, answer)
    })
  }
})

test('a role whose deny cannot be read denies every verb to its holders', () => {
  const future = readRole({ kind: 'role', metadata: { name: 'future' }, spec: { deny: { rules: 'all' } } })
  const decision = decideResource(createRoleSet([preset('editor'), future], {}), { kind: 'proxy', verb: 'list' })
  assert.deepEqual(decision, {
    allowed: false,
    reason: 'role-unreadable',
    deniedBy: 'future',
    action: { verb: 'list', kind: 'proxy' },
  })
})
