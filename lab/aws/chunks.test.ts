import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AwsError } from './aws-error.ts'
import { ChunkDecoder } from './chunks.ts'
import { encodeChunked } from './raw-client.ts'

const pieces = fc.array(fc.nat({ max: 400 }), { maxLength: 30 })

function decode(framed: Buffer, cuts: readonly number[], decodedLength: number, trailers: readonly string[]) {
  const decoder = new ChunkDecoder({ signature: undefined, trailers, decodedLength })
  const data: Buffer[] = []
  let at = 0
  for (const size of [...cuts, framed.length]) {
    data.push(...decoder.push(framed.subarray(at, at + size)))
    at += size
  }
  const found = decoder.end()
  return { data: Buffer.concat(data), trailers: Object.fromEntries(found) }
}

suite('unframing a body', () => {
  test('gives the data and the trailers, however the bytes come in pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.integer({ min: 1, max: 9000 }), pieces, (bytes, over, cuts) => {
        const data = Buffer.concat([Buffer.alloc(8192, 1), bytes])
        const trailers = { 'x-amz-checksum-crc32': 'AAAA' }
        const framed = encodeChunked({ data, chunkBytes: 8192 + over, trailers })
        assert.deepEqual(decode(framed, cuts, data.length, Object.keys(trailers)), { data, trailers })
      }),
    )
  })
  test('throws nothing but refusals, whatever comes', () => {
    const odd = fc.oneof(
      fc.uint8Array(),
      fc.constantFrom('0\r\n', '5\r\n', '\r\n', 'a:b\r\n', 'ffffffffffffffff\r\n').map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(fc.array(odd), pieces, (parts, cuts) => {
        try {
          decode(Buffer.concat(parts), cuts, 5, ['a'])
        } catch (error) {
          assert.ok(error instanceof AwsError)
        }
      }),
      { numRuns: 500 },
    )
  })
})
