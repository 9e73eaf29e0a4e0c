import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type AwsLab, startAwsLab } from './cloud.ts'
import type { LabIdentity } from './lab-environment.ts'
import { callRaw, type RawResponse, sendRaw } from './raw-client.ts'

let lab: AwsLab
before(async () => {
  lab = await startAwsLab()
})
after(() => lab[Symbol.asyncDispose]())

const host = 'signin.aws.amazon.com'
const federation = (query: Record<string, string>): Promise<RawResponse> =>
  sendRaw(lab, { host, path: '/federation', query })
const sessionOf = (identity: LabIdentity): string => {
  const {
    AWS_ACCESS_KEY_ID: sessionId,
    AWS_SECRET_ACCESS_KEY: sessionKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = lab.environment(identity)
  return JSON.stringify({ sessionId, sessionKey, sessionToken })
}
const reader: LabIdentity = { role: 'ExampleReadOnlyAccess', sessionName: 'alice' }
const signIn = (more: Record<string, string> = {}): Promise<RawResponse> =>
  federation({ Action: 'getSigninToken', Session: sessionOf(reader), ...more })

suite('signing in to the console', () => {
  test('gives a token for temporary keys, and a page for the token', async () => {
    const { status, body } = await signIn({ SessionDuration: '43200' })
    assert.equal(status, 200, body)
    const { SigninToken } = JSON.parse(body) as { SigninToken: string } // the document of the endpoint
    const Destination = 'https://console.aws.amazon.com/ec2/v2/home'
    const login = await federation({ Action: 'login', SigninToken, Destination, Issuer: 'https://example.com' })
    assert.deepEqual([login.status, login.headers.location], [302, Destination])
    assert.deepEqual(lab.consoleSessions.at(-1), {
      principal: 'arn:aws:sts::123456789012:assumed-role/ExampleReadOnlyAccess/alice',
      seconds: 43_200,
      destination: Destination,
      issuer: 'https://example.com',
    })
  })

  test('gives keys from role chaining no life of their own choice', async () => {
    lab.account().createRole({
      name: 'Chained',
      trust: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { AWS: 'arn:aws:iam::123456789012:role/TeleportAWSAccess' },
            Action: 'sts:AssumeRole',
          },
        ],
      },
    })
    const {
      AWS_ACCESS_KEY_ID: accessKeyId = '',
      AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
      AWS_SESSION_TOKEN: sessionToken = '',
    } = lab.environment({ role: 'TeleportAWSAccess' })
    const form =
      'Action=AssumeRole&Version=2011-06-15&RoleSessionName=alice&RoleArn=arn:aws:iam::123456789012:role/Chained'
    const request = {
      method: 'POST',
      host: 'sts.us-east-1.amazonaws.com',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form,
    }
    const { body } = await callRaw(lab, request, {
      key: { accessKeyId, secretAccessKey, sessionToken },
      service: 'sts',
    })
    const field = (name: string): string | undefined => new RegExp(`<${name}>([^<]*)</`).exec(body)?.[1]
    const Session = JSON.stringify({
      sessionId: field('AccessKeyId'),
      sessionKey: field('SecretAccessKey'),
      sessionToken: field('SessionToken'),
    })
    assert.equal((await signIn({ Session })).status, 200)
    assert.equal((await signIn({ Session, SessionDuration: '3600' })).status, 400)
  })

  const rows: readonly { says: string; ask: () => Promise<RawResponse> }[] = [
    { says: 'long-term keys', ask: () => signIn({ Session: sessionOf({}) }) },
    { says: 'a session that is not JSON', ask: () => signIn({ Session: '{' }) },
    {
      says: "another session's secret",
      ask: () => signIn({ Session: JSON.stringify({ ...JSON.parse(sessionOf(reader)), sessionKey: 'x' }) }),
    },
    { says: 'a duration below 15 minutes', ask: () => signIn({ SessionDuration: '899' }) },
    { says: 'a duration above 12 hours', ask: () => signIn({ SessionDuration: '43201' }) },
    {
      says: 'a made-up token',
      ask: () =>
        federation({ Action: 'login', SigninToken: 'made-up', Destination: 'https://console.aws.amazon.com/' }),
    },
    { says: 'another action', ask: () => federation({ Action: 'logout' }) },
  ]
  for (const { says, ask } of rows) test(`refuses ${says}`, async () => assert.equal((await ask()).status, 400))
})
