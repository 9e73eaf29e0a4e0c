import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Secret } from '#secret.ts'
import { type BaseCredentials, NoCredentials, openCredentials } from './credentials-client.ts'
import { openRoleCredentials, type RoleRequest } from './sts-client.ts'
import { AssumeRoleFailed } from './sts-regions-client.ts'

const request: RoleRequest = {
  app: 'awsconsole',
  user: 'alice',
  roleArn: 'arn:aws:iam::123456789012:role/Reader',
  sessionName: 'alice',
  externalId: 'extra',
  region: 'eu-west-1',
}
const answer = (count: number, expires: Date): string =>
  `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:alice</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/Reader/alice</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA${count}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>${expires.toISOString()}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
const denial =
  '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/agent is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/Reader</Message></Error></ErrorResponse>'
const disabled =
  '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>RegionDisabledException</Code><Message>STS is not activated in this region</Message></Error></ErrorResponse>'
const caller =
  '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/agent</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>'

suite('assuming a role', () => {
  const bodies: URLSearchParams[] = []
  const regions: string[] = []
  const agent = new https.Agent()
  let status = 200
  let closedRegion = ''
  let serverDate: Date | undefined
  let now = new Date('2030-01-01T00:00:00Z')
  const server = http.createServer(async (incoming, response) => {
    let body = ''
    for await (const part of incoming) body += part
    const fields = new URLSearchParams(body)
    bodies.push(fields)
    const region = /Credential=[^/]*\/\d+\/([^/]+)/.exec(incoming.headers.authorization ?? '')?.[1] ?? ''
    regions.push(region)
    if (serverDate !== undefined) response.setHeader('date', serverDate.toUTCString())
    if (region === closedRegion) return response.writeHead(403, { 'content-type': 'text/xml' }).end(disabled)
    if (fields.get('Action') === 'GetCallerIdentity') return response.end(caller)
    const text =
      status === 200 ? answer(bodies.length, new Date(now.getTime() + 900_000)) : status === 403 ? denial : ''
    return response.writeHead(status, { 'content-type': 'text/xml' }).end(text)
  })
  const base = async (): Promise<BaseCredentials> => ({
    accessKeyId: 'AKIA',
    secretAccessKey: new Secret('s'),
    kind: 'static',
  })

  before(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    process.env.AWS_ENDPOINT_URL_STS = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    process.env.AWS_MAX_ATTEMPTS = '1'
  })
  beforeEach(() => {
    bodies.length = 0
    regions.length = 0
    status = 200
  })
  after(() => {
    server.closeAllConnections()
    server.close()
    delete process.env.AWS_ENDPOINT_URL_STS
    delete process.env.AWS_MAX_ATTEMPTS
  })

  test('sends the session name and external id, and asks for the shortest session', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    const role = await roles.get(request)
    assert.equal(role.assumedRoleArn, 'arn:aws:sts::123456789012:assumed-role/Reader/alice')
    assert.equal(role.sessionToken.reveal(), 'token')
    assert.deepEqual(Object.fromEntries(bodies[0] ?? []), {
      Action: 'AssumeRole',
      Version: '2011-06-15',
      RoleArn: request.roleArn,
      RoleSessionName: 'alice',
      ExternalId: 'extra',
      DurationSeconds: '900',
    })
  })

  test('fetches once for many waiters, and again two minutes before the end', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    const keys = async (): Promise<string[]> =>
      (await Promise.all(Array.from({ length: 5 }, () => roles.get(request)))).map(({ accessKeyId }) => accessKeyId)
    assert.deepEqual(new Set(await keys()), new Set(['ASIA1']))
    now = new Date(now.getTime() + 779_000)
    assert.deepEqual(new Set(await keys()), new Set(['ASIA1']))
    now = new Date(now.getTime() + 2_000)
    assert.deepEqual(new Set(await keys()), new Set(['ASIA2']))
    assert.equal(bodies.length, 2)
  })

  test('never gives one user, app, session or external id the credentials of another', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    const variants: Partial<RoleRequest>[] = [
      {},
      { user: 'bob' },
      { app: 'other' },
      { sessionName: 'x' },
      { externalId: 'y' },
      { roleArn: `${request.roleArn}2` },
    ]
    const found = await Promise.all(variants.map((change) => roles.get({ ...request, ...change })))
    assert.equal(new Set(found.map(({ accessKeyId }) => accessKeyId)).size, variants.length)
  })

  test("says AWS's own words when it is denied, and asks again next time", async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    status = 403
    await assert.rejects(roles.get(request), (error) => {
      assert.ok(error instanceof AssumeRoleFailed)
      assert.equal(error.code, 'denied')
      assert.match(
        error.message,
        /^AccessDenied: User: arn:aws:iam::1:user\/agent is not authorized to perform: sts:AssumeRole on resource: arn/,
      )
      return true
    })
    status = 200
    assert.equal((await roles.get(request)).accessKeyId, 'ASIA2')
  })

  test('an STS that fails is unavailable, not a denial', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    status = 500
    await assert.rejects(
      roles.get(request),
      (error) => error instanceof AssumeRoleFailed && error.code === 'unavailable',
    )
  })

  test('asks the region of the request first, and the home region where that one is of no use', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now, homeRegion: 'us-west-2' })
    closedRegion = 'me-south-1'
    await roles.get({ ...request, region: 'me-south-1' })
    await roles.get({ ...request, region: 'me-south-1', user: 'bob' })
    await roles.get({ ...request, region: 'eu-west-1', user: 'carol' })
    assert.deepEqual(regions, ['me-south-1', 'us-west-2', 'us-west-2', 'eu-west-1'])
  })

  test('says whose its own credentials are, and how far the clocks are apart', async () => {
    await using roles = openRoleCredentials({ base, agent, clock: () => now })
    for (const [ahead, says] of [
      [0, 0],
      [400_000, 400_000],
      [-400_000, -399_001],
    ] as const) {
      serverDate = new Date(now.getTime() + ahead)
      assert.deepEqual(await roles.identify('aws-us-gov'), {
        arn: 'arn:aws:iam::1:user/agent',
        kind: 'static',
        aheadMs: says,
      })
    }
    assert.deepEqual(new Set(regions), new Set(['us-gov-west-1']))
  })

  test('an agent without credentials says so', async () => {
    await using roles = openRoleCredentials({
      base: async () => {
        throw new NoCredentials('NoCredentialProviders: no valid providers in chain', { hint: 'x' })
      },
      agent,
      clock: () => now,
    })
    await assert.rejects(roles.get(request), NoCredentials)
  })
})

suite('the credential chain', () => {
  test('tells keys without a token from temporary ones, and says what to do when there are none', async () => {
    const before = { ...process.env }
    const agent = new https.Agent()
    try {
      process.env.AWS_EC2_METADATA_DISABLED = 'true'
      process.env.AWS_SHARED_CREDENTIALS_FILE = '/nonexistent/credentials'
      process.env.AWS_CONFIG_FILE = '/nonexistent/config'
      process.env.AWS_ACCESS_KEY_ID = 'AKIAX'
      process.env.AWS_SECRET_ACCESS_KEY = 'secret'
      assert.equal((await openCredentials({ agent })()).kind, 'static')
      process.env.AWS_SESSION_TOKEN = 'token'
      assert.equal((await openCredentials({ agent })()).kind, 'temporary')
      for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) delete process.env[name]
      await assert.rejects(openCredentials({ agent })(), (error) => {
        assert.ok(error instanceof NoCredentials)
        assert.match(error.message, /^NoCredentialProviders: no valid providers in chain/)
        return true
      })
    } finally {
      process.env = before
    }
  })
})
