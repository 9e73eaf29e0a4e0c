import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { type AwsLab, startAwsLab } from './cloud.ts'
import { callRaw, encodeChunked, type RawKey, type RawRequest, sendRaw, signRaw } from './raw-client.ts'

let lab: AwsLab
let admin: RawKey
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = lab.environment()
  admin = { accessKeyId, secretAccessKey }
})
after(() => lab[Symbol.asyncDispose]())

const flip = (value: string): string => value.slice(0, -1) + (value.endsWith('0') ? '1' : '0')

suite('uploads in signed or unsigned chunks', () => {
  const data = Buffer.alloc(20_000, 'lab')
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(data))
  const trailer = { 'x-amz-checksum-crc32': sum.toString('base64') }
  const modes = [
    { mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', signed: true, trailers: {} },
    { mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', signed: true, trailers: trailer },
    { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', signed: false, trailers: trailer },
  ]
  type Mode = (typeof modes)[number]
  const upload = async (
    { mode, signed, trailers }: Mode,
    {
      length = data.length,
      chunkBytes = 8192,
      bend = (body: Buffer) => body,
      sent = trailers as Record<string, string>,
    } = {},
  ) => {
    const request: RawRequest = {
      method: 'PUT',
      host: 'reports.s3.us-east-1.amazonaws.com',
      path: `/${mode}`,
      headers: {
        'x-amz-decoded-content-length': String(length),
        'content-encoding': 'aws-chunked',
        ...(Object.keys(trailers).length > 0 ? { 'x-amz-trailer': Object.keys(trailers).join(',') } : {}),
      },
    }
    const { headers = {} } = await signRaw(request, { key: admin, service: 's3', payload: mode })
    const body = bend(
      encodeChunked({ data, chunkBytes, trailers: sent, ...(signed ? { seed: { headers, key: admin } } : {}) }),
    )
    return sendRaw(lab, { ...request, headers: { ...headers, 'content-length': String(body.length) }, body })
  }
  const replace =
    (from: RegExp, to: (found: string) => string) =>
    (body: Buffer): Buffer => {
      const text = body.toString('latin1')
      const bent = text.replace(from, to)
      assert.notEqual(bent, text)
      return Buffer.from(bent, 'latin1')
    }

  for (const mode of modes) {
    test(`${mode.mode} is unframed and kept`, async () => {
      const put = await upload(mode)
      assert.equal(put.status, 200, put.body)
      const { body } = await callRaw(
        lab,
        { host: 's3.us-east-1.amazonaws.com', path: `/reports/${mode.mode}` },
        { key: admin, service: 's3' },
      )
      assert.equal(createHash('md5').update(body).digest('hex'), createHash('md5').update(data).digest('hex'))
      assert.equal(lab.seen.findLast(({ operation }) => operation === 'PutObject')?.payloadMode, mode.mode)
    })
    test(`${mode.mode} with a wrong decoded length is refused`, async () => {
      assert.equal((await upload(mode, { length: data.length + 1 })).code, 'IncompleteBody')
    })
    test(`${mode.mode} with small chunks in the middle is refused`, async () => {
      assert.equal((await upload(mode, { chunkBytes: 4096 })).code, 'InvalidChunkSizeError')
    })
    test(`${mode.mode} that is cut off is refused`, async () => {
      assert.equal((await upload(mode, { bend: (body) => body.subarray(0, 9000) })).code, 'IncompleteBody')
    })
  }
  for (const mode of modes.filter(({ signed }) => signed)) {
    for (const [which, found] of [
      ['the first chunk', /chunk-signature=[0-9a-f]{64}/],
      ['the last chunk', /\r\n0;chunk-signature=[0-9a-f]{64}/],
    ] as const) {
      test(`${mode.mode} with a wrong signature on ${which} is refused`, async () => {
        assert.equal((await upload(mode, { bend: replace(found, flip) })).code, 'SignatureDoesNotMatch')
      })
    }
    test(`${mode.mode} with other bytes in a chunk is refused`, async () => {
      assert.equal((await upload(mode, { bend: replace(/lablab/, () => 'LABlab') })).code, 'SignatureDoesNotMatch')
    })
  }
  for (const mode of modes.filter(({ mode }) => mode.endsWith('TRAILER'))) {
    test(`${mode.mode} with a wrong checksum in the trailer is refused`, async () => {
      assert.equal((await upload(mode, { sent: { 'x-amz-checksum-crc32': 'AAAAAA==' } })).code, 'BadDigest')
    })
    test(`${mode.mode} with another trailer than was promised is refused`, async () => {
      assert.equal((await upload(mode, { sent: { 'x-amz-checksum-sha1': 'AAAAAA==' } })).code, 'MalformedTrailerError')
    })
  }
  test('a wrong signature on the trailer is refused', async () => {
    const answer = await upload(modes[1]!, { bend: replace(/x-amz-trailer-signature:[0-9a-f]{64}/, flip) })
    assert.equal(answer.code, 'SignatureDoesNotMatch')
  })
  test('nothing that was refused is kept', async () => {
    await upload(modes[0]!, { bend: replace(/lablab/, () => 'LABlab') })
    const { body } = await callRaw(
      lab,
      { host: 's3.us-east-1.amazonaws.com', path: `/reports/${modes[0]!.mode}` },
      { key: admin, service: 's3' },
    )
    assert.doesNotMatch(body, /LAB/)
  })
})
