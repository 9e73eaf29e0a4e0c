import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { fromInstanceMetadata } from '@aws-sdk/credential-providers'
import { systemClock } from '#clock.ts'
import { AccessKeys } from './credentials.ts'
import { Directory } from './directory.ts'
import { type Instance, startInstance } from './imds.ts'

const directory = new Directory(systemClock)
const account = directory.account('123456789012')
const keys = new AccessKeys(systemClock)
const settings = { account, profile: 'Agent', region: 'eu-west-1', keys, clock: systemClock }
let instance: Instance
before(async () => {
  const trust = {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' }],
  }
  account.createInstanceProfile('Agent').role = account.createRole({ name: 'Agent', trust })
  instance = await startInstance(settings)
})
after(() => instance[Symbol.asyncDispose]())

const token = (
  headers: Record<string, string> = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' },
  method = 'PUT',
): Promise<Response> => fetch(`${instance.endpoint}/latest/api/token`, { method, headers })
const read = async (path: string): Promise<Response> =>
  fetch(`${instance.endpoint}${path}`, { headers: { 'x-aws-ec2-metadata-token': await (await token()).text() } })

suite('instance metadata', () => {
  test('gives the stock SDK the keys of the role', async () => {
    process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = instance.endpoint
    const found = await fromInstanceMetadata({ maxRetries: 0 })()
    delete process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT
    assert.match(keys.find(found.accessKeyId)?.principal.arn ?? '', /assumed-role\/Agent\/i-0/)
  })
  test('tells the region and who the instance is', async () => {
    assert.equal(await (await read('/latest/meta-data/placement/region')).text(), 'eu-west-1')
    const document = await (await read('/latest/dynamic/instance-identity/document')).json()
    assert.partialDeepStrictEqual(document, {
      accountId: '123456789012',
      instanceId: instance.instanceId,
      region: 'eu-west-1',
    })
  })
  const rows: readonly { says: string; ask: () => Promise<Response>; status: number }[] = [
    {
      says: 'nothing without a token',
      ask: () => fetch(`${instance.endpoint}/latest/meta-data/instance-id`),
      status: 401,
    },
    {
      says: 'nothing with a made-up token',
      ask: () =>
        fetch(`${instance.endpoint}/latest/meta-data/instance-id`, {
          headers: { 'x-aws-ec2-metadata-token': 'made-up' },
        }),
      status: 401,
    },
    { says: 'no token without a life for it', ask: () => token({}), status: 400 },
    {
      says: 'no token for more than six hours',
      ask: () => token({ 'x-aws-ec2-metadata-token-ttl-seconds': '21601' }),
      status: 400,
    },
    { says: 'no token by GET', ask: () => token(undefined, 'GET'), status: 405 },
    {
      says: 'no token to a forwarded request',
      ask: () => token({ 'x-aws-ec2-metadata-token-ttl-seconds': '60', 'x-forwarded-for': '10.0.0.1' }),
      status: 403,
    },
    { says: 'nothing of what there is not', ask: () => read('/latest/user-data'), status: 404 },
  ]
  for (const { says, ask, status } of rows)
    test(`gives ${says}`, async () => assert.equal((await ask()).status, status))

  test('does not reach a container when its answers may take one hop only', async () => {
    await using far = await startInstance({ ...settings, clientHops: 2, hopLimit: 1 })
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }
    await assert.rejects(fetch(`${far.endpoint}/latest/api/token`, { method: 'PUT', headers }))
    await using near = await startInstance({ ...settings, clientHops: 2, hopLimit: 2 })
    assert.equal((await fetch(`${near.endpoint}/latest/api/token`, { method: 'PUT', headers })).status, 200)
  })
})
