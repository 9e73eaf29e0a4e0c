import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { InvalidArn, parseRoleArn } from './arn.ts'
import { chooseRole, roleCandidates } from './role.ts'
import { roleSessionName } from './session-name.ts'

const role = (account: string, name: string): string => `arn:aws:iam::${account}:role/${name}`
const one = '111111111111'
const two = '222222222222'

suite('ARNs of roles', () => {
  test('are read with their path', () => {
    assert.deepEqual(parseRoleArn(role(one, 'team/Reader')), {
      arn: role(one, 'team/Reader'),
      partition: 'aws',
      accountId: one,
      name: 'team/Reader',
      display: 'Reader',
    })
  })
  for (const [text, message] of [
    ['role/x', /invalid AWS ARN/],
    ['arn:aws:iam::1:role', /is missing AWS IAM role name/],
    [`arn:aws:iam::${one}:role`, /missing AWS IAM role name/],
    [`arn:aws:iam::${one}:user/x`, /is not an AWS IAM role ARN/],
    [`arn:aws:s3:::role/x`, /is not an AWS IAM role ARN/],
    [`arn:aws:iam::${one}:role/`, /is missing AWS IAM role name/],
    [`arn:aws:iam::12345:role/x`, /invalid account ID/],
    [`arn:aws:iam::${one}:role/a b`, /invalid AWS ARN/],
    ['x'.repeat(3000), /longer than/],
  ] as const) {
    test(`refused: ${text.slice(0, 50)}`, () => {
      assert.throws(
        () => parseRoleArn(text),
        (error) => error instanceof InvalidArn && message.test(error.message),
      )
    })
  }
})

suite('which role --aws-role means', () => {
  const arns = [role(two, 'admin'), role(one, 'team/Reader'), role(one, 'reader'), role(two, 'team/Reader'), 'broken']
  const { roles, invalid } = roleCandidates(arns)
  const inOne = roleCandidates(arns, one).roles

  test('candidates are sorted by display name, and what cannot be read is set aside', () => {
    assert.deepEqual(
      roles.map(({ name }) => name),
      ['admin', 'team/Reader', 'reader', 'team/Reader'],
    )
    assert.deepEqual(invalid, ['broken'])
    assert.deepEqual(
      inOne.map(({ name }) => name),
      ['team/Reader', 'reader'],
    )
    assert.deepEqual(roleCandidates(arns, '').roles, roles)
  })

  for (const { says, flag, from, arn, message, shown = from.length } of [
    {
      says: 'none asked, one candidate',
      flag: undefined,
      from: roleCandidates([role(one, 'a')]).roles,
      arn: role(one, 'a'),
    },
    { says: 'none asked, several', flag: '', from: roles, message: '--aws-role flag is required' },
    { says: 'none asked, none there', flag: undefined, from: [], message: '--aws-role flag is required' },
    { says: 'an ARN that is there', flag: role(two, 'admin'), from: roles, arn: role(two, 'admin') },
    {
      says: 'an ARN that is not',
      flag: role(two, 'x'),
      from: roles,
      message: `failed to find the "${role(two, 'x')}" role ARN`,
    },
    { says: 'a display name', flag: 'admin', from: roles, arn: role(two, 'admin') },
    { says: 'a name with its path, in one account', flag: 'team/Reader', from: inOne, arn: role(one, 'team/Reader') },
    { says: 'the last part of a path', flag: 'Reader', from: inOne, arn: role(one, 'team/Reader') },
    { says: 'a name that is not there', flag: 'x', from: roles, message: 'failed to find the "x" role name' },
    {
      says: 'a name in two accounts',
      flag: 'Reader',
      from: roles,
      message: 'provided role name "Reader" is ambiguous, please specify full role ARN',
      shown: 2,
    },
  ]) {
    test(says, () => {
      const choice = chooseRole(flag, from)
      if (choice.found) assert.equal(choice.role.arn, arn)
      else {
        assert.equal(choice.message, message)
        assert.equal(choice.show.length, shown)
      }
    })
  }
})

suite('role session names', () => {
  const long = 'u'.repeat(65)
  for (const [user, name] of [
    ['alice', 'alice'],
    ['alice@example.com', 'alice@example.com'],
    ['u'.repeat(64), 'u'.repeat(64)],
    [long, `${'u'.repeat(47)}-8915c325768b3fcb`],
  ] as const) {
    test(`of ${user.slice(0, 20)} (${user.length})`, () => {
      assert.equal(roleSessionName(user), name)
    })
  }
  test('have only what AWS takes, and stay apart', () => {
    const names = ['a b', 'a/b', 'ä', 'x', 'bot:robot'].map(roleSessionName)
    for (const name of names) assert.match(name, /^[\w+=,.@-]{2,64}$/)
    assert.equal(new Set(names).size, names.length)
    assert.equal(names[0]?.startsWith('a-b-'), true)
  })
})
