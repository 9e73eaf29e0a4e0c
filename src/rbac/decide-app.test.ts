import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseApp } from '#resources/app.ts'
import { parseRole, type Role, readRole } from '#resources/role.ts'
import type { Traits } from '#traits/traits.ts'
import { type AppRequest, awsRoleArnsFor, azureIdentitiesFor, decideApp, visibleApps } from './decide-app.ts'
import { explain } from './decision.ts'
import { cloudPrincipals } from './principals.ts'
import { createRoleSet } from './role-set.ts'

const READ_ONLY = 'arn:aws:iam::123456789012:role/ReadOnly'
const ADMIN = 'arn:aws:iam::123456789012:role/Admin'
const OTHER_ACCOUNT = 'arn:aws:iam::999999999999:role/ReadOnly'
const IDENTITY =
  '/subscriptions/020f22ca-9b57-4f9e-8e3a-2d5d2f4c1f3a/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/teleport'

const app = parseApp({
  metadata: { name: 'awsconsole', labels: { env: 'dev', team: 'cloud' } },
  spec: { uri: 'https://console.aws.amazon.com/', dynamic_labels: { host: { command: ['hostname'], result: 'h1' } } },
})

function role(name: string, allow: object, deny: object = {}, options: object = {}, version = 'v5'): Role {
  return parseRole({ kind: 'role', version, metadata: { name }, spec: { options, allow, deny } })
}

const any = { '*': '*' }
const reader = role('aws-ro-access', { app_labels: any, aws_role_arns: [READ_ONLY] })
const blocker = role('no-aws', {}, { aws_role_arns: ['*'] })
const azure = role('azure', { app_labels: any, azure_identities: ['{{internal.azure_identities}}'] })

interface Row extends Partial<AppRequest> {
  readonly says: string
  readonly roles: readonly Role[]
  readonly traits?: Traits
  readonly answer: readonly string[] | string
}

suite('who may use an app', () => {
  const rows: readonly Row[] = [
    { says: 'a role that lists the ARN grants it', roles: [reader], awsRoleArn: READ_ONLY, answer: ['aws-ro-access'] },
    {
      says: 'an ARN that no role lists is refused',
      roles: [reader],
      awsRoleArn: ADMIN,
      answer: 'aws-role-not-allowed',
    },
    {
      says: 'case counts in an ARN',
      roles: [reader],
      awsRoleArn: READ_ONLY.toLowerCase(),
      answer: 'aws-role-not-allowed',
    },
    { says: 'no roles give nothing', roles: [], answer: 'no-role-matches' },
    { says: 'no roles give no ARN', roles: [], awsRoleArn: READ_ONLY, answer: 'no-role-matches' },
    { says: 'deny wins over allow', roles: [reader, blocker], awsRoleArn: READ_ONLY, answer: 'denied-by-role' },
    { says: 'a denied wildcard leaves the app itself visible', roles: [reader, blocker], answer: ['aws-ro-access'] },
    {
      says: 'a denied ARN leaves others',
      roles: [role('a', { app_labels: any, aws_role_arns: [READ_ONLY, ADMIN] }, { aws_role_arns: [ADMIN] })],
      awsRoleArn: READ_ONLY,
      answer: ['a'],
    },
    {
      says: 'the labels of one role do not add up with the ARN of another',
      roles: [role('labels', { app_labels: any }), role('arn', { aws_role_arns: [READ_ONLY] })],
      awsRoleArn: READ_ONLY,
      answer: 'aws-role-not-allowed',
    },
    { says: 'an asterisk cannot be asked for', roles: [reader], awsRoleArn: '*', answer: 'aws-role-not-allowed' },
    {
      says: 'a trait that holds an asterisk gives nothing',
      roles: [role('t', { app_labels: any, aws_role_arns: ['{{internal.aws_role_arns}}'] })],
      traits: { aws_role_arns: ['*'] },
      awsRoleArn: '*',
      answer: 'aws-role-not-allowed',
    },
    {
      says: 'a trait gives its ARNs',
      roles: [role('t', { app_labels: any, aws_role_arns: ['{{external.aws_role_arns}}'] })],
      traits: { aws_role_arns: [ADMIN] },
      awsRoleArn: ADMIN,
      answer: ['t'],
    },
    {
      says: 'a missing trait drops its entry and leaves the others',
      roles: [role('t', { app_labels: any, aws_role_arns: ['{{external.missing}}', READ_ONLY] })],
      awsRoleArn: READ_ONLY,
      answer: ['t'],
    },
    {
      says: 'an Azure identity is compared without case',
      roles: [azure],
      traits: { azure_identities: [IDENTITY] },
      azureIdentity: IDENTITY.toUpperCase(),
      answer: ['azure'],
    },
    {
      says: 'another Azure identity is refused',
      roles: [azure],
      traits: { azure_identities: [IDENTITY] },
      azureIdentity: `${IDENTITY}2`,
      answer: 'azure-identity-not-allowed',
    },
    {
      says: 'a second role that denies every Azure identity wins',
      roles: [azure, role('none', { app_labels: any }, { azure_identities: ['*'] })],
      traits: { azure_identities: [IDENTITY] },
      azureIdentity: IDENTITY,
      answer: 'denied-by-role',
    },
    {
      says: 'labels that do not match give nothing',
      roles: [role('p', { app_labels: { env: 'prod' } })],
      answer: 'no-role-matches',
    },
    {
      says: 'denied labels win',
      roles: [reader, role('d', {}, { app_labels: { env: 'dev' } })],
      answer: 'denied-by-role',
    },
    { says: 'a dynamic label counts', roles: [role('h', { app_labels: { host: 'h*' } })], answer: ['h'] },
    {
      says: 'a role of version v3 opens every app unless it says otherwise',
      roles: [role('old', {}, {}, {}, 'v3')],
      answer: ['old'],
    },
    { says: 'a later version does not', roles: [role('new', {}, {}, {}, 'v4')], answer: 'no-role-matches' },
    {
      says: 'an allow for another namespace is void',
      roles: [role('n', { app_labels: any, namespaces: ['other'] })],
      answer: 'no-role-matches',
    },
    {
      says: 'selector and expression must both allow',
      roles: [role('e', { app_labels: any, app_labels_expression: 'labels["env"] == "prod"' })],
      answer: 'no-role-matches',
    },
    {
      says: 'selector or expression suffices to deny',
      roles: [reader, role('e', {}, { app_labels: { env: 'prod' }, app_labels_expression: 'labels["env"] == "dev"' })],
      answer: 'denied-by-role',
    },
    {
      says: 'a deny expression that fails denies',
      roles: [reader, role('e', {}, { app_labels_expression: 'labels["env"] && true' })],
      answer: 'denied-by-role',
    },
    {
      says: 'an allow expression that fails allows nothing',
      roles: [role('e', { app_labels_expression: 'labels["env"] && true' })],
      answer: 'no-role-matches',
    },
    {
      says: 'MFA that a granting role wants must be proved',
      roles: [role('m', { app_labels: any }, {}, { require_session_mfa: true })],
      answer: 'mfa-required',
    },
    {
      says: 'MFA wanted by a role that does not grant is not asked for',
      roles: [reader, role('m', { app_labels: { env: 'prod' } }, {}, { require_session_mfa: 'yes' })],
      answer: ['aws-ro-access'],
    },
    {
      says: 'any granting role can ask for MFA',
      roles: [reader, role('m', { app_labels: any }, {}, { require_session_mfa: 'yes' })],
      answer: 'mfa-required',
    },
    {
      says: 'proved MFA satisfies',
      roles: [role('m', { app_labels: any }, {}, { require_session_mfa: 'yes' })],
      state: { mfaRequired: 'per-role', mfaVerified: true, deviceVerified: false },
      answer: ['m'],
    },
    {
      says: 'the cluster can ask everyone for MFA',
      roles: [reader],
      state: { mfaRequired: 'always', mfaVerified: false, deviceVerified: true },
      answer: 'mfa-required',
    },
    {
      says: 'a trusted device can be demanded',
      roles: [role('d', { app_labels: any }, {}, { device_trust_mode: 'required' })],
      answer: 'device-required',
    },
  ]
  for (const { says, roles, traits = {}, answer, ...request } of rows) {
    test(says, () => {
      const decision = decideApp(createRoleSet(roles, traits), { app, ...request })
      assert.deepEqual(decision.allowed ? decision.grantedBy : decision.reason, answer)
      assert.equal(explain(decision) === '', decision.allowed)
    })
  }
})

suite('a role that a newer version wrote', () => {
  const stored = (part: object) => readRole({ kind: 'role', version: 'v5', metadata: { name: 'future' }, spec: part })
  test('allows nothing, whichever field is not known', () => {
    for (const part of [
      { allow: { app_labels: any, moon_phase: 'full' } },
      { allow: { app_labels: any }, options: { moon_phase: 'full' } },
      { allow: { app_labels: any }, deny: { moon_phase: 'full' } },
      { allow: { app_labels: any }, moon_phase: 'full' },
    ]) {
      const decision = decideApp(createRoleSet([stored(part)], {}), { app })
      assert.deepEqual(decision, { allowed: false, reason: 'role-unreadable', deniedBy: 'future' })
    }
  })
  test('of version v3 does not open every app either', () => {
    const future = readRole({
      kind: 'role',
      version: 'v3',
      metadata: { name: 'future' },
      spec: { allow: { moon_phase: 1 } },
    })
    assert.equal(decideApp(createRoleSet([future], {}), { app }).allowed, false)
  })
  test('still denies', () => {
    const future = stored({ allow: { moon_phase: 'full' }, deny: { app_labels: any } })
    assert.deepEqual(decideApp(createRoleSet([reader, future], {}), { app }), {
      allowed: false,
      reason: 'denied-by-role',
      deniedBy: 'future',
    })
  })
  test('takes nothing from what other roles allow', () => {
    const future = stored({ allow: { moon_phase: 'full' } })
    assert.equal(decideApp(createRoleSet([reader, future], {}), { app, awsRoleArn: READ_ONLY }).allowed, true)
  })
  test('denies everything when its deny makes no sense', () => {
    const future = stored({ deny: { app_labels: 'everything' } })
    assert.deepEqual(decideApp(createRoleSet([reader, future], {}), { app }), {
      allowed: false,
      reason: 'role-unreadable',
      deniedBy: 'future',
    })
    // As the next process reads it, which gets it as JSON.
    const passedOn = readRole(JSON.parse(JSON.stringify(future)))
    assert.equal(decideApp(createRoleSet([reader, passedOn], {}), { app }).allowed, false)
  })
})

suite('what a person may choose from', () => {
  const both = role('both', { app_labels: any, aws_role_arns: [READ_ONLY, OTHER_ACCOUNT, ADMIN, '{{external.junk}}'] })
  const labelled = parseApp({
    metadata: { name: 'a', labels: { aws_account_id: '999999999999' } },
    spec: { cloud: 'AWS' },
  })

  test('the ARNs of the roles that match the app, without those denied and what is no ARN', () => {
    const set = createRoleSet([both, role('not-admin', {}, { aws_role_arns: [ADMIN] })], { junk: ['no-arn'] })
    assert.deepEqual(awsRoleArnsFor(set, app), [READ_ONLY, OTHER_ACCOUNT])
  })
  test('the ARNs of the account that the app is labelled with', () => {
    assert.deepEqual(awsRoleArnsFor(createRoleSet([both], {}), labelled), [OTHER_ACCOUNT])
  })
  test('nothing at an app that is denied', () => {
    assert.deepEqual(awsRoleArnsFor(createRoleSet([both, role('d', {}, { app_labels: any })], {}), app), [])
    assert.deepEqual(awsRoleArnsFor(createRoleSet([both, blocker], {}), app), [])
  })
  test('Azure identities, each once however it is written', () => {
    const roles = [role('a', { app_labels: any, azure_identities: [IDENTITY, IDENTITY.toLowerCase()] })]
    assert.equal(azureIdentitiesFor(createRoleSet(roles, {}), app).length, 1)
    const denier = role('d', {}, { azure_identities: [IDENTITY.toUpperCase()] })
    assert.deepEqual(azureIdentitiesFor(createRoleSet([...roles, denier], {}), app), [])
  })
  test('what can be chosen is exactly what would be allowed', () => {
    const set = createRoleSet([both, reader, role('not-admin', {}, { aws_role_arns: [ADMIN] })], {})
    for (const arn of [READ_ONLY, OTHER_ACCOUNT, ADMIN]) {
      assert.equal(awsRoleArnsFor(set, app).includes(arn), decideApp(set, { app, awsRoleArn: arn }).allowed)
    }
  })
  test('apps that labels allow are visible, also where MFA is needed to use them', () => {
    const set = createRoleSet([role('m', { app_labels: { env: 'dev' } }, {}, { require_session_mfa: true })], {})
    assert.deepEqual(visibleApps(set, [app, labelled]), [app])
  })
  test('a login names the principals of the roles whose sessions last long enough', () => {
    const short = role('short', { aws_role_arns: [ADMIN] }, {}, { max_session_ttl: '1h' })
    const set = createRoleSet([reader, short], {})
    assert.deepEqual(cloudPrincipals(set, 'aws', 2 * 3_600_000), [READ_ONLY])
    assert.deepEqual(cloudPrincipals(set, 'aws'), [READ_ONLY, ADMIN])
    assert.deepEqual(cloudPrincipals(createRoleSet([reader, blocker], {}), 'aws'), [])
  })
})

test('an explanation names fields and never roles', () => {
  const decision = decideApp(createRoleSet([reader], {}), { app, awsRoleArn: ADMIN })
  assert.match(explain(decision), /allow\.aws_role_arns/)
  assert.doesNotMatch(explain(decision), /aws-ro-access/)
})
