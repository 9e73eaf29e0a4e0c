import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { InvalidInput, NotFound } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { Identity } from '#identity/identity.ts'
import { parseCertificate, splitPem } from '#pki/certificate.ts'
import { isNoSuchFile } from './private-file.ts'

/** One file that holds all a program needs to call a cluster: a private key, its certificate, the host authorities. */
export interface IdentityFile {
  readonly certificatePem: string
  readonly privateKeyPem: string
  /** PEM. */
  readonly hostAuthorities: readonly string[]
  readonly identity: Identity
}

/**
 * Reads an identity file: PEM blocks, where the first certificate is the holder's and all others are authorities.
 *
 * @throws {NotFound} where there is no such file
 * @throws {InvalidInput} where a part is missing
 */
export async function readIdentityFile(path: string): Promise<IdentityFile> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (!isNoSuchFile(error)) throw error
    throw new NotFound(`identity file ${path} does not exist`, { hint: 'check the path' })
  })
  return parseIdentityFile(text, path)
}

/** The pure half of `readIdentityFile`. */
export function parseIdentityFile(text: string, source: string): IdentityFile {
  const [privateKeyPem] =
    text.match(/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[\s\S]+?-----END (?:[A-Z]+ )?PRIVATE KEY-----\n?/) ?? []
  const [certificatePem, ...hostAuthorities] = splitPem(text)
  if (privateKeyPem === undefined || certificatePem === undefined || hostAuthorities.length === 0) {
    throw new InvalidInput(`${source} is not an identity file: it needs a private key, a certificate and authorities`, {
      hint: 'have it written anew',
    })
  }
  try {
    return { certificatePem, privateKeyPem, hostAuthorities, identity: identityOf(certificatePem, hostAuthorities) }
  } catch (cause) {
    throw new InvalidInput(`${source} holds certificates that cannot be read`, { hint: 'have it written anew', cause })
  }
}

/** Who signed it says what it is: a member's certificate is signed by one of the host authorities, a user's is not. */
function identityOf(certificatePem: string, hostAuthorities: readonly string[]): Identity {
  const certificate = new X509Certificate(certificatePem)
  const isMember = hostAuthorities.some((pem) => certificate.verify(new X509Certificate(pem).publicKey))
  return decodeIdentity(parseCertificate(certificatePem), isMember ? 'host' : 'user')
}
