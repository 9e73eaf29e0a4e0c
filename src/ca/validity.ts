/** From when to when an issued certificate says something. */
import { InvalidCertificate } from '#pki/certificate.ts'
import type { CaSigner } from './authorities.ts'

/** Clocks of other machines may be behind ours by this much. */
const BACKDATED_MS = 60_000

/**
 * A minute ago until `expires`, or until the authority itself ends.
 * How long a session may last is decided before; here it is only kept within the authority's life.
 * @throws {InvalidCertificate} if that is over already
 */
export function validity(
  ca: CaSigner,
  expires: Date,
  now: Date,
): { readonly notBefore: Date; readonly notAfter: Date } {
  const notAfter = expires < ca.notAfter ? expires : ca.notAfter
  if (!(notAfter > now)) {
    throw new InvalidCertificate(`the certificate would have expired already, at ${notAfter.toISOString()}`, {
      hint: notAfter === ca.notAfter ? 'rotate the certificate authority' : 'log in again, or join again',
    })
  }
  return { notBefore: new Date(now.getTime() - BACKDATED_MS), notAfter }
}
