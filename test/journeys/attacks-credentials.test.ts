/** How somebody with a client of their own tries to have real AWS credentials, or a role for longer than their login. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type tls from 'node:tls'
import { inspect } from 'node:util'
import { answer, type Bed, type Call, lab, startBed, WRITER } from '#agents/app/bed.conformance.ts'
import { Secret } from '#secret.ts'

const STS = 'sts.us-east-1.amazonaws.com'
const form = ['Content-Type', 'application/x-www-form-urlencoded']
const sts = (body: string | undefined, more: Partial<Call> = {}): Call => ({
  method: 'POST',
  host: STS,
  service: 'sts',
  headers: form,
  ...(body === undefined ? {} : { body }),
  ...more,
})
const set =
  (name: string, ...values: readonly string[]) =>
  (headers: string[]): string[] => [
    ...headers.filter((_, index, all) => all[index - (index % 2)]?.toLowerCase() !== name),
    ...values.flatMap((value) => [name, value]),
  ]

let bed: Bed
before(async () => {
  bed = await startBed()
})
after(() => bed[Symbol.asyncDispose]())

async function nothingIsAsked(call: Call, connection?: tls.TLSSocket): Promise<string> {
  const before = lab.seen.length
  const { status, body } = await answer(connection ?? (await bed.connect({ awsRoleArn: WRITER })), call)
  assert.ok(status >= 400, `${status} ${body}`)
  assert.equal(lab.seen.length, before, 'AWS was asked')
  return body
}

suite('getting credentials out of the agent', () => {
  for (const action of [
    'GetSessionToken',
    'GetFederationToken',
    'AssumeRoleWithSAML',
    'AssumeRoleWithWebIdentity',
    'AssumeRoot',
    'GetWebIdentityToken',
    'getsessiontoken',
    'TomorrowsAction',
  ]) {
    test(`fails: ${action} of STS`, async () => {
      await nothingIsAsked(sts(`Action=${action}&Version=2011-06-15`))
    })
  }
  const hidden = 'Action=GetSessionToken&Version=2011-06-15'
  for (const { says, call } of [
    { says: 'no action at all', call: sts('Version=2011-06-15') },
    { says: 'behind a harmless one', call: sts(`Action=GetCallerIdentity&${hidden}`) },
    { says: 'in the query beside a harmless one', call: sts('Action=GetCallerIdentity', { path: `/?${hidden}` }) },
    { says: 'beside a role, which would be changed', call: sts(`Action=AssumeRole&${hidden}`) },
    { says: 'with an escaped name', call: sts('Action=GetCallerIdentity&%41ction=GetSessionToken') },
    { says: 'in small letters', call: sts('Action=GetCallerIdentity&action=GetSessionToken') },
    { says: 'behind a semicolon', call: sts('Action=GetCallerIdentity&Version=1;Action=GetSessionToken') },
    { says: 'behind a byte order mark', call: sts('\ufeffAction=GetSessionToken&Action=GetCallerIdentity') },
    {
      says: 'in another charset',
      call: sts('Action=GetSessionToken', {
        path: '/?Action=GetCallerIdentity',
        headers: ['Content-Type', 'application/x-www-form-urlencoded; charset=utf-16le'],
        body: Buffer.from('Action=GetSessionToken', 'utf16le'),
      }),
    },
    {
      says: 'in a form of several parts',
      call: sts('--x\r\nContent-Disposition: form-data; name="Action"\r\n\r\nGetSessionToken\r\n--x--\r\n', {
        path: '/?Action=GetCallerIdentity',
        headers: ['Content-Type', 'multipart/form-data; boundary=x'],
      }),
    },
    {
      says: 'with two content types',
      call: sts('Action=GetCallerIdentity', { headers: [...form, 'content-type', 'application/json'] }),
    },
    {
      says: 'by another protocol',
      call: sts('Action=GetCallerIdentity', {
        headers: [...form, 'X-Amz-Target', 'AWSSecurityTokenServiceV20110615.GetSessionToken'],
      }),
    },
    {
      says: 'by yet another protocol',
      call: sts('Action=GetCallerIdentity', {
        headers: [...form, 'smithy-protocol', 'rpc-v2-cbor'],
        path: '/service/AWSSecurityTokenServiceV20110615/operation/GetSessionToken',
      }),
    },
    { says: 'compressed', call: sts('Action=GetSessionToken', { headers: [...form, 'Content-Encoding', 'gzip'] }) },
    {
      says: 'in chunks of unknown length',
      call: sts(undefined, { body: hidden, trailers: {}, change: set('transfer-encoding', 'chunked') }),
    },
    { says: 'behind more than is read', call: sts(`Action=GetCallerIdentity&x=${'x'.repeat(300_000)}`) },
    { says: 'through a VPC endpoint', call: sts(hidden, { host: 'vpce-1-2.sts.us-east-1.vpce.amazonaws.com' }) },
    { says: 'at the FIPS endpoint', call: sts(hidden, { host: 'sts-fips.us-east-1.amazonaws.com' }) },
    { says: 'at the dual-stack endpoint', call: sts(hidden, { host: 'sts.us-east-1.api.aws' }) },
    {
      says: 'a session of S3 Express',
      call: {
        path: '/?session',
        host: 'mine--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com',
        service: 's3express',
      },
    },
    {
      says: 'a grant of S3',
      call: {
        path: '/v20180820/accessgrantsinstance/dataaccess?target=s3',
        host: '123456789012.s3-control.us-east-1.amazonaws.com',
      },
    },
    {
      says: 'a grant of S3 with slashes',
      call: {
        path: '//v20180820//accessgrantsinstance/dataaccess',
        host: '123456789012.s3-control.us-east-1.amazonaws.com',
      },
    },
    {
      says: 'Lake Formation',
      call: {
        method: 'POST',
        path: '/GetTemporaryGlueTableCredentials',
        host: 'lakeformation.us-east-1.amazonaws.com',
        service: 'lakeformation',
      },
    },
    {
      says: 'Lake Formation with an escape',
      call: {
        method: 'POST',
        path: '/%47etTemporaryGlueTableCredentials',
        host: 'lakeformation.us-east-1.amazonaws.com',
        service: 'lakeformation',
      },
    },
    {
      says: 'Cognito',
      call: {
        method: 'POST',
        host: 'cognito-identity.us-east-1.amazonaws.com',
        service: 'cognito-identity',
        headers: ['X-Amz-Target', 'AWSCognitoIdentityService.GetCredentialsForIdentity'],
      },
    },
    {
      says: 'CodePipeline',
      call: {
        method: 'POST',
        host: 'codepipeline.us-east-1.amazonaws.com',
        service: 'codepipeline',
        headers: ['X-Amz-Target', 'CodePipeline_20150709.PollForJobs'],
      },
    },
    { says: 'an echo of the signed headers', call: { method: 'TRACE' } },
  ] satisfies { says: string; call: Call }[]) {
    test(`fails: ${says}`, async () => {
      await nothingIsAsked(call)
    })
  }

  for (const { says, query, body } of [
    { says: 'in the body', query: '', body: '&DurationSeconds=43200' },
    { says: 'in the query', query: '&DurationSeconds=43200', body: '' },
    { says: 'twice, the long one last', query: '', body: '&DurationSeconds=900&DurationSeconds=43200' },
    { says: 'in both, the short one in the body', query: '&DurationSeconds=43200', body: '&DurationSeconds=900' },
  ]) {
    test(`a role does not outlive the login: ${says}`, async () => {
      const expires = new Date(Date.now() + 1_200_000)
      const role = `RoleArn=${encodeURIComponent('arn:aws:iam::123456789012:role/Second')}&RoleSessionName=attack`
      const reply = await answer(
        await bed.connect({ awsRoleArn: WRITER, expires }),
        sts(`Action=AssumeRole&Version=2011-06-15&${role}${body}`, { path: `/?x=y${query}` }),
      )
      const [, end = ''] = /<Expiration>([^<]+)/.exec(reply.body) ?? []
      assert.ok(reply.status >= 400 || Date.parse(end) <= expires.getTime() + 2000, reply.body)
      assert.doesNotMatch(reply.body, /ASIA[A-Z0-9]{8}/)
    })
  }

  for (const duration of ['9e9', '-1', '0x10', '３６００', '3600 ', '']) {
    test(`a duration of ${JSON.stringify(duration)} is refused`, async () => {
      await nothingIsAsked(sts(`Action=AssumeRole&RoleArn=x&DurationSeconds=${encodeURIComponent(duration)}`))
    })
  }

  test('no answer and no event holds one, of calls that succeed and of calls that fail', async () => {
    const base = lab.environment({ role: 'TeleportAWSAccess' })
    const role = `RoleArn=${encodeURIComponent('arn:aws:iam::123456789012:role/Second')}&RoleSessionName=canary`
    const calls: readonly (readonly [awsRoleArn: string, call: Call])[] = [
      [WRITER, {}],
      [WRITER, { path: '/no-such-bucket/x' }],
      [WRITER, { host: 'nowhere.us-east-9.amazonaws.com', service: 'nowhere' }],
      [WRITER, sts('Action=GetCallerIdentity&Version=2011-06-15')],
      [WRITER, sts(`Action=AssumeRole&Version=2011-06-15&${role}`)],
      [WRITER, sts('Action=AssumeRole&Version=2011-06-15&RoleArn=nonsense&RoleSessionName=canary')],
      ['arn:aws:iam::123456789012:role/Stranger', {}],
      ['arn:aws:iam::123456789012:role/NotThere', {}],
    ]
    const told: unknown[] = []
    for (const [awsRoleArn, call] of calls) told.push(await answer(await bed.connect({ awsRoleArn }), call))
    const all = JSON.stringify([told, await bed.events()])
    assert.doesNotMatch(all, /A[SK]IA[A-Z0-9]{16}/)
    for (const secret of [base.AWS_SECRET_ACCESS_KEY, base.AWS_SESSION_TOKEN]) {
      assert.equal(all.includes(secret ?? assert.fail('no secret to look for')), false)
    }
  })

  test('a secret shows itself to nobody who prints it', () => {
    const secret = new Secret('canary')
    const printed = [inspect({ secret }, { showHidden: true, depth: 9 }), JSON.stringify({ secret }), `${secret}`]
    assert.doesNotMatch(printed.join(), /canary/)
    assert.doesNotMatch(inspect(new Error('x', { cause: { secret } })), /canary/)
    assert.doesNotMatch(inspect(structuredClone({ ...secret })), /canary/)
  })

  test('the placeholders of a role are worth nothing in another session', async () => {
    const role = `RoleArn=${encodeURIComponent('arn:aws:iam::123456789012:role/Second')}&RoleSessionName=attack`
    const { body } = await answer(
      await bed.connect({ awsRoleArn: WRITER }),
      sts(`Action=AssumeRole&Version=2011-06-15&${role}`),
    )
    const [, accessKeyId = ''] = /<AccessKeyId>([^<]+)/.exec(body) ?? []
    assert.match(accessKeyId, /^PLACEHOLDERROLE/, body)
    const route = { name: 'awsconsole', sessionId: 'another', publicAddr: 'a.example.com', cluster: 'example.com' }
    const other = await bed.connect({
      name: 'mallory',
      routeToApp: { ...route, serverName: 'abcdefghijklmnopqrstuvwxyz.app.example.com', awsRoleArn: WRITER },
    })
    await nothingIsAsked({ accessKeyId }, other)
  })
})
