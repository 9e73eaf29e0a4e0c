import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { sha256Hex } from '#aws/sigv4.ts'
import { BodyTooLarge, spoolBody } from './spool.ts'

const pieces = (bytes: Buffer, size: number): Readable =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    ),
  )
const files = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('.aws-request-'))

for (const [says, length] of [
  ['nothing', 0],
  ['little, in memory', 900],
  ['much, in a file', 9000],
] as const) {
  test(`a body of ${says} comes back as it was, with its hash`, async () => {
    const bytes = randomBytes(length)
    const before = files()
    {
      await using spooled = await spoolBody(pieces(bytes, 100), { memoryBytes: 1000, maxBytes: 10_000 })
      assert.equal(spooled.size, length)
      assert.equal(spooled.hash, sha256Hex(bytes))
      assert.deepEqual(await buffer(spooled.open()), bytes)
    }
    assert.deepEqual(files(), before)
  })
}

test('a body beyond the limit is refused, and leaves nothing behind', async () => {
  const before = files()
  await assert.rejects(spoolBody(pieces(randomBytes(9000), 100), { memoryBytes: 1000, maxBytes: 5000 }), BodyTooLarge)
  assert.deepEqual(files(), before)
})
