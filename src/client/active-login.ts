import { NotFound, Unauthenticated } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { type KeyPairFiles, type KeyStore, openKeyStore } from './keystore.ts'
import { openProfileStore, type Profile } from './profile.ts'

/** A login as the profile directory holds it, expired or not. */
export interface Login extends KeyPairFiles {
  readonly home: string
  readonly profile: Profile
  readonly keys: KeyStore
  readonly identity: UserIdentity
  /** Of the profile's cluster, PEM. */
  readonly hostAuthorities: readonly string[]
}

/** Nobody is logged in here. */
export class NotLoggedIn extends NotFound {
  constructor() {
    super('Not logged in.', { hint: 'run "tsh login --proxy=HOST --user=NAME"' })
  }
}

/** The login of the active profile is over. */
export class LoginExpired extends Unauthenticated {
  constructor() {
    super('Active profile expired.', { hint: 'run "tsh login" to log in again' })
  }
}

/** Reads the login of a profile; `undefined` where its keys are gone. */
export async function readLogin(home: string, profile: Profile): Promise<Login | undefined> {
  const keys = openKeyStore(home, { proxyHost: profile.name, user: profile.user })
  const pair = await keys.readLogin()
  if (pair === undefined) return undefined
  const identity = decodeUser(pair.certificatePem)
  return { ...pair, home, profile, keys, identity, hostAuthorities: await keys.readHostAuthorities(profile.cluster) }
}

/**
 * The login that commands run with: that of the current profile, or of `proxyHost`.
 *
 * @throws {NotLoggedIn}
 * @throws {LoginExpired}
 */
export async function getActiveLogin(
  home: string,
  { now, proxyHost }: { readonly now: Date; readonly proxyHost?: string | undefined },
): Promise<Login> {
  const profiles = openProfileStore(home)
  const profile = await (proxyHost === undefined ? profiles.findCurrent() : profiles.find(proxyHost))
  const login = profile === undefined ? undefined : await readLogin(home, profile)
  if (login === undefined) throw new NotLoggedIn()
  if (login.identity.expires <= now) throw new LoginExpired()
  return login
}

/** What a user certificate says. @throws {InvalidIdentity} for any other certificate */
export function decodeUser(certificatePem: string): UserIdentity {
  return decodeIdentity(parseCertificate(certificatePem), 'user')
}
