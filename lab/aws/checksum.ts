/** The checksums of S3, over data that comes in pieces. @see Amazon S3 User Guide, "Checking object integrity" */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** As they stand in header names: `x-amz-checksum-crc32c`. */
export const checksumAlgorithms = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const

/** One of them. */
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number]

/** A checksum in the making. `digest` may be asked for once. */
export interface Checksum {
  update(data: Uint8Array): void
  digest(): Buffer
}

/** Starts a checksum; `md5` is that of `Content-MD5` and of ETags. */
export function startChecksum(algorithm: ChecksumAlgorithm | 'md5'): Checksum {
  switch (algorithm) {
    case 'crc32':
      return crc32Checksum()
    case 'crc32c':
      return crc32cChecksum()
    case 'crc64nvme':
      return crc64Checksum()
    default: {
      const hash = createHash(algorithm)
      return {
        update(data) {
          hash.update(data)
        },
        digest: () => hash.digest(),
      }
    }
  }
}

function crc32Checksum(): Checksum {
  let value = 0
  return {
    update(data) {
      value = crc32(data, value)
    },
    digest: () => fourBytes(value),
  }
}

/** Castagnoli's polynomial, reflected. @see RFC 3720 Appendix B.4 for test values */
const crc32cTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value >>> 0
})

function crc32cChecksum(): Checksum {
  let value = 0xffffffff
  return {
    update(data) {
      for (let at = 0; at < data.length; at++) {
        value = ((crc32cTable[(value ^ (data[at] ?? 0)) & 0xff] ?? 0) ^ (value >>> 8)) >>> 0
      }
    },
    digest: () => fourBytes((value ^ 0xffffffff) >>> 0),
  }
}

/** CRC-64/NVME, reflected polynomial 0x9a6c9329ac4bc9b5, in two halves: numbers are ten times as fast as BigInts. */
const [crc64High, crc64Low] = ((): [Uint32Array, Uint32Array] => {
  const high = new Uint32Array(256)
  const low = new Uint32Array(256)
  for (let index = 0; index < 256; index++) {
    let value = BigInt(index)
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ 0x9a6c9329ac4bc9b5n : value >> 1n
    high[index] = Number(value >> 32n)
    low[index] = Number(value & 0xffffffffn)
  }
  return [high, low]
})()

function crc64Checksum(): Checksum {
  let high = 0xffffffff
  let low = 0xffffffff
  return {
    update(data) {
      for (let at = 0; at < data.length; at++) {
        const index = (low ^ (data[at] ?? 0)) & 0xff
        low = ((crc64Low[index] ?? 0) ^ ((low >>> 8) | (high << 24))) >>> 0
        high = ((crc64High[index] ?? 0) ^ (high >>> 8)) >>> 0
      }
    },
    digest: () => Buffer.concat([fourBytes((high ^ 0xffffffff) >>> 0), fourBytes((low ^ 0xffffffff) >>> 0)]),
  }
}

function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
