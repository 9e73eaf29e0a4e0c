import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { checksumAlgorithms, startChecksum } from './checksum.ts'

suite('checksums of the text 123456789, as their standards give them', () => {
  const rows = {
    crc32: 'cbf43926',
    crc32c: 'e3069283',
    crc64nvme: 'ae8b14860a799888',
    sha1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
    sha256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  } as const
  for (const algorithm of checksumAlgorithms) {
    test(algorithm, () => {
      const sum = startChecksum(algorithm)
      sum.update(Buffer.from('123456789'))
      assert.equal(sum.digest().toString('hex'), rows[algorithm])
    })
  }
})

test('a checksum does not depend on how the data comes in pieces', () => {
  fc.assert(
    fc.property(fc.constantFrom(...checksumAlgorithms), fc.array(fc.uint8Array()), (algorithm, pieces) => {
      const whole = startChecksum(algorithm)
      const inPieces = startChecksum(algorithm)
      whole.update(Buffer.concat(pieces))
      for (const piece of pieces) inPieces.update(piece)
      assert.deepEqual(whole.digest(), inPieces.digest())
    }),
  )
})
