import type { KeyObject } from 'node:crypto'
import { encodeUserSubject } from '#identity/encode.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { type Certificate, issueCertificate } from '#pki/certificate.ts'
import type { CaSigner } from './authorities.ts'
import { validity } from './validity.ts'

/**
 * Certificate of a person or a bot until `identity.expires`, signed by the user authority.
 * @throws {InvalidIdentity} @throws {InvalidCertificate}
 */
export function issueUserCertificate(
  ca: CaSigner,
  identity: UserIdentity,
  publicKey: KeyObject,
  now: Date,
): Certificate {
  return issueCertificate({
    subject: encodeUserSubject(identity),
    publicKey,
    issuer: ca,
    ...validity(ca, identity.expires, now),
    keyUsage: ['digitalSignature', 'keyEncipherment'],
    extendedKeyUsage: ['serverAuth', 'clientAuth'],
  })
}
