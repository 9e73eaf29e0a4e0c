/** Key pairs and their standard encodings: PKCS #8 for private keys (RFC 5958), SubjectPublicKeyInfo for public ones (RFC 5280 section 4.1.2.7). */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { InvalidInput } from '#errors.ts'

/** The key types that this system makes. */
export type KeyType = 'ecdsa-p256' | 'rsa-2048' | 'ed25519'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Text that is no key, or a key of a type or size that is not accepted. Never holds any of the text. */
export class InvalidKey extends InvalidInput {}

/** A fresh key pair, ECDSA P-256 unless told otherwise. RSA takes some tenths of a second and blocks. */
export function generateKeyPair(type: KeyType = 'ecdsa-p256'): KeyPair {
  switch (type) {
    case 'ecdsa-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'rsa-2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 })
    case 'ed25519':
      return generateKeyPairSync('ed25519')
  }
}

/** PKCS #8, PEM. What it gives is a secret. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' })
}

/** SubjectPublicKeyInfo, PEM. A private key gives that of its public half. */
export function publicKeyPem(key: KeyObject): string {
  return publicHalf(key).export({ type: 'spki', format: 'pem' })
}

/** @throws {InvalidKey} */
export function parsePrivateKey(pem: string): KeyObject {
  if (pem.length > MAX_PEM_CHARACTERS) throw invalid('the private key is too long')
  let key: KeyObject
  try {
    key = createPrivateKey({ key: pem, format: 'pem' })
  } catch {
    throw invalid('the text is no private key in PEM') // without the cause: it may quote the key
  }
  return accepted(key)
}

/** @throws {InvalidKey} also for a private key or a certificate in place of the public key */
export function parsePublicKey(pem: string): KeyObject {
  if (pem.length > MAX_PEM_CHARACTERS) throw invalid('the public key is too long')
  const body = /^\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1]
  if (body === undefined) throw invalid('the text is no public key in PEM')
  return parsePublicKeyDer(Buffer.from(body, 'base64'))
}

/** @param spki SubjectPublicKeyInfo, DER. @throws {InvalidKey} */
export function parsePublicKeyDer(spki: Buffer): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  } catch {
    throw invalid('the bytes are no public key')
  }
  return accepted(key)
}

/** SubjectPublicKeyInfo, DER. */
export function spkiDer(key: KeyObject): Buffer {
  return publicHalf(key).export({ type: 'spki', format: 'der' })
}

/** SHA-256 of the DER SubjectPublicKeyInfo, 32 bytes: what a CA pin is made of. */
export function spkiSha256(key: KeyObject): Buffer {
  return createHash('sha256').update(spkiDer(key)).digest()
}

/** The type of a key that this system could have made. @throws {InvalidKey} for any other */
export function keyTypeOf(key: KeyObject): KeyType {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519'
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return 'ecdsa-p256'
  if (key.asymmetricKeyType === 'rsa' && (modulusLength ?? 0) >= 2048) return 'rsa-2048'
  throw invalid('keys of this type do not sign here')
}

const MAX_PEM_CHARACTERS = 16 * 1024
/** Larger moduli make each verification slow: RSA-8192 is the largest in use. */
const MAX_RSA_BITS = 8192

function publicHalf(key: KeyObject): KeyObject {
  return key.type === 'private' ? createPublicKey(key) : key
}

/** Keys weaker than 112 bits, and types that no peer of ours uses, are refused (NIST SP 800-57 part 1, section 5.6.1). */
function accepted(key: KeyObject): KeyObject {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return key
    case 'ec':
      if (['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve)) return key
      throw invalid('the elliptic curve of the key is not accepted')
    case 'rsa':
      if (modulusLength >= 2048 && modulusLength <= MAX_RSA_BITS) return key
      throw invalid(`an RSA key of ${modulusLength} bits is not accepted`)
    default:
      throw invalid('keys of this type are not accepted')
  }
}

function invalid(message: string): InvalidKey {
  return new InvalidKey(message, { hint: 'use an ECDSA P-256, RSA-2048 or Ed25519 key in PEM' })
}
