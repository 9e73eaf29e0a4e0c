import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { Secret } from '#secret.ts'
import { type ChunkSeed, signingKey, type WireRequest } from './sigv4.ts'
import { parseAuthorization } from './sigv4-authorization.ts'
import {
  ChunkDecoder,
  type ChunkDecoderOptions,
  decodeChunks,
  encodeChunks,
  encodedLength,
  InvalidChunk,
  streamingPayload,
  streamingPayloadTrailer,
  type Trailer,
} from './sigv4-chunks.ts'
import { verifySignature } from './sigv4-verify.ts'

/** The two examples of the S3 pages on chunked uploads: 66,560 times the letter a. */
const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const now = new Date('2013-05-24T00:00:00Z')
const scope = { date: '20130524', region: 'us-east-1', service: 's3' }
const content = Buffer.alloc(66_560, 'a')
const crc32c: Trailer = ['x-amz-checksum-crc32c', 'sOO8/Q==']

const seedOf = (signature: string): ChunkSeed => ({
  signature,
  key: signingKey(secret, scope),
  scope,
  amzDate: '20130524T000000Z',
})
const signed = {
  seed: seedOf('4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'),
  chunks: [
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ],
  trailer: '',
}
const trailed = {
  seed: seedOf('106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e'),
  chunks: [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ],
  trailer:
    'x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n',
}

function framed({ chunks, trailer }: typeof signed, data = content): Buffer {
  const [first, second, last] = chunks
  return Buffer.concat([
    Buffer.from(`10000;chunk-signature=${first}\r\n`),
    data.subarray(0, 65_536),
    Buffer.from(`\r\n400;chunk-signature=${second}\r\n`),
    data.subarray(65_536),
    Buffer.from(`\r\n0;chunk-signature=${last}\r\n${trailer}\r\n`),
  ])
}

/** Cuts a body into pieces of the given sizes, the last one taking the rest. */
async function* cut(body: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0
  for (const size of sizes) {
    yield body.subarray(at, at + size)
    at += size
  }
  yield body.subarray(at)
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

const decodeAll = (body: Buffer, options: ChunkDecoderOptions, sizes: readonly number[] = []): Promise<Buffer> =>
  collect(decodeChunks(cut(body, sizes), options))

suite('the examples of the S3 pages', () => {
  test('a chunked upload is unwrapped, and wrapped again byte for byte', async () => {
    assert.deepEqual(await decodeAll(framed(signed), { seed: signed.seed, decodedLength: 66_560 }), content)
    const wrapped = await collect(encodeChunks(cut(content, [1000]), { seed: signed.seed }))
    assert.deepEqual(wrapped, framed(signed))
    assert.equal(encodedLength(66_560), 66_824)
    assert.equal(wrapped.length, 66_824)
  })

  test('a chunked upload with a trailer is unwrapped, and wrapped again byte for byte', async () => {
    let trailers: readonly Trailer[] = []
    const body = decodeChunks(cut(framed(trailed), []), {
      seed: trailed.seed,
      trailerNames: ['x-amz-checksum-crc32c'],
      onTrailers: (found) => {
        trailers = found
      },
    })
    assert.deepEqual(await collect(body), content)
    assert.deepEqual(trailers, [crc32c])
    const wrapped = await collect(encodeChunks(cut(content, []), { seed: trailed.seed, trailers: () => [crc32c] }))
    assert.deepEqual(wrapped, framed(trailed))
    assert.equal(encodedLength(66_560, { trailerNames: [crc32c[0]] }), wrapped.length)
  })

  for (const [example, streaming, names, extra] of [
    [
      signed,
      streamingPayload,
      'content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class',
      ['Content-Length', '66824'],
    ],
    [
      trailed,
      streamingPayloadTrailer,
      'content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer',
      ['x-amz-trailer', 'x-amz-checksum-crc32c'],
    ],
  ] as const) {
    test(`the seed signature of ${streaming} is verified`, () => {
      const request: WireRequest = {
        method: 'PUT',
        path: '/examplebucket/chunkObject.txt',
        query: '',
        headers: [
          ...[
            'Host',
            's3.amazonaws.com',
            'x-amz-date',
            '20130524T000000Z',
            'x-amz-storage-class',
            'REDUCED_REDUNDANCY',
          ],
          ...[
            'x-amz-content-sha256',
            streaming,
            'Content-Encoding',
            'aws-chunked',
            'x-amz-decoded-content-length',
            '66560',
          ],
          ...extra,
        ],
      }
      const authorization = parseAuthorization(
        `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${names},Signature=${example.seed.signature}`,
      )
      const seed = verifySignature({
        request,
        authorization,
        payloadHash: streaming,
        secretAccessKey: new Secret(secret),
        now,
      })
      assert.deepEqual(seed, example.seed)
    })
  }
})

suite('what a signed upload may not be', () => {
  const body = framed(trailed).toString('latin1')
  const changed = (from: string | RegExp, to: string): Buffer => Buffer.from(body.replace(from, to), 'latin1')
  const trailerNames = ['x-amz-checksum-crc32c']
  for (const { says, bytes, options = {}, message } of [
    { says: 'changed in a chunk', bytes: changed('aaaa', 'aaba'), message: /chunk signature/ },
    { says: 'changed in the last chunk', bytes: changed('a\r\n0;', 'b\r\n0;'), message: /chunk signature/ },
    { says: 'cut off before the final chunk', bytes: changed(/0;chunk.*$/s, ''), message: /ends before/ },
    { says: 'cut off in the trailer', bytes: changed(/x-amz-trailer-.*$/s, ''), message: /ends before/ },
    {
      says: 'longer than its final chunk',
      bytes: changed(/$/, 'GET / HTTP/1.1\r\n'),
      message: /follows the final chunk/,
    },
    { says: 'without trailer signature', bytes: changed(/x-amz-trailer-sig[^\r]*\r\n/, ''), message: /not signed/ },
    { says: 'changed in the trailer', bytes: changed('sOO8', 'sOO9'), message: /trailer signature/ },
    { says: 'with another trailer than announced', bytes: changed('crc32c:', 'crc32:'), message: /announced/ },
    {
      says: 'with a trailer that nobody announced',
      bytes: changed('', ''),
      options: { trailerNames: undefined },
      message: /unexpected line/,
    },
    { says: 'with a size that is no number', bytes: changed('10000;', '0x10000;'), message: /header/ },
    { says: 'with another extension', bytes: changed('10000;', '10000;a=b;'), message: /header/ },
    { says: 'with a line feed alone', bytes: changed('\r\n400;', '\n\n400;'), message: /longer than its header/ },
    {
      says: 'in chunks beyond the limit',
      bytes: changed('', ''),
      options: { maxChunkBytes: 65_535 },
      message: /limit/,
    },
    {
      says: 'longer than announced',
      bytes: changed('', ''),
      options: { decodedLength: 66_559 },
      message: /longer than/,
    },
    {
      says: 'shorter than announced',
      bytes: changed('', ''),
      options: { decodedLength: 66_561 },
      message: /as long as/,
    },
    { says: 'a line without end', bytes: Buffer.alloc(1000, '1'), message: /too long/ },
  ]) {
    test(says, async () => {
      const { trailerNames: names = trailerNames, ...rest } = { ...options } as Partial<ChunkDecoderOptions>
      const given = 'trailerNames' in options ? {} : { trailerNames: names }
      await assert.rejects(decodeAll(bytes, { seed: trailed.seed, ...given, ...rest }), (error) => {
        assert.ok(error instanceof InvalidChunk)
        assert.match(error.message, message)
        return true
      })
    })
  }

  test('the last data is withheld until everything before it verified', () => {
    const decoder = new ChunkDecoder({ seed: signed.seed })
    const whole = framed(signed)
    const untilZero = whole.subarray(0, whole.length - 2)
    assert.equal(Buffer.concat(decoder.push(untilZero)).length, 65_536)
    assert.throws(() => decoder.end(), InvalidChunk)
    assert.deepEqual(decoder.push(whole.subarray(-2)), [])
    assert.equal(decoder.end().data.length, 1024)
  })
})

test('what was wrapped is unwrapped, however the pieces fall', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 2000 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 700 }),
      fc.boolean(),
      async (bytes, in1, in2, chunkBytes, hasTrailer) => {
        const data = Buffer.from(bytes)
        const trailer = hasTrailer ? { trailers: () => [crc32c] } : {}
        const wrapped = await collect(encodeChunks(cut(data, in1), { seed: trailed.seed, chunkBytes, ...trailer }))
        const names = hasTrailer ? { trailerNames: [crc32c[0]] } : {}
        assert.equal(wrapped.length, encodedLength(data.length, { chunkBytes, ...names }))
        assert.deepEqual(
          await decodeAll(wrapped, { seed: trailed.seed, decodedLength: data.length, ...names }, in2),
          data,
        )
      },
    ),
    { numRuns: 100 },
  )
})

test('whatever comes, the decoder gives nothing unverified and fails only as InvalidChunk', () => {
  const whole = framed(trailed)
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.record({ at: fc.nat(whole.length - 1), to: fc.nat(255) })),
      (input) => {
        const bytes = input instanceof Uint8Array ? Buffer.from(input) : Buffer.from(whole)
        const unchanged = !(input instanceof Uint8Array) && bytes[input.at] === input.to
        if (!(input instanceof Uint8Array)) bytes[input.at] = input.to
        const decoder = new ChunkDecoder({ seed: trailed.seed, trailerNames: ['x-amz-checksum-crc32c'] })
        try {
          for (const part of decoder.push(bytes)) assert.ok(content.includes(part))
          decoder.end()
          // Upper-case hex digits and blanks around the value are the only changes without a meaning.
          if (!unchanged) assert.ok(!(input instanceof Uint8Array))
        } catch (error) {
          assert.ok(error instanceof InvalidChunk, String(error))
        }
      },
    ),
    { numRuns: 300 },
  )
})
