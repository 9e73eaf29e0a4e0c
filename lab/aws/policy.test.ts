import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AwsError } from './aws-error.ts'
import { globMatches } from './glob.ts'
import { askPolicies, parsePolicy } from './policy.ts'

const document = (...statements: object[]): string => JSON.stringify({ Version: '2012-10-17', Statement: statements })
const allow = (more: object): object => ({ Effect: 'Allow', Action: '*', Resource: '*', ...more })
const ask = (
  policies: readonly string[],
  action: string,
  resource: string,
  context: Record<string, string | string[]> = {},
): string =>
  askPolicies(
    policies.map((text) => parsePolicy(text, 'identity')),
    { action, resource, context: new Map(Object.entries(context)) },
  )

suite('what policies say', () => {
  const reports = 'arn:aws:s3:::reports'
  const rows: readonly {
    says: string
    statements: object[]
    action?: string
    resource?: string
    context?: Record<string, string | string[]>
    answer: string
  }[] = [
    {
      says: 'a policy that does not match is silent',
      statements: [allow({ Action: 's3:Get*' })],
      action: 's3:PutObject',
      answer: 'silent',
    },
    { says: 'actions compare without case', statements: [allow({ Action: 'S3:getobject' })], answer: 'allow' },
    {
      says: 'deny wins over allow',
      statements: [allow({}), allow({ Effect: 'Deny', Action: 's3:*' })],
      answer: 'deny',
    },
    { says: 'a question mark is one character', statements: [allow({ Resource: `${reports}/?` })], answer: 'allow' },
    {
      says: 'NotAction is everything else',
      statements: [allow({ Action: undefined, NotAction: 'iam:*' })],
      answer: 'allow',
    },
    {
      says: 'NotResource is everything else',
      statements: [allow({ Resource: undefined, NotResource: `${reports}/*` })],
      answer: 'silent',
    },
    {
      says: 'variables stand for the caller',
      statements: [allow({ Resource: `${reports}/\${aws:username}` })],
      context: { 'aws:username': 'a' },
      answer: 'allow',
    },
    {
      says: 'what a variable gives is never a wildcard',
      statements: [allow({ Resource: `${reports}/\${aws:username}` })],
      context: { 'aws:username': '*' },
      answer: 'silent',
    },
    {
      says: 'a variable without a value matches nothing',
      statements: [allow({ Resource: `${reports}/\${aws:username}` })],
      answer: 'silent',
    },
    {
      says: 'a variable may have a default',
      statements: [allow({ Resource: `${reports}/\${aws:PrincipalTag/team, 'a'}` })],
      answer: 'allow',
    },
    {
      says: 'StringEquals takes wildcards as they are',
      statements: [allow({ Condition: { StringEquals: { 's3:prefix': 'a*' } } })],
      context: { 's3:prefix': 'ab' },
      answer: 'silent',
    },
    {
      says: 'StringLike matches wildcards',
      statements: [allow({ Condition: { StringLike: { 's3:prefix': ['x', 'a*'] } } })],
      context: { 's3:prefix': 'ab' },
      answer: 'allow',
    },
    {
      says: 'a condition on an absent key does not hold',
      statements: [allow({ Condition: { StringEquals: { 's3:prefix': 'a' } } })],
      answer: 'silent',
    },
    {
      says: 'with IfExists it does',
      statements: [allow({ Condition: { StringEqualsIfExists: { 's3:prefix': 'a' } } })],
      answer: 'allow',
    },
    {
      says: 'a negated condition on an absent key holds',
      statements: [allow({ Condition: { StringNotEquals: { 's3:prefix': 'a' } } })],
      answer: 'allow',
    },
    {
      says: 'every condition must hold',
      statements: [
        allow({ Condition: { Bool: { 'aws:SecureTransport': 'true' }, StringLike: { 's3:prefix': 'z*' } } }),
      ],
      context: { 'aws:securetransport': 'true' },
      answer: 'silent',
    },
    {
      says: 'ArnLike compares part by part',
      statements: [allow({ Condition: { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:role/A*' } } })],
      context: { 'aws:principalarn': 'arn:aws:iam::123456789012:role/Agent' },
      answer: 'allow',
    },
    {
      says: 'ArnEquals does not let a wildcard pass a colon',
      statements: [allow({ Condition: { ArnEquals: { 'aws:PrincipalArn': 'arn:aws:iam:*:role/x:y:z' } } })],
      context: { 'aws:principalarn': 'arn:aws:iam::123456789012:role/x' },
      answer: 'silent',
    },
    {
      says: 'IpAddress knows ranges',
      statements: [allow({ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } })],
      context: { 'aws:sourceip': '10.1.2.3' },
      answer: 'allow',
    },
    {
      says: 'NotIpAddress is the rest',
      statements: [allow({ Condition: { NotIpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } })],
      context: { 'aws:sourceip': '10.1.2.3' },
      answer: 'silent',
    },
    {
      says: 'Null asks whether there is a key',
      statements: [allow({ Condition: { Null: { 'aws:TokenIssueTime': 'true' } } })],
      answer: 'allow',
    },
    {
      says: 'DateLessThan compares instants',
      statements: [allow({ Condition: { DateLessThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' } } })],
      context: { 'aws:currenttime': '2025-12-31T23:59:59Z' },
      answer: 'allow',
    },
    {
      says: 'NumericLessThanEquals compares numbers',
      statements: [allow({ Condition: { NumericLessThanEquals: { 's3:max-keys': '10' } } })],
      context: { 's3:max-keys': '9' },
      answer: 'allow',
    },
    {
      says: 'ForAllValues wants all of them',
      statements: [allow({ Condition: { 'ForAllValues:StringEquals': { 'aws:TagKeys': ['a', 'b'] } } })],
      context: { 'aws:tagkeys': ['a', 'c'] },
      answer: 'silent',
    },
    {
      says: 'ForAnyValue wants one',
      statements: [allow({ Condition: { 'ForAnyValue:StringEquals': { 'aws:TagKeys': ['a', 'b'] } } })],
      context: { 'aws:tagkeys': ['a', 'c'] },
      answer: 'allow',
    },
  ]
  for (const { says, statements, action = 's3:GetObject', resource = `${reports}/a`, context = {}, answer } of rows) {
    test(says, () => assert.equal(ask([document(...statements)], action, resource, context), answer))
  }
})

suite('a policy is refused when it is written', () => {
  const rows: readonly { says: string; text: string; kind?: 'trust' }[] = [
    { says: 'that is not JSON', text: '{' },
    { says: 'of another version', text: JSON.stringify({ Version: '2020-01-01', Statement: [allow({})] }) },
    { says: 'without a statement', text: JSON.stringify({ Version: '2012-10-17', Statement: [] }) },
    { says: 'with an unknown element', text: document(allow({ Actions: '*' })) },
    { says: 'with an unknown effect', text: document(allow({ Effect: 'Maybe' })) },
    { says: 'with an action of no service', text: document(allow({ Action: 'GetObject' })) },
    { says: 'with a resource that is no ARN', text: document(allow({ Resource: 'reports' })) },
    {
      says: 'with an operator that is not evaluated',
      text: document(allow({ Condition: { BinaryEquals: { 's3:prefix': 'YQ==' } } })),
    },
    {
      says: 'with a key that is not evaluated',
      text: document(allow({ Condition: { StringEquals: { 'aws:CalledVia': 'x' } } })),
    },
    {
      says: 'with an address that is none',
      text: document(allow({ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/33' } } })),
    },
    { says: 'with a principal in an identity policy', text: document(allow({ Principal: '*' })) },
    {
      says: 'without a principal in a trust policy',
      text: document({ Effect: 'Allow', Action: 'sts:AssumeRole' }),
      kind: 'trust',
    },
    {
      says: 'with a resource in a trust policy',
      text: document(allow({ Principal: '*', Action: 'sts:AssumeRole' })),
      kind: 'trust',
    },
    {
      says: 'with a wildcard in a principal',
      text: document({
        Effect: 'Allow',
        Action: 'sts:AssumeRole',
        Principal: { AWS: 'arn:aws:iam::123456789012:role/*' },
      }),
      kind: 'trust',
    },
    {
      says: 'with an action other than of STS in a trust policy',
      text: document({ Effect: 'Allow', Action: 's3:*', Principal: '*' }),
      kind: 'trust',
    },
  ]
  for (const { says, text, kind = 'identity' } of rows) {
    test(says, () => assert.throws(() => parsePolicy(text, kind), { code: 'MalformedPolicyDocument' }))
  }
})

test('no document makes the parser throw anything but a refusal', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: value }), 'identity')
      } catch (error) {
        assert.ok(error instanceof AwsError)
      }
    }),
    { numRuns: 300 },
  )
})

test('wildcards match as the regular expression of the same meaning does', () => {
  const text = fc.stringMatching(/^[ab*?]{0,12}$/)
  fc.assert(
    fc.property(text, fc.stringMatching(/^[ab]{0,12}$/), (pattern, subject) => {
      const meaning = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
      assert.equal(globMatches(pattern, subject), meaning.test(subject))
    }),
  )
})
