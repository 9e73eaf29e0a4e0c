/** Verification of a certificate chain at an instant (RFC 5280 section 6), for one purpose. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { AccessError } from '#errors.ts'
import { type ParsedCertificate, parseCertificate } from './certificate.ts'

/** A chain that ends in no trusted authority, or that breaks a rule on the way. */
export class UntrustedCertificate extends AccessError {
  override readonly code = 'unauthenticated'
}

export interface ChainToVerify {
  /** PEM, leaf first; the rest in any order. */
  readonly chain: readonly string[]
  /** Trusted authorities, PEM. */
  readonly roots: readonly string[]
  readonly at: Date
  readonly purpose: 'client' | 'server'
  /** Name or address that the leaf must hold among its SANs; the subject is never looked at. */
  readonly dnsName?: string
}

/**
 * The leaf, if a path of valid signatures leads from it to one of the roots and every certificate on it may stand there:
 * within its validity, issued by a CA that may sign certificates, path length and purposes kept, no critical extension
 * that is not understood.
 *
 * @throws {UntrustedCertificate}
 * @throws {InvalidDer} and other parsing errors for a chain that cannot be read
 * @see RFC 5280 sections 6.1.3 to 6.1.5
 */
export function verifyChain({ chain, roots, at, purpose, dnsName }: ChainToVerify): ParsedCertificate {
  if (chain.length > MAX_CHAIN) throw untrusted(`the chain has more than ${MAX_CHAIN} certificates`)
  const [leaf, ...others] = chain.map(readLink)
  if (leaf === undefined) throw untrusted('there is no certificate')
  checkLeaf(leaf, { at, purpose, dnsName })
  const anchors = roots.map(readLink)
  const search: Search = { anchors, others, at, purpose, signatureChecks: 0, obstacle: undefined }
  if (!leadsToAnchor(leaf, [], search)) {
    throw search.obstacle ?? untrusted('the certificate is not signed by a trusted authority')
  }
  return leaf.parsed
}

// ----------------------------------------------------------------------------------------------- private

const MAX_CHAIN = 10
/** Authorities of one name invite a search without end: the certificates in the path bound it, this bounds the cost. */
const MAX_SIGNATURE_CHECKS = 64

interface Link {
  readonly parsed: ParsedCertificate
  readonly x509: X509Certificate
}

interface Search {
  readonly anchors: readonly Link[]
  readonly others: readonly Link[]
  readonly at: Date
  readonly purpose: 'client' | 'server'
  signatureChecks: number
  /** Why the first authority that did sign was refused: says more than "not trusted". */
  obstacle: UntrustedCertificate | undefined
}

function readLink(pem: string): Link {
  const parsed = parseCertificate(pem)
  return { parsed, x509: new X509Certificate(parsed.der) }
}

/** Depth first: an anchor that signed the last certificate of the path, else another one of the chain that did. */
function leadsToAnchor(link: Link, path: readonly Link[], search: Search): boolean {
  const extended = [...path, link]
  const tryIssuer = (issuer: Link, go: () => boolean): boolean => {
    if (!hasSigned(issuer, link, search)) return false
    const obstacle = obstacleOf(issuer.parsed, extended.slice(1), search)
    search.obstacle ??= obstacle
    return obstacle === undefined && go()
  }
  if (search.anchors.some((anchor) => tryIssuer(anchor, () => true))) return true
  return search.others
    .filter((other) => !extended.includes(other))
    .some((other) => tryIssuer(other, () => leadsToAnchor(other, extended, search)))
}

function hasSigned(issuer: Link, link: Link, search: Search): boolean {
  if (!link.x509.checkIssued(issuer.x509)) return false
  if (++search.signatureChecks > MAX_SIGNATURE_CHECKS) throw untrusted('the chain takes too long to verify')
  return link.x509.verify(issuer.parsed.publicKey)
}

function checkLeaf(
  leaf: Link,
  { at, purpose, dnsName }: Pick<ChainToVerify, 'at' | 'purpose'> & { dnsName: string | undefined },
): void {
  const { parsed, x509 } = leaf
  if (parsed.isCa) throw untrusted('the certificate is that of an authority, not of a holder')
  const obstacle = commonObstacle(parsed, at, purpose)
  if (obstacle !== undefined) throw obstacle
  if (parsed.keyUsage !== undefined && !parsed.keyUsage.includes('digitalSignature')) {
    throw untrusted('the key of the certificate may not sign') // RFC 5280 section 4.2.1.3
  }
  if (dnsName === undefined) return
  const matches =
    isIP(dnsName) === 0 ? x509.checkHost(dnsName, { subject: 'never', partialWildcards: false }) : x509.checkIP(dnsName)
  if (matches === undefined) throw untrusted(`the certificate is not for ${JSON.stringify(dnsName)}`)
}

/** Why this certificate may not have signed the path below it; `below` are the authorities between it and the leaf. */
function obstacleOf(
  issuer: ParsedCertificate,
  below: readonly Link[],
  { at, purpose }: Search,
): UntrustedCertificate | undefined {
  if (!issuer.isCa) return untrusted('the certificate is signed by what is not an authority') // 6.1.4 (k)
  if (issuer.keyUsage !== undefined && !issuer.keyUsage.includes('keyCertSign')) {
    return untrusted('the authority may not sign certificates') // 6.1.4 (n)
  }
  const counted = below.filter(({ parsed }) => !isSelfIssued(parsed)).length // 6.1.4 (l)
  if (issuer.pathLength !== undefined && counted > issuer.pathLength) {
    return untrusted('the chain is longer than its authority allows') // 6.1.4 (m)
  }
  return commonObstacle(issuer, at, purpose)
}

function commonObstacle(
  certificate: ParsedCertificate,
  at: Date,
  purpose: 'client' | 'server',
): UntrustedCertificate | undefined {
  const who = certificate.isCa ? 'the certificate of the authority' : 'the certificate'
  if (at < certificate.notBefore) {
    return untrusted(
      `${who} is not valid before ${certificate.notBefore.toISOString()}`,
      'check the clocks of both machines',
    )
  }
  if (at > certificate.notAfter) return untrusted(`${who} expired at ${certificate.notAfter.toISOString()}`)
  const [unknown] = certificate.unknownCritical
  if (unknown !== undefined) return untrusted(`${who} has the critical extension ${unknown}, which is not understood`)
  const purposes = certificate.extendedKeyUsage
  if (purposes !== undefined && !purposes.includes(`${purpose}Auth`) && !purposes.includes(ANY_PURPOSE)) {
    return untrusted(`${who} is not for a ${purpose}`) // RFC 5280 section 4.2.1.12
  }
  return undefined
}

const ANY_PURPOSE = '2.5.29.37.0'

function isSelfIssued({ subject, issuer }: ParsedCertificate): boolean {
  return JSON.stringify(subject) === JSON.stringify(issuer)
}

function untrusted(
  message: string,
  hint = 'get a new certificate, and check that both sides belong to the same cluster',
): UntrustedCertificate {
  return new UntrustedCertificate(message, { hint })
}
