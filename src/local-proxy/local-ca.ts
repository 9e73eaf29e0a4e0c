/** The local proxy's own authority: vouches, on this machine alone, for the AWS hosts that the proxy stands in for. */
import tls from 'node:tls'
import { awsDomains } from '#aws/endpoint.ts'
import { writePrivateFile } from '#client/private-file.ts'
import type { Clock } from '#clock.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { product } from '#product.ts'
import { localCaKey } from './placeholder-credentials.ts'

export interface LocalCaOptions {
  /** PEM of the app login; the authority's key is derived from it. */
  readonly loginKeyPem: string
  readonly clock: Clock
}

export interface LocalCa {
  readonly certificatePem: string
  /** What to serve for a host name: made at first use, kept, and made anew before it expires. */
  contextFor(host: string): tls.SecureContext
  /**
   * Writes what clients have to trust, 0600 and all at once: this authority first, then the authorities that the
   * machine trusts anyway, because a client that is given a bundle trusts nothing beside it.
   */
  writeBundle(path: string, systemAuthorities: readonly string[]): Promise<void>
}

/** Makes the authority of one login. Its key is always the same one, so what trusts an older certificate of it still works. */
export function createLocalCa({ loginKeyPem, clock }: LocalCaOptions): LocalCa {
  const key = localCaKey(loginKeyPem)
  const name = [
    [oids.CN, `${product.name} local proxy`],
    [oids.O, product.name],
  ] as const
  const now = clock().getTime()
  const authority = issueCertificate({
    subject: name,
    publicKey: key,
    issuer: { name, privateKey: key },
    notBefore: new Date(now - SKEW_MS),
    notAfter: new Date(now + CA_LIFE_MS),
    isCa: true,
    pathLength: 0,
    // A stolen key of it stands in for AWS alone, also where somebody put it into a trust store for good.
    permittedDomains: awsDomains,
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  const leafKey = generateKeyPair()
  const kept = new Map<string, { readonly context: tls.SecureContext; readonly renewAt: number }>()
  const issue = (host: string): tls.SecureContext => {
    const at = clock().getTime()
    const leaf = issueCertificate({
      subject: [[oids.O, product.name]],
      publicKey: leafKey.publicKey,
      issuer: { name, privateKey: key, certificatePem: authority.pem },
      notBefore: new Date(at - SKEW_MS),
      notAfter: new Date(at + LEAF_LIFE_MS),
      dnsNames: [host],
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['serverAuth'],
    })
    const context = tls.createSecureContext({
      cert: leaf.pem,
      key: privateKeyPem(leafKey.privateKey),
      minVersion: 'TLSv1.2',
    })
    if (kept.size >= MAX_KEPT) kept.clear()
    kept.set(host, { context, renewAt: at + LEAF_LIFE_MS / 2 })
    return context
  }
  return {
    certificatePem: authority.pem,
    contextFor(host) {
      const found = kept.get(host)
      return found !== undefined && found.renewAt > clock().getTime() ? found.context : issue(host)
    },
    writeBundle: (path, systemAuthorities) =>
      writePrivateFile(path, `${[authority.pem, ...systemAuthorities].map((pem) => pem.trim()).join('\n')}\n`),
  }
}

const SKEW_MS = 3_600_000
const LEAF_LIFE_MS = 86_400_000
/** Longer than any login lasts; without the login's key nobody can use it. */
const CA_LIFE_MS = 30 * 86_400_000
const MAX_KEPT = 1000
