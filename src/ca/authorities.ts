/** The certificate authorities of a cluster: made at its first start, kept as `cert_authority` resources. */
import { type KeyObject, randomBytes } from 'node:crypto'
import type { Clock } from '#clock.ts'
import { AccessError } from '#errors.ts'
import { issueCertificate, type Name, oids, parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, parsePrivateKey, privateKeyPem, publicKeyPem, spkiSha256 } from '#pki/key.ts'
import { type authorityTypes, type CertAuthority, parseCertAuthority } from '#resources/cert-authority.ts'
import { ResourceExists } from '#storage/resource-errors.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import { type AuthorityExport, exportAuthority } from './export.ts'

/** `user` signs people and bots, `host` members and served names, `jwt` app tokens, `spiffe` SVIDs, `awsra` IAM Roles Anywhere certificates. */
export type CaType = (typeof authorityTypes)[number]

/** What signs certificates. */
export interface CaSigner {
  readonly certificatePem: string
  readonly name: Name
  readonly privateKey: KeyObject
  /** Nothing that it signs may outlive it. */
  readonly notAfter: Date
}

export interface Authorities {
  readonly clusterName: string
  /** PEM, the active ones first, then those that are trusted beside them. `jwt` has none. */
  certificates(type: CaType): readonly string[]
  signer(type: Exclude<CaType, 'jwt'>): CaSigner
  /**
   * As `tctl auth export --type TYPE [--keys]`.
   * @throws {ExportRefused} for a type that does not exist or that only SSH would use
   */
  export(type: string, withKeys?: boolean): AuthorityExport
  /** `sha256:` and lower-case hex, one for each host authority certificate. */
  pins(): readonly string[]
  /** Key of the labels that stand in server names. */
  readonly servedNameSecret: Buffer
}

/** The stored authorities belong to a cluster of another name. */
export class ClusterNameChanged extends AccessError {
  override readonly code = 'conflict'

  constructor(stored: string, configured: string) {
    super(`this data directory belongs to cluster "${stored}", and the configuration names cluster "${configured}"`, {
      hint: `set auth_service.cluster_name to "${stored}", or start the new cluster with an empty data directory`,
    })
  }
}

/**
 * Opens the authorities, and makes those that do not exist yet. Two processes that start at once agree on the first that
 * was stored.
 *
 * @throws {ClusterNameChanged}
 */
export async function openAuthorities({
  store,
  clusterName,
  clock,
}: {
  readonly store: ResourceStore
  readonly clusterName: string
  readonly clock: Clock
}): Promise<Authorities> {
  const open = async (type: CaType): Promise<Authority> => {
    const stored =
      (await store.find<CertAuthority>('cert_authority', type)) ??
      (await createOrRead(store, makeAuthority(type, clusterName, clock())))
    if (stored.spec.cluster_name !== clusterName) throw new ClusterNameChanged(stored.spec.cluster_name, clusterName)
    return readAuthority(stored)
  }
  const all: Readonly<Record<CaType, Authority>> = {
    user: await open('user'),
    host: await open('host'),
    jwt: await open('jwt'),
    spiffe: await open('spiffe'),
    awsra: await open('awsra'),
  }
  const { servedNameSecret } = all.host
  if (servedNameSecret === undefined) throw new Error('the stored host authority has no secret of served names')
  return {
    clusterName,
    certificates: (type) => all[type].certificates,
    signer(type) {
      const { signer } = all[type]
      if (signer === undefined) throw new Error(`the stored ${type} authority has no key that signs`)
      return signer
    },
    export: (type, withKeys = false) => exportAuthority(type, withKeys, (name) => all[name]),
    pins: () => all.host.certificates.map(caPin),
    servedNameSecret,
  }
}

/** Certificates and keys of one authority as they are stored. */
export interface Authority {
  readonly certificates: readonly string[]
  /** PKCS #8, PEM: secrets. */
  readonly keys: readonly string[]
  readonly signer: CaSigner | undefined
  readonly servedNameSecret: Buffer | undefined
}

// ----------------------------------------------------------------------------------------------- private

const VALIDITY_YEARS = 10
const SERVED_NAME_SECRET_BYTES = 32

/** Pin of one host authority certificate, PEM: `sha256:` and the lower-case hex of the SHA-256 over its public key. */
function caPin(certificatePem: string): string {
  return `sha256:${spkiSha256(parseCertificate(certificatePem).publicKey).toString('hex')}`
}

async function createOrRead(store: ResourceStore, authority: CertAuthority): Promise<CertAuthority> {
  try {
    return await store.create(authority)
  } catch (error) {
    if (!(error instanceof ResourceExists)) throw error
    return store.get<CertAuthority>('cert_authority', authority.metadata.name)
  }
}

function makeAuthority(type: CaType, clusterName: string, now: Date): CertAuthority {
  return parseCertAuthority({
    kind: 'cert_authority',
    version: 'v2',
    metadata: { name: type },
    spec: {
      type,
      cluster_name: clusterName,
      active_keys: {
        tls: type === 'jwt' ? [] : [makeTlsKey(type, clusterName, now)],
        jwt: type === 'jwt' || type === 'spiffe' ? [makeJwtKey(type)] : [],
      },
      ...(type === 'host' ? { served_name_secret: randomBytes(SERVED_NAME_SECRET_BYTES).toString('base64') } : {}),
    },
  })
}

function makeTlsKey(type: CaType, clusterName: string, now: Date): { cert: string; key: string } {
  const keys = generateKeyPair('ecdsa-p256')
  const name: Name = [
    [oids.CN, clusterName],
    [oids.O, clusterName],
  ]
  const notAfter = new Date(now)
  notAfter.setUTCFullYear(now.getUTCFullYear() + VALIDITY_YEARS)
  const { pem } = issueCertificate({
    subject: name,
    publicKey: keys.publicKey,
    issuer: { name, privateKey: keys.privateKey },
    notBefore: new Date(now.getTime() - 60_000),
    notAfter,
    isCa: true,
    pathLength: 0,
    // A signing certificate may name its trust domain (X.509-SVID section 3).
    uris: type === 'spiffe' ? [`spiffe://${clusterName}`] : [],
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  return { cert: pem, key: privateKeyPem(keys.privateKey) }
}

/** Clouds verify JWT-SVIDs, and AWS and Azure take RS256 alone; app tokens are for applications, which take ES256. */
function makeJwtKey(type: CaType): { public_key: string; private_key: string } {
  const keys = generateKeyPair(type === 'spiffe' ? 'rsa-2048' : 'ecdsa-p256')
  return { public_key: publicKeyPem(keys.publicKey), private_key: privateKeyPem(keys.privateKey) }
}

function readAuthority({ spec }: CertAuthority): Authority {
  const { active_keys: active, additional_trusted_keys: trusted, served_name_secret: secret } = spec
  const [first] = active.tls
  return {
    certificates: [...active.tls, ...trusted.tls].map(({ cert }) => cert),
    keys: [...active.tls.map(({ key }) => key), ...active.jwt.map((jwt) => jwt.private_key)].filter(
      (key) => key !== undefined,
    ),
    signer: first?.key === undefined ? undefined : readSigner(first.cert, first.key),
    servedNameSecret: secret === undefined ? undefined : Buffer.from(secret, 'base64'),
  }
}

function readSigner(certificatePem: string, keyPem: string): CaSigner {
  const { subject, notAfter } = parseCertificate(certificatePem)
  return { certificatePem, name: subject, privateKey: parsePrivateKey(keyPem), notAfter }
}
