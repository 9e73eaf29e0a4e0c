import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type AwsLab, startAwsLab } from './cloud.ts'
import { type RawKey, type RawRequest, type RawSigning, sendRaw, signRaw } from './raw-client.ts'

let lab: AwsLab
let admin: RawKey
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  await lab.putObject('reports', 'presigned.txt', 'signed beforehand')
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = lab.environment()
  admin = { accessKeyId, secretAccessKey }
})
after(() => lab[Symbol.asyncDispose]())

suite('a presigned request that is not right is refused', () => {
  const get: RawRequest = { host: 's3.us-east-1.amazonaws.com', path: '/reports/presigned.txt' }
  const presign = (signing: Partial<RawSigning> = {}): Promise<RawRequest> =>
    signRaw(get, { key: admin, service: 's3', expiresIn: 60, payload: 'UNSIGNED-PAYLOAD', ...signing })
  test('unlike the same request as it was signed', async () => {
    assert.equal((await sendRaw(lab, await presign())).status, 200)
  })
  const rows: readonly { says: string; request: () => Promise<RawRequest>; answer: readonly [number, string] }[] = [
    {
      says: 'after its time',
      request: () => presign({ at: new Date(Date.now() - 120_000) }),
      answer: [403, 'AccessDenied'],
    },
    {
      says: 'with another secret',
      request: () => presign({ key: { ...admin, secretAccessKey: 'not the one' } }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'for another object',
      request: async () => ({ ...(await presign()), path: '/reports/other.txt' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'for another method',
      request: async () => ({ ...(await presign()), method: 'DELETE' }),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'with a longer life than it was signed for',
      request: async () => withQuery(await presign(), 'X-Amz-Expires', '3600'),
      answer: [403, 'SignatureDoesNotMatch'],
    },
    {
      says: 'for more than a week',
      request: async () => withQuery(await presign(), 'X-Amz-Expires', '604801'),
      answer: [400, 'AuthorizationQueryParametersError'],
    },
    {
      says: 'with a header as well',
      request: async () => ({
        ...(await presign()),
        headers: (await signRaw(get, { key: admin, service: 's3' })).headers ?? {},
      }),
      answer: [400, 'InvalidArgument'],
    },
    {
      says: 'with version 2 of signatures, which no bucket made since 2020 takes',
      request: async () => ({
        ...get,
        query: { AWSAccessKeyId: admin.accessKeyId, Signature: 'c2ln', Expires: '9999999999' },
      }),
      answer: [400, 'InvalidRequest'],
    },
    {
      says: 'without its date',
      request: async () => withQuery(await presign(), 'X-Amz-Date', undefined),
      answer: [400, 'AuthorizationQueryParametersError'],
    },
  ]
  for (const { says, request, answer } of rows) {
    test(says, async () => {
      const { status, code } = await sendRaw(lab, await request())
      assert.deepEqual([status, code], answer)
    })
  }
})

function withQuery(request: RawRequest, name: string, value: string | undefined): RawRequest {
  const { [name]: _, ...rest } = request.query ?? {}
  return { ...request, query: value === undefined ? rest : { ...rest, [name]: value } }
}
