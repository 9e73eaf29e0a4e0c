/**
 * The rules once more, slow and word for word, against the compiled ones: on roles that nobody would write.
 * The model reads role documents; it shares the string match (tested against RE2) and nothing else.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type App, parseApp } from '#resources/app.ts'
import { parseRole, type Role } from '#resources/role.ts'
import { decideApp } from './decide-app.ts'
import { decideResource, type Verb } from './decide-resource.ts'
import { compilePattern } from './match.ts'
import { createRoleSet } from './role-set.ts'

type Traits = Record<string, string[]>
type Conditions = Role['spec']['allow']

/** Only the one form of template that the generator makes. */
function filled(text: string, traits: Traits): string[] {
  const [, name] = /^\{\{external\.(\w+)\}\}$/.exec(text) ?? []
  return name === undefined ? [text] : (traits[name] ?? [])
}

function selectorMatches(
  selector: Readonly<Record<string, readonly string[]>> | undefined,
  labels: Record<string, string>,
  traits: Traits,
): boolean {
  const entries = Object.entries(selector ?? {})
  if (entries.length === 0) return false
  if (entries.some(([key, values]) => key === '*' && values.length === 1 && values[0] === '*')) return true
  for (const [key, values] of entries) {
    const [name] = filled(key, traits)
    if (name === undefined || !(name in labels)) return false
    const value = labels[name]!
    const patterns = values.flatMap((pattern) => filled(pattern, traits))
    if (!patterns.some((pattern) => pattern === '*' || compilePattern(pattern)(value))) return false
  }
  return true
}

function model(
  roles: readonly Role[],
  traits: Traits,
  app: App,
  arn: string | undefined,
  identity: string | undefined,
): boolean {
  const labels = { ...app.metadata.labels }
  const listed = (conditions: Conditions, field: 'aws_role_arns' | 'azure_identities'): string[] =>
    (conditions[field] ?? []).flatMap((entry) => filled(entry, traits))
  for (const { spec } of roles) {
    if (selectorMatches(spec.deny.app_labels, labels, traits)) return false
    if (arn !== undefined && listed(spec.deny, 'aws_role_arns').some((entry) => entry === '*' || entry === arn))
      return false
    if (
      identity !== undefined &&
      listed(spec.deny, 'azure_identities').some(
        (entry) => entry === '*' || entry.toLowerCase() === identity.toLowerCase(),
      )
    ) {
      return false
    }
  }
  return roles.some(({ spec, version }) => {
    const selector = spec.allow.app_labels ?? (version === 'v3' ? { '*': ['*'] } : undefined)
    if (!selectorMatches(selector, labels, traits)) return false
    if (arn !== undefined && (arn === '*' || !listed(spec.allow, 'aws_role_arns').includes(arn))) return false
    if (identity === undefined) return true
    return listed(spec.allow, 'azure_identities').some(
      (entry) => entry.toLowerCase() === identity.toLowerCase() && entry !== '*',
    )
  })
}

const keys = fc.constantFrom('env', 'team', '{{external.key}}')
const patterns = fc.constantFrom(
  '*',
  'dev',
  'prod',
  'd*',
  '*o*',
  '^dev|qa$',
  '{{external.env}}',
  '{{external.missing}}',
)
const selectors = fc.oneof(
  fc.constant({ '*': ['*'] }),
  fc.dictionary(keys, fc.array(patterns, { maxLength: 3 }), { maxKeys: 2, noNullPrototype: true }),
)
const arns = fc.constantFrom(
  'arn:aws:iam::123456789012:role/a',
  'arn:aws:iam::123456789012:role/b',
  '{{external.arns}}',
)
const ids = fc.constantFrom('/Id/One', '/id/one', '/id/two', '{{external.ids}}')
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const side = (wild: boolean) =>
  fc.record({
    app_labels: optional(selectors),
    aws_role_arns: fc.array(wild ? fc.oneof(arns, fc.constant('*')) : arns, { maxLength: 2 }),
    azure_identities: fc.array(wild ? fc.oneof(ids, fc.constant('*')) : ids, { maxLength: 2 }),
    rules: fc.array(
      fc.record({
        resources: fc.array(fc.constantFrom('role', 'user', '*'), { minLength: 1, maxLength: 2 }),
        verbs: fc.array(fc.constantFrom('read', 'readnosecrets', 'create', '*'), { minLength: 1, maxLength: 2 }),
        where: optional(
          fc.constantFrom(
            'contains(user.spec.roles, "r0")',
            '!equals(resource.metadata.name, "x")',
            'resource.metadata.name',
          ),
        ),
      }),
      { maxLength: 2 },
    ),
  })
const mostlyEmpty = fc.oneof({ arbitrary: fc.constant({}), weight: 3 }, { arbitrary: side(true), weight: 1 })
const roleLists = fc
  .array(
    fc.record({
      version: fc.constantFrom('v3', 'v5', 'v8'),
      spec: fc.record({ allow: side(false), deny: mostlyEmpty }),
    }),
    { maxLength: 4 },
  )
  .map((list) => list.map((part, index) => parseRole({ kind: 'role', metadata: { name: `r${index}` }, ...part })))
const traitSets = fc.record({
  env: fc.subarray(['dev', 'prod']),
  key: fc.subarray(['env', 'team']),
  arns: fc.subarray(['arn:aws:iam::123456789012:role/a', 'arn:aws:iam::123456789012:role/c', '*']),
  ids: fc.subarray(['/ID/THREE', '*']),
})
const labelSets = fc.record(
  { env: fc.constantFrom('dev', 'prod', 'qa', ''), team: fc.constantFrom('dev', 'ops') },
  { requiredKeys: [], noNullPrototype: true },
)

test('apps are decided as the model decides', () => {
  fc.assert(
    fc.property(
      roleLists,
      traitSets,
      labelSets,
      optional(
        fc.constantFrom(
          'arn:aws:iam::123456789012:role/a',
          'arn:aws:iam::123456789012:role/b',
          'arn:aws:iam::123456789012:role/c',
          '*',
        ),
      ),
      optional(fc.constantFrom('/ID/one', '/id/TWO', '/id/three', '*')),
      (roles, traits, labels, awsRoleArn, azureIdentity) => {
        const app = parseApp({ metadata: { name: 'app', labels }, spec: { cloud: 'AWS' } })
        const decision = decideApp(createRoleSet(roles, traits), { app, awsRoleArn, azureIdentity })
        assert.equal(decision.allowed, model(roles, traits, app, awsRoleArn, azureIdentity))
        if (decision.allowed)
          assert.ok(decision.grantedBy.every((name) => roles.some(({ metadata }) => metadata.name === name)))
      },
    ),
    { numRuns: 3000 },
  )
})

function ruleModel(roles: readonly Role[], verb: Verb, name: string | undefined): boolean {
  const where = (text: string | undefined): boolean | 'failed' => {
    if (text === undefined) return true
    if (text === 'resource.metadata.name') return 'failed'
    return text.startsWith('contains') ? roles.some(({ metadata }) => metadata.name === 'r0') : (name ?? '') !== 'x'
  }
  const hits = (conditions: Conditions): (boolean | 'failed')[] =>
    (conditions.rules ?? [])
      .filter(({ resources }) => resources.includes('role') || resources.includes('*'))
      .filter(
        ({ verbs }) =>
          verbs.includes(verb) || verbs.includes('*') || (verb === 'readnosecrets' && verbs.includes('read')),
      )
      .map((rule) => where(rule.where))
  if (roles.some(({ spec }) => hits(spec.deny).some((hit) => hit !== false))) return false
  return roles.some(({ spec }) => hits(spec.allow).some((hit) => hit === true))
}

test('resources are decided as the model decides', () => {
  const verbs = fc.constantFrom<Verb>('read', 'readnosecrets', 'create', 'delete')
  fc.assert(
    fc.property(roleLists, verbs, optional(fc.constantFrom('x', 'y')), (roles, verb, name) => {
      const resource = name === undefined ? undefined : parseRole({ kind: 'role', metadata: { name } })
      const decision = decideResource(createRoleSet(roles, {}), { kind: 'role', verb, resource })
      assert.equal(decision.allowed, ruleModel(roles, verb, name))
    }),
    { numRuns: 3000 },
  )
})
