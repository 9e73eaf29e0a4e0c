import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseJoinToken } from './join-token.ts'

const token = (spec: object) => ({ kind: 'token', metadata: { name: 't' }, spec: { roles: ['App'], ...spec } })
const bot = { roles: ['Bot'], bot_name: 'b' }

suite('tokens that may not be written', () => {
  for (const [spec, problem] of [
    [{ roles: [] }, 'provisioning token is missing roles'],
    [{ roles: ['Gardener'] }, 'role "Gardener" is not registered'],
    [{ roles: ['Instance'] }, 'role "Instance" is not registered'],
    [{ roles: ['Bot'] }, 'token with role "Bot" must set bot_name'],
    [{ bot_name: 'b' }, 'can only set bot_name on token with role "Bot"'],
    [{ join_method: 'magic' }, 'unknown join method "magic"'],
    [
      { join_method: 'token', allow: [{ aws_account: '1' }] },
      'allow rules are not compatible with the "token" join method',
    ],
    [{ join_method: 'github' }, '"github" configuration must be provided for join method "github"'],
    [
      { join_method: 'terraform_cloud' },
      '"terraform_cloud" configuration must be provided for join method "terraform_cloud"',
    ],
    [{ join_method: 'iam' }, 'the "iam" join method requires defined token allow rules'],
    [{ join_method: 'iam', allow: [{}] }, 'allow rule for "iam" join method must set "aws_account" or "aws_arn"'],
    [
      { join_method: 'iam', allow: [{ aws_account: '1', aws_role: 'r' }] },
      'the "iam" join method does not support the "aws_role" parameter',
    ],
    [{ allow: [{ aws_arn: 'a' }] }, 'the "ec2" join method does not support the "aws_arn" parameter'],
    [
      { join_method: 'ec2', allow: [{ aws_regions: ['x'] }] },
      'allow rule for "ec2" join method must set "aws_account" or "aws_role"',
    ],
    [
      { join_method: 'kubernetes', kubernetes: {} },
      'the "kubernetes" join method requires defined kubernetes allow rules',
    ],
    [
      { join_method: 'kubernetes', kubernetes: { allow: [{}] } },
      'the "kubernetes" join method requires kubernetes allow rules with non-empty service account name',
    ],
    [
      { join_method: 'kubernetes', kubernetes: { allow: [{ service_account: 'x' }] } },
      'the service account must be written as "namespace:name"',
    ],
    [
      { join_method: 'kubernetes', kubernetes: { type: 'static_jwks', allow: [{ service_account: 'a:b' }] } },
      'must be set where type is "static_jwks"',
    ],
    [{ join_method: 'azure', azure: {} }, 'the "azure" join method requires defined azure allow rules'],
    [{ join_method: 'github', github: {} }, 'the "github" join method requires at least one token allow rule'],
    [
      { join_method: 'github', github: { allow: [{ actor: 'a' }] } },
      'allow rule for "github" must include at least one of "repository", "repository_owner" or "sub"',
    ],
    [
      { join_method: 'github', github: { enterprise_server_host: 'https://x', allow: [] } },
      "'spec.github.enterprise_server_host' should not contain the scheme or path",
    ],
  ] as const) {
    test(problem, () => {
      assert.throws(() => parseJoinToken(token(spec)), { name: 'InvalidResource', problem })
    })
  }
})

suite('tokens that may be written', () => {
  for (const [spec, expected] of [
    [{}, { roles: ['App'], join_method: 'token' }],
    [{ roles: ['app', 'KUBE', 'app'] }, { roles: ['App', 'Kube'], join_method: 'token' }],
    [bot, { roles: ['Bot'], bot_name: 'b', join_method: 'token' }],
    [{ allow: [{ aws_account: '1' }] }, { roles: ['App'], allow: [{ aws_account: '1' }], join_method: 'ec2' }],
    [
      { join_method: 'iam', allow: [{ aws_arn: 'arn:*' }] },
      { roles: ['App'], allow: [{ aws_arn: 'arn:*' }], join_method: 'iam' },
    ],
  ] as const) {
    test(JSON.stringify(spec), () => assert.deepEqual(parseJoinToken(token(spec)).spec, expected))
  }
})
