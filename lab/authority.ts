/** The lab's own certificate authority: it vouches for the clouds' host names to whoever was given its certificate. */
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Clock } from '#clock.ts'
import { issueCertificate, type Name, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'

/** Gives a TLS context for any name. */
export interface LabAuthority {
  readonly caPem: string
  /** Certificate and key for a name, as files have them. */
  issue(serverName: string): { readonly certificatePem: string; readonly privateKeyPem: string }
  contextFor(serverName: string): SecureContext
}

const dayMs = 24 * 60 * 60 * 1000
const caName: Name = [
  [oids.O, 'Lab'],
  [oids.CN, 'Lab on loopback'],
]

/** Makes a new authority. Its leaves share one key and are kept per name. */
export function createLabAuthority(clock: Clock): LabAuthority {
  const ca = generateKeyPair('ecdsa-p256')
  const leaf = generateKeyPair('ecdsa-p256')
  const leafKey = privateKeyPem(leaf.privateKey)
  const notBefore = new Date(clock().getTime() - dayMs)
  const notAfter = new Date(clock().getTime() + 30 * dayMs)
  const certificate = issueCertificate({
    subject: caName,
    publicKey: ca.publicKey,
    issuer: { name: caName, privateKey: ca.privateKey },
    notBefore,
    notAfter,
    isCa: true,
    pathLength: 0,
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  const issuer = { name: caName, privateKey: ca.privateKey, certificatePem: certificate.pem }
  const contexts = new Map<string, SecureContext>()
  const issue = (serverName: string): { certificatePem: string; privateKeyPem: string } => {
    const { pem } = issueCertificate({
      // A common name holds 64 characters at most; what counts is the alternative name.
      subject: [[oids.CN, serverName.slice(0, 64)]],
      publicKey: leaf.publicKey,
      issuer,
      notBefore,
      notAfter,
      dnsNames: [serverName],
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['serverAuth'],
    })
    return { certificatePem: pem, privateKeyPem: leafKey }
  }
  return {
    caPem: certificate.pem,
    issue,
    contextFor(serverName) {
      const known = contexts.get(serverName)
      if (known) return known
      const { certificatePem, privateKeyPem: key } = issue(serverName)
      const context = createSecureContext({ cert: certificatePem, key })
      contexts.set(serverName, context)
      return context
    },
  }
}
