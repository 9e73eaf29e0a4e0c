/** Certificates of the host authority: who a member is, and what it serves under. */
import type { KeyObject } from 'node:crypto'
import { encodeHostSubject } from '#identity/encode.ts'
import type { HostIdentity } from '#identity/identity.ts'
import { type Certificate, issueCertificate, oids } from '#pki/certificate.ts'
import { authServerName, tunnelServerName } from '#tls-routing/names.ts'
import type { CaSigner } from './authorities.ts'
import { validity } from './validity.ts'

/**
 * Instance certificate of a member until `identity.expires`.
 * Only Auth and Proxy may serve with it, each under its one internal name. A name of the member's own choice, such as its
 * node name, is never a SAN: it could be the name of something else.
 *
 * @throws {InvalidIdentity} @throws {InvalidCertificate}
 */
export function issueHostCertificate(
  ca: CaSigner,
  identity: HostIdentity,
  publicKey: KeyObject,
  now: Date,
): Certificate {
  const served = [
    ...(identity.roles.includes('Auth') ? [authServerName(identity.cluster)] : []),
    ...(identity.roles.includes('Proxy') ? [tunnelServerName(identity.cluster)] : []),
  ]
  return issueCertificate({
    subject: encodeHostSubject(identity),
    publicKey,
    issuer: ca,
    ...validity(ca, identity.expires, now),
    dnsNames: [identity.hostId, ...served],
    keyUsage: ['digitalSignature', 'keyEncipherment'],
    extendedKeyUsage: served.length > 0 ? ['serverAuth', 'clientAuth'] : ['clientAuth'],
  })
}

/** A name to serve under. */
export interface ServedName {
  /** SNI under which it is reached, for example `LABEL.app.CLUSTER`. */
  readonly serverName: string
  readonly extraDnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  readonly publicKey: KeyObject
  readonly now: Date
  readonly ttlMs: number
}

/**
 * Short-lived server certificate for one name. It has no role, so it is no identity, and no client takes it for more.
 * Whether the member may serve the name is decided before.
 *
 * @throws {InvalidCertificate}
 */
export function issueServedNameCertificate(
  ca: CaSigner,
  { serverName, extraDnsNames = [], ipAddresses = [], publicKey, now, ttlMs }: ServedName,
): Certificate {
  const [label = ''] = serverName.split('.')
  return issueCertificate({
    subject: [[oids.CN, label]],
    publicKey,
    issuer: ca,
    ...validity(ca, new Date(now.getTime() + ttlMs), now),
    dnsNames: [...new Set([serverName, ...extraDnsNames])],
    ipAddresses,
    keyUsage: ['digitalSignature', 'keyEncipherment'],
    extendedKeyUsage: ['serverAuth'],
  })
}
