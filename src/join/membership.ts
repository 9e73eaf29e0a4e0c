import type { KeyObject } from 'node:crypto'
import { Unauthenticated } from '#errors.ts'
import type { JoinResponse } from '#gen/access/v1/access_pb.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { SystemRole } from '#identity/identity.ts'
import { splitPem } from '#pki/certificate.ts'
import { verifyChain } from '#pki/chain.ts'
import { type KeyPair, privateKeyPem, spkiSha256 } from '#pki/key.ts'
import type { MemberIdentity } from './join.ts'

/** Auth answered with a certificate that is not what was asked for. */
export class WrongMembership extends Unauthenticated {
  constructor(what: string) {
    super(`the Auth Service issued a certificate ${what}`, {
      hint: 'check the versions of both sides and that the clocks agree, then join again',
    })
  }
}

/**
 * The identity that an answer to Join or Renew gives, when it is for our key, our role and our cluster.
 * @throws {WrongMembership} @throws {UntrustedCertificate}
 */
export function acceptMembership(
  response: JoinResponse,
  expected: { readonly keys: KeyPair; readonly role: SystemRole; readonly clusterName: string; readonly now: Date },
): MemberIdentity {
  const { keys, role, clusterName, now } = expected
  const hostAuthorities = splitPem(response.hostAuthoritiesPem)
  const certificate = verifyChain({
    chain: [response.certificatePem],
    roots: hostAuthorities,
    at: now,
    purpose: 'client',
  })
  const identity = decodeIdentity(certificate, 'host')
  if (!isSameKey(certificate.publicKey, keys.publicKey)) throw new WrongMembership('for another key')
  if (identity.cluster !== clusterName || response.clusterName !== clusterName) {
    throw new WrongMembership(`for cluster ${JSON.stringify(identity.cluster)}`)
  }
  if (!identity.roles.includes(role)) throw new WrongMembership(`without the role ${role}`)
  return {
    hostId: identity.hostId,
    clusterName,
    certificatePem: certificate.pem,
    privateKeyPem: privateKeyPem(keys.privateKey),
    hostAuthorities,
  }
}

function isSameKey(a: KeyObject, b: KeyObject): boolean {
  return spkiSha256(a).equals(spkiSha256(b))
}
