import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { forwarding } from '#aws/forwarding.ts'
import { planAssumeRole, readAssumeRoleAnswer, replaceCredentials } from './aws-assume-role.ts'
import { type AwsRequest, parseAwsRequest } from './aws-request.ts'
import { answer, type Bed, lab, startBed, WRITER } from './bed.conformance.ts'

const SECOND = 'arn:aws:iam::123456789012:role/Second'
const now = new Date('2030-01-01T00:00:00Z')

function request(query: string): AwsRequest {
  return parseAwsRequest({
    method: 'POST',
    url: `/?${query}`,
    rawHeaders: [
      ...[
        'Authorization',
        `AWS4-HMAC-SHA256 Credential=AKIAPLACEHOLDER/20300101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
      ],
      ...['Accept', 'application/json', 'Accept-Encoding', 'gzip', 'Content-Length', '10'],
      ...[
        forwarding.host,
        'sts.amazonaws.com',
        forwarding.payloadHash,
        '0'.repeat(64),
        forwarding.payloadMode,
        'whole',
      ],
    ],
  })
}

suite('how long an assumed role may last', () => {
  const rows: readonly {
    says: string
    left: number
    query?: string
    body?: string
    becomes?: readonly [query: string, body: string]
    refused?: string
  }[] = [
    {
      says: 'less than the login has left',
      left: 7200,
      body: 'Action=AssumeRole&DurationSeconds=900',
      becomes: ['', 'Action=AssumeRole&DurationSeconds=900'],
    },
    {
      says: 'exactly what is left',
      left: 900,
      body: 'Action=AssumeRole&DurationSeconds=900',
      becomes: ['', 'Action=AssumeRole&DurationSeconds=900'],
    },
    {
      says: 'more than is left, in the body',
      left: 1000,
      body: 'Action=AssumeRole&DurationSeconds=3600',
      becomes: ['', 'Action=AssumeRole&DurationSeconds=1000'],
    },
    {
      says: 'more than is left, in the query',
      left: 1000,
      query: 'Action=AssumeRole&DurationSeconds=3600',
      becomes: ['Action=AssumeRole&DurationSeconds=1000', ''],
    },
    {
      says: 'more in one place and less in the other',
      left: 1000,
      query: 'DurationSeconds=900',
      body: 'Action=AssumeRole&DurationSeconds=43200',
      becomes: ['DurationSeconds=1000', 'Action=AssumeRole&DurationSeconds=1000'],
    },
    {
      says: 'the hour of the default, where less is left',
      left: 1000,
      body: 'Action=AssumeRole',
      becomes: ['', 'Action=AssumeRole&DurationSeconds=1000'],
    },
    {
      says: 'nothing, where less than 15 minutes are left',
      left: 899,
      body: 'Action=AssumeRole&DurationSeconds=900',
      refused: 'login-too-short',
    },
    { says: 'no number', left: 7200, body: 'Action=AssumeRole&DurationSeconds=1e9', refused: 'invalid-duration' },
    {
      says: 'a hidden second duration',
      left: 7200,
      body: 'Action=AssumeRole&DurationSeconds=900&Duration%53econds=x',
      refused: 'invalid-duration',
    },
  ]
  for (const { says, left, query = '', body = '', becomes, refused } of rows) {
    test(says, () => {
      const expires = new Date(now.getTime() + left * 1000)
      const plan = planAssumeRole(request(query), Buffer.from(body), { expires, now })
      if (!plan.allowed) return assert.equal(plan.reason, refused)
      assert.deepEqual([plan.aws.query, plan.body?.toString()], becomes)
      const { headers } = plan.aws
      const at = headers.findIndex((name) => name.toLowerCase() === 'content-length')
      if (plan.info !== undefined) assert.equal(headers[at + 1], String(plan.body?.length))
      assert.ok(!headers.some((name) => /^accept/i.test(name)))
      return assert.equal(plan.info === undefined, query + body === becomes?.join(''))
    })
  }
})

suite('an answer of AssumeRole', () => {
  const xml =
    '<R><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/A/b</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAREAL</AccessKeyId><SecretAccessKey>real/secret</SecretAccessKey><SessionToken>real-token</SessionToken><Expiration>2030-01-01T01:00:00Z</Expiration></Credentials></R>'
  test('is read when every field is there once', () => {
    const role = readAssumeRoleAnswer(xml)
    assert.deepEqual(
      [role?.credentials.accessKeyId, role?.credentials.secretAccessKey.reveal(), role?.expires.toISOString()],
      ['ASIAREAL', 'real/secret', '2030-01-01T01:00:00.000Z'],
    )
  })
  for (const [says, wrong] of [
    ['with a field that is missing', xml.replace(/<SessionToken>.*<.SessionToken>/, '')],
    ['with a field twice', xml + xml],
    ['with a field in another form', xml.replace('</R>', '<SessionToken x="1">other</SessionToken></R>')],
    ['with an escape', xml.replace('real-token', 'real&#45;token')],
    ['without an end', xml.replace('2030-01-01T01:00:00Z', 'later')],
    ['as JSON', '{"Credentials":{"AccessKeyId":"ASIAREAL"}}'],
  ] as const) {
    test(`${says} is not passed on`, () => assert.equal(readAssumeRoleAnswer(wrong), undefined))
  }
  test('never holds the credentials after they were replaced, whatever stands around them', () => {
    const { secretAccessKey, ...rest } = { accessKeyId: 'P', sessionToken: 't', secretAccessKey: { reveal: () => 's' } }
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const text = before + xml + after
        if (readAssumeRoleAnswer(text) === undefined) return
        assert.doesNotMatch(
          replaceCredentials(text, { ...rest, secretAccessKey: secretAccessKey as never }),
          /ASIAREAL|real/,
        )
      }),
    )
  })
})

suite('a role that is assumed through the agent', () => {
  const sts = (
    socket: Awaited<ReturnType<Bed['connect']>>,
    body: string,
    accessKeyId?: string,
  ): ReturnType<typeof answer> =>
    answer(socket, {
      method: 'POST',
      host: 'sts.us-east-1.amazonaws.com',
      service: 'sts',
      body,
      headers: ['Content-Type', 'application/x-www-form-urlencoded'],
      ...(accessKeyId === undefined ? {} : { accessKeyId }),
    })
  const assume = `Action=AssumeRole&Version=2011-06-15&RoleArn=${encodeURIComponent(SECOND)}&RoleSessionName=job`

  test('works by placeholders, for the session that assumed it alone', async () => {
    await using bed = await startBed()
    const socket = await bed.connect({ awsRoleArn: WRITER })
    const { status, body, headers } = await sts(socket, assume)
    assert.equal(status, 200, body)
    const [id = '', secret = ''] = String(headers['x-teleport-aws-issued-key']).split(':')
    assert.match(id, /^PLACEHOLDERROLE[A-Z2-7]{16}$/)
    assert.match(
      body,
      new RegExp(`<AccessKeyId>${id}</AccessKeyId>.*<SecretAccessKey>${secret}</SecretAccessKey>`, 's'),
    )
    assert.doesNotMatch(body, /ASIA/)

    const who = await sts(socket, 'Action=GetCallerIdentity&Version=2011-06-15', id)
    assert.match(who.body, /assumed-role\/Second\/job/)
    const route = {
      name: 'awsconsole',
      sessionId: 'another',
      publicAddr: 'x',
      cluster: 'example.com',
      serverName: 'x',
      awsRoleArn: WRITER,
    }
    const other = await sts(await bed.connect({ routeToApp: route }), 'Action=GetCallerIdentity', id)
    assert.equal(other.status, 403)
    assert.match(other.body, /not known to this agent any more/)

    const events = (await bed.events()).filter(({ code }) => code === 'T2009I')
    assert.deepEqual(
      events.slice(0, 2).map(({ aws_operation, aws_assumed_role }) => [aws_operation, aws_assumed_role]),
      [
        ['sts:AssumeRole', 'arn:aws:sts::123456789012:assumed-role/Second/job'],
        ['sts:GetCallerIdentity', 'arn:aws:sts::123456789012:assumed-role/Second/job'],
      ],
    )
  })

  test('lasts no longer than the login, which the caller is told', async () => {
    await using bed = await startBed()
    const socket = await bed.connect({ awsRoleArn: WRITER, expires: new Date(Date.now() + 1_200_000) })
    const { status, headers } = await sts(socket, assume)
    assert.equal(status, 200)
    assert.match(decodeURIComponent(String(headers['x-teleport-api-info'])), /is lowered to "1\d\d\ds"/)
    assert.ok((lab.assumed.at(-1)?.durationSeconds ?? 0) <= 1200)
  })

  test('that AWS refuses is refused in the words of AWS', async () => {
    await using bed = await startBed()
    const { status, body } = await sts(await bed.connect(), assume)
    assert.equal(status, 403)
    assert.match(body, /not authorized to perform: sts:AssumeRole/)
  })
})
