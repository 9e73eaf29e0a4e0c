import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parseApp } from '#resources/app.ts'
import { InvalidResource } from '#resources/invalid-resource.ts'
import { presetRoles } from '#resources/preset-roles.ts'
import { parseRole, type Role, readRole } from '#resources/role.ts'
import { awsRoleArnsFor, decideApp } from './decide-app.ts'
import { decideResource } from './decide-resource.ts'
import { createRoleSet } from './role-set.ts'

const app = parseApp({ metadata: { name: 'a', labels: { env: 'dev' } }, spec: { cloud: 'AWS' } })
const traits = { env: ['dev', '^($'], arns: ['a', '*'] }

/** What a reader gets that is nearly a role. */
const strange = fc.constantFrom(
  '',
  '*',
  '^($',
  '^dev$',
  'dev',
  '{{external.env}}',
  '{{external.arns}}',
  '{{',
  'a b',
  'labels["env"] == "dev"',
)
const list = fc.oneof(strange, fc.array(strange, { maxLength: 3 }), fc.jsonValue({ maxDepth: 1 }))
const conditions = fc.record(
  {
    app_labels: fc.oneof(fc.dictionary(strange, list, { maxKeys: 3 }), fc.jsonValue({ maxDepth: 1 })),
    app_labels_expression: strange,
    aws_role_arns: list,
    azure_identities: list,
    kubernetes_groups: list,
    namespaces: list,
    rules: fc.array(fc.record({ resources: list, verbs: list, where: strange }, { requiredKeys: [] }), {
      maxLength: 2,
    }),
    unheard_of: strange,
  },
  { requiredKeys: [] },
)
const document = fc.record({
  kind: fc.constant('role'),
  version: fc.constantFrom('v3', 'v7', 'v8', 'v99'),
  metadata: fc.constant({ name: 'strange' }),
  spec: fc.record(
    {
      allow: conditions,
      deny: conditions,
      options: fc.dictionary(fc.constantFrom('lock', 'max_session_ttl', 'next'), strange),
    },
    { requiredKeys: [] },
  ),
})

function readOrUndefined(value: unknown): Role | undefined {
  try {
    return readRole(value)
  } catch (error) {
    assert.ok(error instanceof InvalidResource, String(error))
    return undefined
  }
}

suite('a role set', () => {
  test('is made and asked without an error, whatever is stored', () => {
    fc.assert(
      fc.property(document, (value) => {
        const role = readOrUndefined(JSON.parse(JSON.stringify(value)))
        if (!role) return
        const set = createRoleSet([role], traits)
        decideApp(set, { app, awsRoleArn: 'a' })
        decideResource(set, { kind: 'role', verb: 'read' })
        awsRoleArnsFor(set, app)
        if (role.unreadable) assert.equal(decideApp(set, { app }).allowed, false)
      }),
      { numRuns: 2000 },
    )
  })

  test('never allows more for a role that some field makes unreadable', () => {
    fc.assert(
      fc.property(document, (value) => {
        const { spec = {} } = value
        const role = readOrUndefined(value)
        const spoilt = readOrUndefined({ ...value, spec: { ...spec, next: 1 } })
        if (!role || !spoilt) return
        const asked = { app, awsRoleArn: 'a' }
        if (!decideApp(createRoleSet([role], traits), asked).allowed) {
          assert.equal(decideApp(createRoleSet([spoilt], traits), asked).allowed, false)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('keeps the names of the identity, and adds the implicit role to what is asked alone', () => {
    const set = createRoleSet(presetRoles, {})
    assert.deepEqual(set.names, ['access', 'editor', 'auditor'])
    assert.equal(set.roles.at(-1)?.isImplicit, true)
    assert.throws(() => parseRole({ metadata: { name: 'default-implicit-role' } }), /reserved role/)
  })

  test('fills templates once, in lists without what comes to nothing', () => {
    const role = parseRole({
      metadata: { name: 'r' },
      spec: {
        allow: {
          kubernetes_groups: ['{{external.groups}}', 'view', '{{external.none}}', '{{internal.kubernetes_groups}}'],
        },
      },
    })
    const [compiled] = createRoleSet([role], { groups: ['dev', 'view'], kubernetes_groups: ['ops'] }).roles
    assert.deepEqual(compiled?.allow.kubernetesGroups, ['dev', 'view', 'ops'])
  })

  test('gives no principal for a trait that holds an asterisk', () => {
    const spec = {
      allow: {
        app_labels: { '*': '*' },
        aws_role_arns: ['{{external.arns}}'],
        azure_identities: ['{{external.arns}}'],
      },
    }
    const [compiled] = createRoleSet([parseRole({ metadata: { name: 'r' }, spec })], traits).roles
    assert.deepEqual([...(compiled?.allow.awsRoleArns ?? [])], ['a'])
    assert.deepEqual([...(compiled?.allow.azureIdentities ?? [])], ['a'])
  })
})
