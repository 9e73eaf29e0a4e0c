import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { UsageError } from '#cli/usage-error.ts'
import type { AppLogin } from '#client/app-session.ts'
import { InvalidInput, NotFound } from '#errors.ts'
import { chooseAwsApp, targetsOf } from './aws-apps.ts'
import { offlineWarning } from './aws-offline.ts'
import { chosenCredentials, noticeText } from './aws-proxy.ts'
import { runChild } from './commands/aws.ts'
import { parsePort } from './commands/proxy.ts'

const aws = (app: string) => ({ app, awsRoleArn: 'arn:aws:iam::123456789012:role/Reader' })

suite('which app "tsh aws" uses', () => {
  for (const { says, logins, flag, answer, message } of [
    {
      says: 'the only AWS app',
      logins: [{ app: 'web' }, aws('awsconsole')],
      answer: { app: 'awsconsole', login: false },
    },
    { says: 'the named one of several', logins: [aws('a'), aws('b')], flag: 'b', answer: { app: 'b', login: false } },
    {
      says: 'a named one without a login, which is made',
      logins: [aws('a')],
      flag: 'c',
      answer: { app: 'c', login: true },
    },
    {
      says: 'one of several, not named',
      logins: [aws('a'), aws('b')],
      message: 'multiple apps are available (a, b), please specify one via CLI argument',
    },
    { says: 'none', logins: [{ app: 'web' }], message: "please login to AWS App using 'tsh apps login' first" },
    {
      says: 'a named one that is not AWS',
      logins: [{ app: 'web' }],
      flag: 'web',
      message: 'selected app "web" is not an AWS application',
    },
  ]) {
    test(says, () => {
      if (answer !== undefined) assert.deepEqual(chooseAwsApp(logins, flag), answer)
      else {
        assert.throws(
          () => chooseAwsApp(logins, flag),
          (error) => {
            assert.ok(error instanceof UsageError || error instanceof NotFound)
            assert.equal(error.message, message)
            return true
          },
        )
      }
    })
  }
})

test('keys from the environment are taken as a pair or not at all', () => {
  assert.equal(chosenCredentials({}), undefined)
  const pair = { TELEPORT_AWS_ACCESS_KEY_ID: 'a'.repeat(16), TELEPORT_AWS_SECRET_ACCESS_KEY: 's' }
  assert.equal(chosenCredentials(pair)?.accessKeyId, 'a'.repeat(16))
  assert.throws(() => chosenCredentials({ ...pair, TELEPORT_AWS_SECRET_ACCESS_KEY: '' }), InvalidInput)
  assert.throws(() => chosenCredentials({ ...pair, TELEPORT_AWS_ACCESS_KEY_ID: 'short' }), InvalidInput)
})

test('what an agent says is one line that cannot steer the terminal', () => {
  assert.equal(noticeText({ kind: 'error', app: 'a', text: 'no\u001b[31m' }), 'ERROR: a: no\\x1b[31m')
  assert.equal(noticeText({ kind: 'info', text: 'lowered' }), 'INFO: lowered')
})

suite('what is only signed and never sent', () => {
  for (const [line, says] of [
    ['s3 presign s3://b/k', /^this URL is signed with placeholder keys.*s3\.signature_version s3v4/],
    ['--region us-east-1 eks get-token --cluster-name c', /^this token .*Kubernetes/],
    ['--region=us-east-1 --no-verify-ssl rds generate-db-auth-token', /^this token .*database/],
    ['codecommit credential-helper get', /^this password .*CodeCommit/],
    ['--output json s3 ls s3://presign', undefined],
    ['s3 cp s3 presign', undefined],
    ['eks update-kubeconfig --name get-token', undefined],
  ] as const) {
    test(`aws ${line}: ${says === undefined ? 'nothing to say' : 'a warning'}`, () => {
      const warnings = offlineWarning('/usr/bin/aws', line.split(' '))
      assert.equal(warnings.length, says === undefined ? 0 : 1)
      if (says !== undefined) assert.match(warnings[0] ?? '', says)
    })
  }
  test('by other programs is theirs to explain', () => {
    assert.deepEqual(offlineWarning('terraform', ['s3', 'presign']), [])
  })
})

suite('what "tsh proxy aws --all" makes of an app', () => {
  const [reader, admin] = ['Reader', 'Admin'].map((name) => `arn:aws:iam::123456789012:role/${name}`) as [
    string,
    string,
  ]
  const login = { route: { awsRoleArn: reader } } as AppLogin // the parts that are looked at
  for (const { says, arns, labels = {}, stored, awsRole, profiles } of [
    { says: 'one role needs no name', arns: [reader], profiles: ['app'] },
    { says: 'several roles are a profile each', arns: [reader, admin], profiles: ['app-Admin', 'app-Reader'] },
    {
      says: 'a stored login is one more, as the role that it has',
      arns: [reader, admin],
      stored: login,
      profiles: ['app', 'app-Admin', 'app-Reader'],
    },
    { says: 'a stored login with the only role', arns: [reader], stored: login, profiles: ['app'] },
    {
      says: 'only roles of the account in the label',
      arns: [reader, 'arn:aws:iam::210987654321:role/Reader'],
      labels: { aws_account_id: '210987654321' },
      profiles: ['app'],
    },
    {
      says: 'roles of one name are told apart by account, and by path',
      arns: [
        reader,
        'arn:aws:iam::210987654321:role/Reader',
        'arn:aws:iam::123456789012:role/team/Other',
        'arn:aws:iam::123456789012:role/Other',
      ],
      profiles: [
        'app-123456789012-Other',
        'app-123456789012-Reader',
        'app-123456789012-team.Other',
        'app-210987654321-Reader',
      ],
    },
    {
      says: 'the role that is asked for',
      arns: [reader, admin],
      awsRole: 'Admin',
      stored: login,
      profiles: ['app-Admin'],
    },
    { says: 'nothing where the role is not', arns: [reader], awsRole: 'Admin', profiles: [] },
    { says: 'nothing without a role', arns: [], profiles: [] },
  ]) {
    test(says, () => {
      const targets = targetsOf({ name: 'app', awsRoleArns: arns, labels }, stored, awsRole)
      assert.deepEqual(targets.map(({ profile }) => profile).sort(), profiles)
    })
  }
})

test('a port is a number of five digits at most', () => {
  assert.equal(parsePort(undefined), 0)
  assert.equal(parsePort('23456'), 23456)
  for (const text of ['70000', '-1', 'x', '1e3', '']) assert.throws(() => parsePort(text), UsageError)
})

suite('the program that runs', () => {
  const env = { PATH: process.env.PATH ?? '' }
  test('gives its exit code', async () => {
    assert.equal(await runChild('sh', ['-c', 'exit 7'], env), 7)
    assert.equal(await runChild('sh', ['-c', 'test "$A" = b'], { ...env, A: 'b' }), 0)
  })
  test('that is ended by a signal gives 128 and its number', async () => {
    assert.equal(await runChild('sh', ['-c', 'kill -KILL $$'], env), 137)
  })
  test('that is not there is an error that says what to do', async () => {
    await assert.rejects(runChild('no-such-program', [], env), (error) => {
      assert.ok(error instanceof NotFound)
      assert.equal(error.message, 'exec: "no-such-program": executable file not found in $PATH')
      return true
    })
  })
})
