/** Signature algorithms of certificates and requests: identifiers of RFC 5758, RFC 4055 and RFC 8410. */
import { type KeyObject, sign, verify } from 'node:crypto'
import { type DerNode, InvalidDer, nullValue, objectIdentifier, sequence, tags } from './der.ts'
import { expectTag, readObjectIdentifier } from './der-value.ts'
import { keyTypeOf } from './key.ts'

/** DER AlgorithmIdentifier of what `signBytes` makes with this key. @throws {InvalidKey} */
export function signatureAlgorithm(key: KeyObject): Buffer {
  return written[keyTypeOf(key)]
}

/** ECDSA and RSA (PKCS #1 v1.5) with SHA-256, Ed25519 as it is. ECDSA gives DER (RFC 3279 section 2.2.3). */
export function signBytes(key: KeyObject, bytes: Buffer): Buffer {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, key)
}

/**
 * What a DER AlgorithmIdentifier names: the digest and the key type that it needs.
 * Algorithms on SHA-1 and MD5 are unknown on purpose.
 * @throws {InvalidDer}
 */
export function readSignatureAlgorithm(node: DerNode | undefined): SignatureAlgorithm {
  const [identifier, parameters] = expectTag(node, tags.sequence, 'the signature algorithm').children
  const oid = readObjectIdentifier(identifier, 'the signature algorithm')
  const known = algorithms[oid]
  if (known === undefined) throw new InvalidDer(`the signature algorithm ${oid} is not accepted`, node?.offset)
  // RSA carries NULL (RFC 4055 section 5), the others nothing (RFC 5758 section 3.2, RFC 8410 section 3).
  if (parameters !== undefined && !(known.keyType === 'rsa' && parameters.tag === tags.null)) {
    throw new InvalidDer(`the signature algorithm ${oid} has parameters`, parameters.offset)
  }
  return known
}

export interface SignatureAlgorithm {
  readonly keyType: 'rsa' | 'ec' | 'ed25519'
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null
}

/** Whether the signature is this key's, over these bytes, by this very algorithm. */
export function isSignatureOf(
  { keyType, digest }: SignatureAlgorithm,
  key: KeyObject,
  bytes: Buffer,
  signature: Buffer,
): boolean {
  return key.asymmetricKeyType === keyType && verify(digest, bytes, key, signature)
}

const algorithms: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.10045.4.3.2': { keyType: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { keyType: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { keyType: 'ec', digest: 'sha512' },
  '1.2.840.113549.1.1.11': { keyType: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { keyType: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { keyType: 'rsa', digest: 'sha512' },
  '1.3.101.112': { keyType: 'ed25519', digest: null },
}

const written = {
  'ecdsa-p256': sequence(objectIdentifier('1.2.840.10045.4.3.2')),
  'rsa-2048': sequence(objectIdentifier('1.2.840.113549.1.1.11'), nullValue()),
  ed25519: sequence(objectIdentifier('1.3.101.112')),
}
