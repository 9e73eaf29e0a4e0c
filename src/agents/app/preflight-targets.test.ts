import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseApp } from '#resources/app.ts'
import { parseRole } from '#resources/role.ts'
import { preflightTargets, trustStatement } from './preflight-targets.ts'

const arn = (name: string, partition = 'aws', account = '123456789012'): string =>
  `arn:${partition}:iam::${account}:role/${name}`
const app = (name: string, spec: object = {}, labels: Record<string, string> = {}): ReturnType<typeof parseApp> =>
  parseApp({ metadata: { name, labels }, spec: { uri: 'https://console.aws.amazon.com/', ...spec } })
const role = (name: string, allow: object, deny: object = {}): ReturnType<typeof parseRole> =>
  parseRole({ kind: 'role', version: 'v7', metadata: { name }, spec: { allow, deny } })
const everywhere = { app_labels: { '*': '*' } }

suite('the roles that an agent looks at ahead', () => {
  test('are those that the cluster allows at its AWS apps, each once', () => {
    const apps = [app('one'), app('two'), app('web', { uri: 'http://localhost:80' })]
    const roles = [
      role('a', { ...everywhere, aws_role_arns: [arn('Writer'), arn('Reader')] }),
      role('b', { ...everywhere, aws_role_arns: [arn('Reader')] }),
      role('c', { app_labels: { env: 'other' }, aws_role_arns: [arn('Elsewhere')] }),
    ]
    assert.deepEqual(
      preflightTargets(apps, roles).map(({ app, roleArn }) => [app, roleArn]),
      [
        ['one', arn('Reader')],
        ['one', arn('Writer')],
      ],
    )
  })

  test('are no templates, nothing that is denied, and none of another account or partition', () => {
    const roles = [
      role('a', { ...everywhere, aws_role_arns: ['{{external.arns}}', arn('Other', 'aws', '999999999999')] }),
      role(
        'b',
        { ...everywhere, aws_role_arns: [arn('China', 'aws-cn'), arn('Denied')] },
        { aws_role_arns: [arn('Denied')], app_labels: {} },
      ),
    ]
    assert.deepEqual(preflightTargets([app('one', {}, { aws_account_id: '123456789012' })], roles), [])
  })

  test('are asked for once for each external id', () => {
    const apps = [app('one'), app('two', { aws: { external_id: 'x' } }), app('three', { aws: { external_id: 'x' } })]
    const roles = [role('a', { ...everywhere, aws_role_arns: [arn('Reader')] })]
    assert.deepEqual(
      preflightTargets(apps, roles).map(({ app, externalId }) => [app, externalId]),
      [
        ['one', undefined],
        ['two', 'x'],
      ],
    )
  })
})

suite('the statement for a trust policy', () => {
  for (const [agent, principal] of [
    ['arn:aws:sts::123456789012:assumed-role/TeleportAWSAccess/i-1', arn('TeleportAWSAccess')],
    ['arn:aws-cn:sts::123456789012:assumed-role/Agent/x', arn('Agent', 'aws-cn')],
    ['arn:aws:iam::123456789012:user/agent', 'arn:aws:iam::123456789012:user/agent'],
  ] as const) {
    test(`names ${principal}`, () => {
      assert.deepEqual(JSON.parse(trustStatement(agent)), {
        Effect: 'Allow',
        Principal: { AWS: principal },
        Action: 'sts:AssumeRole',
      })
    })
  }

  test('asks for the external id of the app', () => {
    const { Condition } = JSON.parse(trustStatement('arn:aws:iam::123456789012:user/agent', 'x'))
    assert.deepEqual(Condition, { StringEquals: { 'sts:ExternalId': 'x' } })
  })
})
