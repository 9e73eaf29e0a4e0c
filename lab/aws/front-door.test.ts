import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { after, before, suite, test } from 'node:test'
import { type AwsLab, startAwsLab } from './cloud.ts'
import { findEndpoint } from './endpoint.ts'
import type { LabIdentity } from './lab-environment.ts'
import { type RawKey, signRaw } from './raw-client.ts'

let lab: AwsLab
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
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

suite('a client that waits for 100 Continue', () => {
  /** Sends a body only when told to, and tells whether it was. */
  const put = async (key: RawKey): Promise<{ status: number | undefined; wasContinued: boolean }> => {
    const body = 'a body that is worth asking for'
    const request = {
      method: 'PUT',
      host: 'reports.s3.us-east-1.amazonaws.com',
      path: '/asked',
      headers: { 'content-length': String(body.length) },
      body,
    }
    const { headers = {} } = await signRaw(request, { key, service: 's3' })
    const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: lab.egressUrl }, ca: lab.egress.caPem })
    const outgoing = https.request({
      agent,
      host: request.host,
      method: 'PUT',
      path: '/asked',
      headers: { ...headers, expect: '100-continue' },
    })
    let wasContinued = false
    outgoing.once('continue', () => {
      wasContinued = true
      outgoing.end(body)
    })
    outgoing.flushHeaders()
    const [response]: [IncomingMessage] = (await once(outgoing, 'response')) as [IncomingMessage] // what `response` is emitted with
    await response.toArray()
    outgoing.destroy()
    agent.destroy()
    return { status: response.statusCode, wasContinued }
  }
  test('is told to go on when it may', async () => {
    assert.deepEqual(await put(keyOf()), { status: 200, wasContinued: true })
  })
  test('is refused before it sends a byte when it may not', async () => {
    assert.deepEqual(await put(keyOf({ role: 'ExampleReadOnlyAccess' })), { status: 403, wasContinued: false })
  })
})

suite('host names', () => {
  const rows: readonly (readonly [host: string, found: string | undefined])[] = [
    ['sts.amazonaws.com', 'sts us-east-1 aws'],
    ['sts.eu-west-1.amazonaws.com', 'sts eu-west-1 aws'],
    ['sts-fips.us-east-1.amazonaws.com', 'sts us-east-1 aws'],
    ['iam.us-gov.amazonaws.com', 'iam us-gov-west-1 aws-us-gov'],
    ['iam.cn-north-1.amazonaws.com.cn', 'iam cn-north-1 aws-cn'],
    ['s3.amazonaws.com', 's3 us-east-1 aws'],
    ['my.bucket.s3.eu-west-1.amazonaws.com', 's3 eu-west-1 aws my.bucket'],
    ['reports.s3.dualstack.us-west-2.amazonaws.com', 's3 us-west-2 aws reports'],
    ['s3-us-west-2.amazonaws.com', 's3 us-west-2 aws'],
    ['ec2.us-east-1.api.aws', 'ec2 us-east-1 aws'],
    ['sts.cn-north-1.amazonaws.com', undefined],
    ['sts.us-east-1.amazonaws.com.cn', undefined],
    ['sts.mars-north-1.amazonaws.com', undefined],
    ['sts.amazonaws.com.example.net', undefined],
    ['amazonaws.com', undefined],
  ]
  for (const [host, answer] of rows) {
    test(`${host} is ${answer ?? 'nobody'}`, () => {
      const found = findEndpoint(host)
      assert.equal(
        found && [found.service, found.region, found.partition, found.bucket].filter(Boolean).join(' '),
        answer,
      )
    })
  }
})

test('what was seen says who did what, and keeps no secret', async () => {
  const key = keyOf({ role: 'ExampleReadOnlyAccess', sessionName: 'alice' })
  const { headers = {} } = await signRaw({ host: 's3.us-east-1.amazonaws.com' }, { key, service: 's3' })
  const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: lab.egressUrl }, ca: lab.egress.caPem })
  const outgoing = https.get({ agent, host: 's3.us-east-1.amazonaws.com', headers })
  const [response]: [IncomingMessage] = (await once(outgoing, 'response')) as [IncomingMessage] // what `response` is emitted with
  await response.toArray()
  agent.destroy()
  const seen = lab.seen.at(-1)
  assert.partialDeepStrictEqual(seen, {
    service: 's3',
    operation: 'ListBuckets',
    region: 'us-east-1',
    accessKeyId: key.accessKeyId,
    principal: 'arn:aws:sts::123456789012:assumed-role/ExampleReadOnlyAccess/alice',
    payloadMode: 'signed',
    status: 200,
    error: undefined,
  })
  const text = JSON.stringify(seen)
  assert.ok(!text.includes(key.sessionToken ?? '-') && !text.includes('Signature='))
})
