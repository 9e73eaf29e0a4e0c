import { chmod, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authorities } from '#ca/authorities.ts'
import { issueHostCertificate } from '#ca/issue-host.ts'
import type { Clock } from '#clock.ts'
import type { HostIdentity, SystemRole } from '#identity/identity.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'

/** What a part in the same process gets without a token. It has the shape of a joined machine's identity. */
export interface LocalMember {
  readonly hostId: string
  readonly clusterName: string
  /** PEM. */
  readonly certificatePem: string
  /** PKCS #8, PEM: a secret. */
  readonly privateKeyPem: string
  readonly hostAuthorities: string[]
}

/** Who issues the identities of the Auth host itself. */
export interface LocalIssuer {
  readonly authorities: Authorities
  readonly clusterName: string
  readonly hostId: string
  readonly nodeName: string
  readonly clock: Clock
}

/** Life of what this host issues to itself; renewed when half of it is over. */
export const LOCAL_TTL_MS = 24 * 3_600_000

export function issueLocalMember(issuer: LocalIssuer, role: SystemRole, ttlMs = LOCAL_TTL_MS): LocalMember {
  const { authorities, clusterName, hostId, nodeName, clock } = issuer
  const now = clock()
  const keys = generateKeyPair()
  const identity: HostIdentity = {
    kind: 'host',
    hostId,
    nodeName,
    roles: [role],
    cluster: clusterName,
    expires: new Date(now.getTime() + ttlMs),
  }
  return {
    hostId,
    clusterName,
    certificatePem: issueHostCertificate(authorities.signer('host'), identity, keys.publicKey, now).pem,
    privateKeyPem: privateKeyPem(keys.privateKey),
    hostAuthorities: [...authorities.certificates('host')],
  }
}

/** The certificate that the Auth Service presents: the present one while less than half of its life is over. */
export function createServerCertificate(issuer: LocalIssuer): () => { readonly cert: string; readonly key: string } {
  let current: { readonly cert: string; readonly key: string; readonly renewAt: number } | undefined
  return () => {
    const now = issuer.clock().getTime()
    if (!current || now >= current.renewAt) {
      const { certificatePem: cert, privateKeyPem: key } = issueLocalMember(issuer, 'Auth')
      current = { cert, key, renewAt: now + LOCAL_TTL_MS / 2 }
    }
    return current
  }
}

/**
 * Writes `admin.pem`: key, certificate and host authorities of the local administrator, for `tctl` on this host.
 * Whoever may read it may do everything, so only the owner of the data directory may.
 */
export async function writeAdminIdentity(issuer: LocalIssuer, dataDir: string): Promise<string> {
  const path = join(dataDir, 'admin.pem')
  const { certificatePem, privateKeyPem: key, hostAuthorities } = issueLocalMember(issuer, 'Admin')
  const temporary = `${path}.new`
  {
    await using file = await open(temporary, 'w', 0o600)
    await file.writeFile(key + certificatePem + hostAuthorities.join(''))
    await file.sync()
  }
  await chmod(temporary, 0o600) // it may have been there, with other rights
  await rename(temporary, path)
  return path
}
