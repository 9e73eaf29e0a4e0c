import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseRole, readRole, roleVersions, roleWarnings } from './role.ts'
import { unusedConditions } from './role-conditions.ts'
import { unusedOptions } from './role-options.ts'

const role = (spec: unknown, version = 'v7', name = 'r') => ({ kind: 'role', version, metadata: { name }, spec })
const kubernetes = (entry: object, version = 'v7') => role({ allow: { kubernetes_resources: [entry] } }, version)
const full = { kind: 'pod', namespace: '*', name: '*', verbs: ['*'] }

suite('roles that may not be written', () => {
  for (const [document, field, problem] of [
    [
      role({ allow: { aws_role_arns: ['a', '*'] } }),
      'spec.allow.aws_role_arns[1]',
      'wildcard matcher is not allowed in aws_role_arns',
    ],
    [
      role({ allow: { azure_identities: '*' } }),
      'spec.allow.azure_identities[0]',
      'wildcard matcher is not allowed in allow.azure_identities',
    ],
    [
      role({ allow: { gcp_service_accounts: ['*'] } }),
      'spec.allow.gcp_service_accounts[0]',
      'wildcard matcher is not allowed in allow.gcp_service_accounts',
    ],
    [role({ allow: { logins: ['*'] } }), 'spec.allow.logins[0]', 'wildcard matcher is not allowed in logins'],
    [role({ allow: { app_labels: { '*': 'x' } } }), 'spec.allow.app_labels["*"]', 'selector *:x is not supported'],
    [role({ deny: { app_labels: { '*': ['*', 'x'] } } }), 'spec.deny.app_labels["*"]', 'selector *:x is not supported'],
    [role({}, 'v7', 'proxy'), 'metadata.name', 'reserved role: proxy'],
    [role({}, 'v7', 'default-implicit-role'), 'metadata.name', 'reserved role: default-implicit-role'],
    [role({}, 'v9'), 'version', 'role version "v9" is not supported'],
    [role({}, 'v7', ''), 'metadata.name', 'missing parameter Name'],
    [role({ options: { lock: 'sometimes' } }), 'spec.options.lock', 'invalid value for role option lock: sometimes'],
    [
      role({ options: { enhanced_recording: ['all'] } }),
      'spec.options.enhanced_recording[0]',
      'invalid value for role option enhanced_recording: all',
    ],
    [
      role({ options: { pin_source_ip: 'perhaps' } }),
      'spec.options.pin_source_ip',
      'expected yes or no, found "perhaps"',
    ],
    [
      role({ options: { max_session_ttl: '3 hours' } }),
      'spec.options.max_session_ttl',
      '"3 hours" is not a duration: write one such as "1h30m"',
    ],
    [
      role({ options: { max_session_ttl: '-1h' } }),
      'spec.options.max_session_ttl',
      '"-1h" is not a duration: write one such as "1h30m"',
    ],
    [
      role({ allow: { rules: [{ verbs: ['read'] }] } }),
      'spec.allow.rules[0].resources',
      "failed to process 'allow' rule 0: missing resources to match",
    ],
    [
      role({ deny: { rules: [{ resources: ['role'] }] } }),
      'spec.deny.rules[0].verbs',
      "failed to process 'deny' rule 0: missing verbs",
    ],
    [
      role({ allow: { impersonate: { users: ['bot'] } } }),
      'spec.allow.impersonate',
      'please set both impersonate.users and impersonate.roles for user impersonation',
    ],
    [
      role({ deny: { impersonate: { where: 'true' } } }),
      'spec.deny.impersonate.where',
      "'where' is not supported in deny.impersonate conditions",
    ],
    [
      role({ deny: { request: { thresholds: [{ approve: 1 }] } } }),
      'spec.deny.request.thresholds',
      'deny.request cannot contain thresholds, set denial counts in allow.request.thresholds instead',
    ],
    [
      role({ allow: { request: { max_duration: '15d' } } }),
      'spec.allow.request.max_duration',
      'max access duration must be less than or equal to 336h0m0s',
    ],
    [role({ allow: { spiffe: [{}] } }), 'spec.allow.spiffe[0].path', 'path: should be non-empty'],
    [
      role({ allow: { spiffe: [{ path: 'svc' }] } }),
      'spec.allow.spiffe[0].path',
      'path: should start with / or be a regex expression starting with ^ and ending with $',
    ],
    [
      role({ allow: { spiffe: [{ path: '/a', ip_sans: ['10.0.0.1'] }] } }),
      'spec.allow.spiffe[0].ip_sans[0]',
      'validating ip_sans[0]: invalid CIDR address: 10.0.0.1',
    ],
    [
      kubernetes({ ...full, verbs: ['fly'] }),
      'spec.allow.kubernetes_resources[0].verbs',
      'KubernetesResource verb "fly" is invalid or unsupported; Supported: [* get list watch create update patch delete deletecollection exec portforward]',
    ],
    [
      kubernetes({ ...full, verbs: ['*', 'get'] }),
      'spec.allow.kubernetes_resources[0].verbs',
      'KubernetesResource verb "*" cannot be used with other verbs',
    ],
    [
      kubernetes({ ...full, kind: 'secret' }, 'v6'),
      'spec.allow.kubernetes_resources[0].kind',
      'KubernetesResource kind "secret" is not supported in role version "v6". Upgrade the role version to "v8"',
    ],
    [
      kubernetes({ ...full, api_group: 'apps' }),
      'spec.allow.kubernetes_resources[0].api_group',
      'API Group "apps" is not supported in role version "v7". Upgrade the role version to "v8"',
    ],
    [
      kubernetes({ ...full, namespace: '' }),
      'spec.allow.kubernetes_resources[0].namespace',
      'KubernetesResource kind "pod" must include Namespace',
    ],
    [
      kubernetes({ ...full, name: '' }),
      'spec.allow.kubernetes_resources[0].name',
      'KubernetesResource must include Name',
    ],
    [
      kubernetes({ ...full, api_group: '' }, 'v8'),
      'spec.allow.kubernetes_resources[0].kind',
      'KubernetesResource kind "pod" is invalid. Please use plural name for role version "v8"',
    ],
    [
      kubernetes({ ...full, kind: 'deployments' }, 'v8'),
      'spec.allow.kubernetes_resources[0].api_group',
      'KubernetesResource api_group is required for resource "deployments" in role version "v8"',
    ],
    [
      role({ allow: { app_label: {} } }),
      'spec.allow.app_label',
      'unknown field "app_label", did you mean "app_labels"?',
    ],
    [
      role({ allow: { aws_role_arns: ['{{internal.aws_role_arns}}', 'ReadOnly'] } }),
      'spec.allow.aws_role_arns[1]',
      'invalid AWS ARN: "ReadOnly"',
    ],
    [
      role({ deny: { aws_role_arns: ['*', 'arn:aws:iam::1234:role/Admin'] } }),
      'spec.deny.aws_role_arns[1]',
      '"arn:aws:iam::1234:role/Admin" invalid account ID: "1234"',
    ],
    [
      role({ allow: { aws_role_arns: ['arn:aws:iam::123456789012:user/bob'] } }),
      'spec.allow.aws_role_arns[0]',
      '"arn:aws:iam::123456789012:user/bob" is not an AWS IAM role ARN',
    ],
    [
      role({ allow: { aws_role_arns: ['{{external.a'] } }),
      'spec.allow.aws_role_arns[0]',
      "\"{{external.a\" is using template brackets '{{' or '}}', however expression does not parse, make sure the format is {{expression}}",
    ],
    [
      role({ allow: { aws_role_arns: ['{{internal.foo}}'] } }),
      'spec.allow.aws_role_arns[0]',
      'unsupported variable "internal.foo"',
    ],
    [
      role({ allow: { app_labels: { env: 5 } } }),
      'spec.allow.app_labels.env',
      'expected a text or a list of texts, found the number 5',
    ],
    [
      role({ allow: { app_labels: { env: [true] } } }),
      'spec.allow.app_labels.env[0]',
      'expected a text, found the boolean true: put it in quotes',
    ],
    [role({ allow: [] }), 'spec.allow', 'expected a map of fields, found a list'],
    [role('x'), 'spec', 'expected a map of fields, found a text'],
  ] as const) {
    test(`${field}: ${problem}`, () => {
      assert.throws(() => parseRole(document), { name: 'InvalidResource', field, problem })
    })
  }
})

suite('roles that may be written', () => {
  for (const [says, document] of [
    ['a wildcard in deny', role({ deny: { aws_role_arns: ['*'], azure_identities: ['*'] } })],
    ['a plural kind in v8', kubernetes({ ...full, kind: 'pods' }, 'v8')],
    ['a cluster-wide kind without a namespace', kubernetes({ kind: 'namespace', name: '*', verbs: ['get'] })],
    ['a pod rule in v6', kubernetes({ kind: 'pod', namespace: '*', name: '*' }, 'v6')],
    ['a template in a label', role({ allow: { app_labels: { '{{external.key}}': '{{external.team}}' } } })],
    ['a block without contents', role({ allow: null, options: { lock: null } })],
  ] as const) {
    test(says, () => assert.equal(parseRole(document).metadata.name, 'r'))
  }
  for (const version of roleVersions) {
    test(`version ${version}`, () => assert.equal(parseRole(role({}, version)).version, version))
  }
  test('no version means v8', () => {
    assert.equal(parseRole({ metadata: { name: 'r' } }).version, 'v8')
    assert.equal(parseRole(role({}, '')).version, 'v8')
  })
})

test('what people write becomes the one form that is stored, and that form stays as it is', () => {
  const written = role({
    options: { max_session_ttl: '8h', client_idle_timeout: 'never', require_session_mfa: 'yes', pin_source_ip: 'off' },
    allow: {
      app_labels: { env: 'dev' },
      aws_role_arns: 'arn:aws:iam::123456789012:role/a',
      rules: [{ resources: 'role', verbs: 'read' }],
    },
  })
  const parsed = parseRole({
    ...written,
    metadata: { name: 'r', namespace: 'default', id: 7, expires: '2030-01-01T01:00:00+01:00' },
  })
  assert.deepEqual(parsed, {
    kind: 'role',
    version: 'v7',
    metadata: { name: 'r', expires: '2030-01-01T00:00:00.000Z' },
    spec: {
      options: {
        max_session_ttl: '8h0m0s',
        client_idle_timeout: '0s',
        require_session_mfa: 'yes',
        pin_source_ip: false,
      },
      allow: {
        app_labels: { env: ['dev'] },
        aws_role_arns: ['arn:aws:iam::123456789012:role/a'],
        rules: [{ resources: ['role'], verbs: ['read'] }],
      },
      deny: {},
    },
  })
  assert.deepEqual(parseRole(JSON.parse(JSON.stringify(parsed))), parsed)
})

test('a parsed role cannot be changed', () => {
  const { spec } = parseRole(role({ allow: { app_labels: { env: ['dev'] } } }))
  assert.throws(() => (spec.allow.app_labels!.env as string[]).push('prod'), TypeError)
})

test('every field of the reference that does nothing here is taken, kept and warned of', () => {
  const conditions = Object.fromEntries(unusedConditions.map((name) => [name, { a: ['b'] }]))
  const options = Object.fromEntries(unusedOptions.map((name) => [name, true]))
  const parsed = parseRole(role({ options, allow: conditions, deny: conditions }))
  assert.equal(roleWarnings(parsed).length, unusedOptions.length + 2 * unusedConditions.length)
  assert.match(roleWarnings(parsed)[0]!, /^role "r": spec\.options\.cert_extensions is kept and has no effect/)
  assert.deepEqual(parsed.spec.allow.db_labels, { a: ['b'] })
  assert.deepEqual(roleWarnings(parseRole(role({ allow: { logins: ['root'] } }))), [])
})

suite('a stored role that is not understood', () => {
  for (const { says, spec, version = 'v7', unreadable, deny = {}, deniesAll } of [
    {
      says: 'loses its allow for an unknown condition',
      spec: { allow: { next: 1 }, deny: { aws_role_arns: ['arn:aws:iam::123456789012:role/a'] } },
      unreadable: ['spec.allow.next'],
      deny: { aws_role_arns: ['arn:aws:iam::123456789012:role/a'] },
    },
    {
      says: 'loses its allow for an unknown option',
      spec: { options: { next: 1, lock: 'strict' } },
      unreadable: ['spec.options.next'],
    },
    {
      says: 'loses its allow for several',
      spec: { options: { next: 1 }, allow: { next: 1 }, deny: { next: 1 }, next: 1 },
      unreadable: ['spec.next', 'spec.options.next', 'spec.allow.next', 'spec.deny.next'],
    },
    {
      says: 'loses its allow for an expression that does not parse',
      spec: { allow: { app_labels_expression: 'a b' } },
      unreadable: ['spec.allow.app_labels_expression'],
    },
    {
      says: 'loses its allow for an unknown version',
      spec: { deny: { logins: ['a'] } },
      version: 'v99',
      unreadable: ['version'],
      deny: { logins: ['a'] },
    },
    {
      says: 'denies everything for a deny that does not parse',
      spec: { deny: { app_labels_expression: 'a b' } },
      unreadable: ['spec.deny.app_labels_expression'],
      deniesAll: true,
    },
    { says: 'denies everything for a spec that is no map', spec: 'x', unreadable: ['spec'], deniesAll: true },
  ]) {
    test(says, () => {
      const read = readRole(role(spec, version))
      assert.deepEqual([...read.unreadable!].sort(), unreadable.sort())
      assert.deepEqual(read.spec.allow, {})
      assert.deepEqual(read.spec.deny, deny)
      assert.equal(read.deniesAll, deniesAll)
    })
  }
  test('is refused where not even its name is there', () =>
    assert.throws(() => readRole(role({}, 'v7', '')), { name: 'InvalidResource' }))
  test('keeps what it has if it is understood', () =>
    assert.equal(readRole(role({ allow: { logins: ['a'] } })).unreadable, undefined))
})
