/**
 * Key pairs that are worth something to our local proxy alone. They are derived from the private key of the app login,
 * which stays when the certificate is renewed: two shells, and later runs, agree on them without a file of their own.
 */
import { createECDH, createHash, createPrivateKey, hkdfSync, type KeyObject } from 'node:crypto'
import { parsePrivateKey } from '#pki/key.ts'
import { Secret } from '#secret.ts'

/** What an AWS client gets to sign with. */
export interface PlaceholderCredentials {
  /** `PLACEHOLDER` and 16 characters of `[A-Z2-7]`; AWS clients take 16 to 128 characters. */
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
}

/**
 * Derives the pair of one app login (HKDF-SHA256, RFC 5869).
 *
 * @param privateKeyPem of the login, or of all logins of one user, PKCS #8
 * @param owner which of them: `['example.com', 'awsconsole', 'arn:aws:iam::123456789012:role/Reader']`
 */
export function placeholderCredentials(privateKeyPem: string, owner: readonly string[] = []): PlaceholderCredentials {
  const suffix = owner.length === 0 ? '' : ` ${JSON.stringify(owner)}`
  const bytes = derive(privateKeyPem, `aws placeholder key id${suffix}`, 10)
  const id = Array.from({ length: 16 }, (_, index) => BASE32.charAt(fiveBits(bytes, index))).join('')
  const secret = derive(privateKeyPem, `aws placeholder secret${suffix}`, 30).toString('base64url')
  return { accessKeyId: `${PREFIX}${id}`, secretAccessKey: new Secret(secret) }
}

/** Is it the id of a placeholder, of whatever login, or of a role that was assumed from there? */
export function isPlaceholderId(accessKeyId: string): boolean {
  return /^PLACEHOLDER(ROLE)?[A-Z2-7]{16}$/.test(accessKeyId)
}

/** The P-256 key of the local CA of one app login, derived in the same way: it comes and goes with the login. */
export function localCaKey(privateKeyPem: string): KeyObject {
  const curve = createECDH('prime256v1')
  // One in 2^32 scalars is above the order of the curve, and refused: the next one is taken.
  for (let attempt = 0; ; attempt++) {
    const scalar = derive(privateKeyPem, `local ca key ${attempt}`, 32)
    try {
      curve.setPrivateKey(scalar)
    } catch (error) {
      if (attempt === 8) throw error
      continue
    }
    const point = curve.getPublicKey()
    const coordinates = { x: point.toString('base64url', 1, 33), y: point.toString('base64url', 33) }
    const key = { kty: 'EC', crv: 'P-256', d: scalar.toString('base64url'), ...coordinates }
    return createPrivateKey({ format: 'jwk', key })
  }
}

const PREFIX = 'PLACEHOLDER'
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const SALT = 'access local proxy 1'

function derive(privateKeyPem: string, purpose: string, length: number): Buffer {
  const key = parsePrivateKey(privateKeyPem).export({ type: 'pkcs8', format: 'der' })
  // HKDF's info is short in Node: what may be long goes in as its hash.
  const info = purpose.length <= 64 ? purpose : createHash('sha256').update(purpose).digest()
  return Buffer.from(hkdfSync('sha256', key, SALT, info, length))
}

function fiveBits(bytes: Buffer, index: number): number {
  const at = index * 5
  const pair = ((bytes[at >> 3] ?? 0) << 8) | (bytes[(at >> 3) + 1] ?? 0)
  return (pair >> (11 - (at & 7))) & 31
}
