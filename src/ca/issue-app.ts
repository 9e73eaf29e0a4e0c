import type { KeyObject } from 'node:crypto'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import type { Certificate } from '#pki/certificate.ts'
import type { CaSigner } from './authorities.ts'
import { issueUserCertificate } from './issue-user.ts'

/** Who, and the one app and cloud principal that the certificate opens. */
export type AppIdentity = UserIdentity & { readonly routeToApp: RouteToApp }

/**
 * Certificate of one app session until `identity.expires`. It opens that app and nothing else.
 * @throws {InvalidIdentity} @throws {InvalidCertificate}
 */
export function issueAppCertificate(ca: CaSigner, identity: AppIdentity, publicKey: KeyObject, now: Date): Certificate {
  return issueUserCertificate(ca, { ...identity, usage: ['apps'] }, publicKey, now)
}
