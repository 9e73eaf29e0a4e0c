import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import type { RoleSettings } from './account.ts'
import { type AwsLab, startAwsLab } from './cloud.ts'
import type { LabIdentity } from './lab-environment.ts'
import { callRaw, type RawKey, type RawResponse, sendRaw } from './raw-client.ts'

const account = '123456789012'
const roleArn = (name: string): string => `arn:aws:iam::${account}:role/${name}`
const agentArn = roleArn('TeleportAWSAccess')
const trusting = (AWS: string | string[], more: object = {}): object => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS }, Action: 'sts:AssumeRole', ...more }],
})

let lab: AwsLab
before(async () => {
  lab = await startAwsLab()
  lab.account('210987654321')
  const roles: readonly RoleSettings[] = [
    {
      name: 'Guarded',
      trust: trusting(agentArn, { Condition: { StringEquals: { 'sts:ExternalId': 'open-sesame' } } }),
    },
    { name: 'LongLived', trust: trusting([agentArn, account]), maxSessionSeconds: 43_200 },
    { name: 'OfSomeoneElse', trust: trusting(`arn:aws:iam::${account}:user/lab-admin`) },
    { name: 'OfTheAccount', trust: trusting(account) },
    {
      name: 'NoSessionOf',
      trust: trusting(agentArn, { Condition: { StringNotLike: { 'sts:RoleSessionName': 'mallory*' } } }),
    },
    { name: 'Powerless', trust: trusting(account) },
    {
      name: 'Denied',
      trust: {
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { AWS: agentArn }, Action: 'sts:AssumeRole' },
          { Effect: 'Deny', Principal: '*', Action: 'sts:AssumeRole' },
        ],
      },
    },
  ]
  for (const role of roles) lab.account().createRole(role)
})
after(() => lab[Symbol.asyncDispose]())

const keyOf = (identity?: LabIdentity): RawKey => {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken,
  } = lab.environment(identity)
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
}
const sts = (key: RawKey, parameters: Readonly<Record<string, string>>): Promise<RawResponse> =>
  callRaw(
    lab,
    {
      method: 'POST',
      host: 'sts.us-east-1.amazonaws.com',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ Version: '2011-06-15', ...parameters }).toString(),
    },
    { key, service: 'sts' },
  )
const assume = (
  role: string,
  { as = { role: 'TeleportAWSAccess' } as LabIdentity, ...more }: { as?: LabIdentity } & Record<string, unknown> = {},
): Promise<RawResponse> =>
  sts(keyOf(as), {
    Action: 'AssumeRole',
    RoleArn: roleArn(role),
    RoleSessionName: 'alice',
    ...(more as Record<string, string>),
  })
const issued = (body: string): RawKey => {
  const field = (name: string): string => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1] ?? ''
  return {
    accessKeyId: field('AccessKeyId'),
    secretAccessKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
  }
}

suite('a role is assumed', () => {
  test('by whom its trust policy names, and is remembered', async () => {
    const { status, body } = await assume('ExampleReadOnlyAccess', { DurationSeconds: '900' })
    assert.equal(status, 200, body)
    assert.match(body, new RegExp(`<Arn>arn:aws:sts::${account}:assumed-role/ExampleReadOnlyAccess/alice</Arn>`))
    assert.deepEqual(lab.assumed.at(-1), {
      role: 'ExampleReadOnlyAccess',
      roleArn: roleArn('ExampleReadOnlyAccess'),
      sessionName: 'alice',
      externalId: undefined,
      durationSeconds: 900,
      caller: `arn:aws:sts::${account}:assumed-role/TeleportAWSAccess/lab`,
      sourceIdentity: undefined,
      tags: {},
    })
    const who = await sts(issued(body), { Action: 'GetCallerIdentity' })
    assert.match(who.body, /assumed-role\/ExampleReadOnlyAccess\/alice/)
  })
  test('with the external id that it asks for', async () => {
    assert.equal((await assume('Guarded', { ExternalId: 'open-sesame' })).status, 200)
    assert.equal(lab.assumed.at(-1)?.externalId, 'open-sesame')
  })
  test('for twelve hours, by a user, where the role allows it', async () => {
    assert.equal((await assume('LongLived', { as: {}, DurationSeconds: '43200' })).status, 200)
  })
  test("for twelve hours with an instance's own role, which is not role chaining", async () => {
    const token = await (
      await fetch(`${lab.instance.endpoint}/latest/api/token`, {
        method: 'PUT',
        headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' },
      })
    ).text()
    const url = `${lab.instance.endpoint}/latest/meta-data/iam/security-credentials/TeleportAWSAccess`
    const found: unknown = await (await fetch(url, { headers: { 'x-aws-ec2-metadata-token': token } })).json()
    const {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
    } = found as Record<string, string> // the document of the metadata service
    const key = { accessKeyId: accessKeyId!, secretAccessKey: secretAccessKey!, sessionToken: sessionToken! }
    const parameters = {
      Action: 'AssumeRole',
      RoleArn: roleArn('LongLived'),
      RoleSessionName: 'alice',
      DurationSeconds: '43200',
    }
    assert.equal((await sts(key, parameters)).status, 200)
  })
  test('narrowed by a session policy', async () => {
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }],
    })
    const { body } = await assume('ExampleReadOnlyAccess', { Policy })
    const ec2 = {
      method: 'POST',
      host: 'ec2.us-east-1.amazonaws.com',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'Action=DescribeVpcs&Version=2016-11-15',
    }
    const refused = await callRaw(lab, ec2, { key: issued(body), service: 'ec2' })
    assert.equal(refused.code, 'UnauthorizedOperation')
    assert.match(refused.body, /because no session policy allows the ec2:DescribeVpcs action/)
  })
})

suite('a role is not assumed', () => {
  const rows: readonly { says: string; role: string; options: Record<string, unknown>; code: string; text: RegExp }[] =
    [
      {
        says: 'by whom its trust policy does not name',
        role: 'OfSomeoneElse',
        options: {},
        code: 'AccessDenied',
        text: /User: arn:aws:sts::123456789012:assumed-role\/TeleportAWSAccess\/lab is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role\/OfSomeoneElse/,
      },
      {
        says: 'when there is none of that name',
        role: 'Nobody',
        options: {},
        code: 'AccessDenied',
        text: /sts:AssumeRole on resource/,
      },
      { says: 'against an explicit deny', role: 'Denied', options: {}, code: 'AccessDenied', text: /sts:AssumeRole/ },
      { says: 'without the external id', role: 'Guarded', options: {}, code: 'AccessDenied', text: /sts:AssumeRole/ },
      {
        says: 'with another external id',
        role: 'Guarded',
        options: { ExternalId: 'open-barley' },
        code: 'AccessDenied',
        text: /sts:AssumeRole/,
      },
      {
        says: 'under a session name that its conditions refuse',
        role: 'NoSessionOf',
        options: { RoleSessionName: 'mallory' },
        code: 'AccessDenied',
        text: /sts:AssumeRole/,
      },
      {
        says: 'by a member of the account without a policy for it',
        role: 'OfTheAccount',
        options: { as: { role: 'Powerless' } },
        code: 'AccessDenied',
        text: /sts:AssumeRole/,
      },
      {
        says: 'under a session name with a space',
        role: 'ExampleReadOnlyAccess',
        options: { RoleSessionName: 'alice smith' },
        code: 'ValidationError',
        text: /Value 'alice smith' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: \[\\w\+=,\.@-\]\*/,
      },
      {
        says: 'under a session name of one letter',
        role: 'ExampleReadOnlyAccess',
        options: { RoleSessionName: 'a' },
        code: 'ValidationError',
        text: /greater than or equal to 2/,
      },
      {
        says: 'under a session name of 65 letters',
        role: 'ExampleReadOnlyAccess',
        options: { RoleSessionName: 'a'.repeat(65) },
        code: 'ValidationError',
        text: /less than or equal to 64/,
      },
      {
        says: 'for less than 15 minutes',
        role: 'ExampleReadOnlyAccess',
        options: { DurationSeconds: '899' },
        code: 'ValidationError',
        text: /greater than or equal to 900/,
      },
      {
        says: 'for longer than the role allows',
        role: 'OfTheAccount',
        options: { as: {}, DurationSeconds: '3601' },
        code: 'ValidationError',
        text: /exceeds the MaxSessionDuration set for this role/,
      },
      {
        says: 'for more than an hour with the keys of another role',
        role: 'LongLived',
        options: { DurationSeconds: '3601' },
        code: 'ValidationError',
        text: /exceeds the 1 hour session limit for roles assumed by role chaining/,
      },
      {
        says: 'for more than twelve hours',
        role: 'LongLived',
        options: { DurationSeconds: '43201' },
        code: 'ValidationError',
        text: /less than or equal to 43200/,
      },
      {
        says: 'with a source identity that nobody allows',
        role: 'ExampleReadOnlyAccess',
        options: { SourceIdentity: 'alice' },
        code: 'AccessDenied',
        text: /sts:SetSourceIdentity/,
      },
      {
        says: 'with tags that nobody allows',
        role: 'ExampleReadOnlyAccess',
        options: { 'Tags.member.1.Key': 'team', 'Tags.member.1.Value': 'red' },
        code: 'AccessDenied',
        text: /sts:TagSession/,
      },
      {
        says: 'with a session policy that is malformed',
        role: 'ExampleReadOnlyAccess',
        options: { Policy: '{}' },
        code: 'MalformedPolicyDocument',
        text: /Syntax errors/,
      },
    ]
  for (const { says, role, options, code, text } of rows) {
    test(says, async () => {
      const before = lab.assumed.length
      const { as, ...more } = options
      const answer = await assume(role, { ...more, ...(typeof as === 'object' ? { as: as as LabIdentity } : {}) })
      assert.equal(answer.code, code, answer.body)
      assert.match(answer.body, text)
      assert.equal(lab.assumed.length, before)
    })
  }
  test('from another account, unless both sides say so', async () => {
    const other = lab.account('210987654321')
    const user = other.createUser('visitor')
    lab.account().createRole({ name: 'ForVisitors', trust: trusting(user.arn) })
    const { accessKeyId, secretAccessKey } = lab.createAccessKey('visitor', other)
    const key = { accessKeyId, secretAccessKey: secretAccessKey.reveal() }
    const visit = (role: string): Promise<RawResponse> =>
      sts(key, { Action: 'AssumeRole', RoleArn: roleArn(role), RoleSessionName: 'visitor' })
    assert.equal((await visit('ForVisitors')).code, 'AccessDenied')
    user.attached.add(other.policyArn('AdministratorAccess'))
    assert.equal((await visit('ForVisitors')).status, 200)
    assert.equal((await visit('OfTheAccount')).code, 'AccessDenied')
  })
  test('for somebody who is not there: the trust policy is refused when it is written', () => {
    const trust = trusting('arn:aws:iam::210987654321:user/ghost')
    assert.throws(() => lab.account().createRole({ name: 'ForGhosts', trust }), { code: 'MalformedPolicyDocument' })
  })
})

test('GetSessionToken gives a user temporary keys and refuses a session', async () => {
  const { body } = await sts(keyOf(), { Action: 'GetSessionToken' })
  assert.match((await sts(issued(body), { Action: 'GetCallerIdentity' })).body, /user\/lab-admin/)
  assert.equal((await sts(keyOf({ role: 'LongLived' }), { Action: 'GetSessionToken' })).code, 'AccessDenied')
})

suite('a web identity', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = 'https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE'
  const subject = 'system:serviceaccount:teleport-agent:teleport-kube-agent'
  const token = (claims: object, alg = 'ES256'): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const input = `${part({ alg })}.${part({ iss: issuer, sub: subject, aud: 'sts.amazonaws.com', exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`
    return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  before(() => {
    const provider = lab
      .account()
      .createOidcProvider(issuer, { clientIds: ['sts.amazonaws.com'], keys: [publicKey.export({ format: 'jwk' })] })
    const Condition = {
      StringEquals: { [`${provider.url}:sub`]: subject, [`${provider.url}:aud`]: 'sts.amazonaws.com' },
    }
    const Statement = [
      { Effect: 'Allow', Principal: { Federated: provider.arn }, Action: 'sts:AssumeRoleWithWebIdentity', Condition },
    ]
    lab.account().createRole({ name: 'OnEks', trust: { Version: '2012-10-17', Statement } })
  })
  const rows: readonly { says: string; token: () => string; code: string | undefined }[] = [
    { says: 'assumes a role that trusts its provider and subject', token: () => token({}), code: undefined },
    {
      says: 'of another subject is refused',
      token: () => token({ sub: 'system:serviceaccount:default:default' }),
      code: 'AccessDenied',
    },
    { says: 'for another audience is refused', token: () => token({ aud: 'elsewhere' }), code: 'InvalidIdentityToken' },
    { says: 'that has expired is refused', token: () => token({ exp: 1 }), code: 'ExpiredTokenException' },
    {
      says: 'of an unknown issuer is refused',
      token: () => token({ iss: 'https://example.com' }),
      code: 'InvalidIdentityToken',
    },
    { says: 'with another algorithm is refused', token: () => token({}, 'none'), code: 'InvalidIdentityToken' },
    {
      says: 'with a changed payload is refused',
      token: () =>
        token({}).replace(
          /\.[^.]+\./,
          `.${Buffer.from(JSON.stringify({ iss: issuer, sub: subject, exp: 9e9 })).toString('base64url')}.`,
        ),
      code: 'InvalidIdentityToken',
    },
  ]
  for (const row of rows) {
    test(row.says, async () => {
      const form = {
        Action: 'AssumeRoleWithWebIdentity',
        Version: '2011-06-15',
        RoleArn: roleArn('OnEks'),
        RoleSessionName: 'agent',
        WebIdentityToken: row.token(),
      }
      const body = new URLSearchParams(form).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
      const answer = await sendRaw(lab, { method: 'POST', host: 'sts.us-east-1.amazonaws.com', headers, body })
      assert.equal(answer.code, row.code, answer.body)
    })
  }
})

suite('partitions', () => {
  for (const [partition, host, region] of [
    ['aws-cn', 'sts.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
    ['aws-us-gov', 'sts.us-gov-west-1.amazonaws.com', 'us-gov-west-1'],
  ] as const) {
    test(`${partition} has its own hosts and ARNs`, async () => {
      await using other = await startAwsLab({ partition, region })
      const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = other.environment()
      const request = {
        method: 'POST',
        host,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'Action=GetCallerIdentity&Version=2011-06-15',
      }
      const { body } = await callRaw(other, request, { key: { accessKeyId, secretAccessKey }, service: 'sts', region })
      assert.match(body, new RegExp(`<Arn>arn:${partition}:iam::`))
    })
  }
})
