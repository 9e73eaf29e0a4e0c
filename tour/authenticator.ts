/** An authenticator app: codes of RFC 6238 from a secret, each given out once. */
import { createHmac } from 'node:crypto'

export interface Authenticator {
  /** A code that has not been given out. It begins one step in the past and runs at most one ahead: what servers allow. */
  nextCode(): string
}

const stepMs = 30_000

/** @param secret base32, as enrolment shows it */
export function createAuthenticator(secret: string, now: () => number = Date.now): Authenticator {
  const key = decodeBase32(secret)
  let last = Number.NEGATIVE_INFINITY
  return {
    nextCode() {
      const step = Math.floor(now() / stepMs)
      last = Math.max(last + 1, step - 1)
      if (last > step + 1) throw new Error('three codes were used within this step: wait half a minute')
      return code(key, last)
    },
  }
}

/** RFC 4226 §5.3. */
function code(key: Buffer, counter: number): string {
  const message = Buffer.alloc(8)
  message.writeBigUInt64BE(BigInt(counter))
  const mac = createHmac('sha1', key).update(message).digest()
  const offset = mac.readUInt8(mac.length - 1) & 0xf
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

function decodeBase32(text: string): Buffer {
  const bits = [...text.replace(/[=\s]/g, '').toUpperCase()]
    .map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'))
    .join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}
