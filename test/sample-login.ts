/** Logins in a temporary profile directory, signed by an authority made for the test: for tests of the caller's side. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueAppCertificate } from '#ca/issue-app.ts'
import { issueUserCertificate } from '#ca/issue-user.ts'
import { openKeyStore } from '#client/keystore.ts'
import { openProfileStore, type Profile } from '#client/profile.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { issueCertificate, type Name, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'

export const hourMs = 3_600_000

/** A directory that is removed when it is disposed. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'access-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** A self-signed authority. */
export function sampleAuthority(commonName: string) {
  const { privateKey, publicKey } = generateKeyPair()
  const name: Name = [
    [oids.CN, commonName],
    [oids.O, commonName],
  ]
  const notAfter = new Date(Date.now() + 1000 * hourMs)
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date(Date.now() - hourMs),
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  return { name, privateKey, certificatePem: pem, notAfter }
}

/** Alice, until an hour from now unless told otherwise. */
export function sampleIdentity(changes: Partial<UserIdentity> = {}): UserIdentity {
  return {
    kind: 'user',
    name: 'alice',
    roles: ['access', 'aws-ro-access'],
    traits: {},
    cluster: 'example',
    expires: new Date(Math.floor(Date.now() / 1000) * 1000 + hourMs),
    awsRoleArns: [],
    azureIdentities: [],
    kubeUsers: [],
    kubeGroups: [],
    userType: 'local',
    accessRequests: [],
    isRenewable: false,
    disallowReissue: false,
    ...changes,
  }
}

const authority = sampleAuthority('example')

/** A certificate that says this, with its key. */
export function samplePair(identity: UserIdentity) {
  const { privateKey, publicKey } = generateKeyPair()
  const issuedAt = new Date(Math.min(Date.now(), identity.expires.getTime() - hourMs))
  const { routeToApp } = identity
  const certificate =
    routeToApp === undefined
      ? issueUserCertificate(authority, identity, publicKey, issuedAt)
      : issueAppCertificate(authority, { ...identity, routeToApp }, publicKey, issuedAt)
  return { certificatePem: certificate.pem, privateKeyPem: privateKeyPem(privateKey) }
}

/** Stores a login and makes its profile the current one. */
export async function storeSampleLogin(home: string, identity = sampleIdentity(), changes: Partial<Profile> = {}) {
  const profile: Profile = {
    name: 'proxy.example.com',
    proxy: { host: 'proxy.example.com', port: 443 },
    user: identity.name,
    cluster: 'example',
    authConnector: 'local',
    isKubeEnabled: false,
    isInsecure: false,
    ...changes,
  }
  const keys = openKeyStore(home, { proxyHost: profile.name, user: profile.user })
  await keys.writeHostAuthorities(profile.cluster, authority.certificatePem)
  await keys.writeLogin(samplePair(identity))
  await openProfileStore(home).save(profile)
  return { profile, keys }
}

/** What an app certificate says it opens. */
export function sampleRoute(name: string, changes: Partial<RouteToApp> = {}): RouteToApp {
  return {
    name,
    sessionId: 'b1a7c0de-0000-4000-8000-000000000000',
    publicAddr: `${name}.proxy.example.com`,
    cluster: 'example',
    serverName: `abcdefghijklmnopqrstuvwxyz.app.example`,
    ...changes,
  }
}
