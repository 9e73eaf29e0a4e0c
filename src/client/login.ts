import { createClient } from '@connectrpc/connect'
import { InvalidInput, Unavailable } from '#errors.ts'
import { UserService } from '#gen/access/v1/access_pb.ts'
import { parseCertificate, splitPem } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { product } from '#product.ts'
import type { RpcConnection } from '#rpc/client.ts'
import type { Secret } from '#secret.ts'
import type { Login } from './active-login.ts'
import { openKeyStore } from './keystore.ts'
import { openProfileStore, type Profile } from './profile.ts'
import { fieldsOf, type WebClient, type WebTrust } from './web-client.ts'

/** What a proxy says of itself and its cluster before anybody has logged in. */
export interface ClusterPing {
  readonly clusterName: string
  /** In versions of this product, not of the release line that it is compatible with. */
  readonly serverVersion: string
  readonly minClientVersion: string
  /** `local`, `github`, `oidc` or `saml`. */
  readonly authType: string
  /** `otp`, `webauthn`, `on`, `optional` or `off`. */
  readonly secondFactor: string
  /** Whether there is a message that must be shown and confirmed before a login. */
  readonly hasMessageOfTheDay: boolean
  readonly isKubeEnabled: boolean
}

/** @throws {Unavailable} where the answer is not that of a proxy */
export async function pingCluster(web: WebClient): Promise<ClusterPing> {
  const answer = fieldsOf(await web.get('/webapi/ping'))
  const auth = fieldsOf(answer.auth)
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  if (text(answer.cluster_name) === '' || text(answer.server_version) === '') {
    throw new Unavailable(`${web.proxy.host} does not answer like a ${product.name} proxy`, {
      hint: 'check the address of the proxy',
    })
  }
  return {
    clusterName: text(answer.cluster_name),
    serverVersion: text(answer.product_version) || text(answer.server_version),
    minClientVersion: text(answer.min_client_version),
    authType: text(auth.type) || 'local',
    secondFactor: text(auth.second_factor) || 'otp',
    hasMessageOfTheDay: auth.has_motd === true,
    isKubeEnabled: fieldsOf(fieldsOf(answer.proxy).kube).enabled === true,
  }
}

/** The message of the day. */
export async function readMessageOfTheDay(web: WebClient): Promise<string> {
  const { Text: text } = fieldsOf(await web.get('/webapi/motd'))
  return typeof text === 'string' ? text : ''
}

/** What a login by password takes. `askCode` is called only when the cluster wants a code. */
export interface PasswordLogin {
  readonly user: string
  readonly password: Secret
  /** Left out: as long as the cluster's default. */
  readonly ttlSeconds?: number
  readonly askCode: () => Promise<string>
}

/** Key, certificate and authorities that a login brought. */
export interface LoginResult {
  readonly user: string
  readonly cluster: string
  readonly certificatePem: string
  readonly privateKeyPem: string
  readonly hostAuthoritiesPem: string
}

/** First factor, second factor where one is wanted, then a certificate for a fresh key. */
export async function logInByPassword(web: WebClient, login: PasswordLogin): Promise<LoginResult> {
  const credentials = { user: login.user, password: login.password.reveal() }
  const challenge = fieldsOf(
    await web.post('/webapi/mfa/login/begin', { user: credentials.user, pass: credentials.password }),
  )
  const wantsCode = challenge.totp_challenge !== undefined && challenge.totp_challenge !== false
  const code = wantsCode ? await login.askCode() : ''
  const { privateKey, publicKey } = generateKeyPair()
  const answer = fieldsOf(
    await web.post('/webapi/mfa/login/finish', {
      ...credentials,
      ...(code === '' ? {} : { totp_code: code }),
      tls_pub_key: publicKeyPem(publicKey),
      ...(login.ttlSeconds === undefined ? {} : { ttl: login.ttlSeconds }),
    }),
  )
  return readLoginAnswer(answer, privateKeyPem(privateKey))
}

/** Stores a login and makes its profile the current one. */
export async function storeLogin(
  home: string,
  result: LoginResult,
  at: { readonly web: WebClient; readonly trust: WebTrust; readonly isKubeEnabled: boolean },
): Promise<Profile> {
  const { host } = at.web.proxy
  const profile: Profile = {
    name: host,
    proxy: at.web.proxy,
    user: result.user,
    cluster: result.cluster,
    authConnector: 'local',
    isKubeEnabled: at.isKubeEnabled,
    isInsecure: at.trust.allowUntrustedProxy === true,
    ...(at.trust.caPin === undefined ? {} : { caPin: at.trust.caPin }),
  }
  const keys = openKeyStore(home, { proxyHost: host, user: result.user })
  await keys.writeHostAuthorities(result.cluster, result.hostAuthoritiesPem)
  await keys.writeLogin(result)
  await openProfileStore(home).save(profile)
  return profile
}

/** Exchanges the login's certificate for a new one with those of its roles that the user still has; it ends no later than the old one. */
export async function reissueLogin(login: Login, connection: RpcConnection): Promise<void> {
  const { privateKey, publicKey } = generateKeyPair()
  const { certificatePem } = await createClient(UserService, connection.transport).reissueCertificate({
    publicKeyPem: publicKeyPem(publicKey),
    ttlSeconds: 0n,
  })
  await login.keys.writeLogin({ certificatePem, privateKeyPem: privateKeyPem(privateKey) })
}

/**
 * Says so when a fresh certificate is not valid by this machine's clock: nothing else would explain the failures that follow.
 *
 * @throws {InvalidInput}
 */
export function checkClock(certificatePem: string, now: Date): void {
  const { notBefore, notAfter } = parseCertificate(certificatePem)
  if (notBefore <= now && now < notAfter) return
  throw new InvalidInput('the clock of this machine and that of the cluster differ too much', {
    hint: `set the clock: it shows ${now.toISOString()}, and the certificate is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
  })
}

function readLoginAnswer(answer: Readonly<Record<string, unknown>>, privateKey: string): LoginResult {
  const { username: user, tls_cert: certificate, cluster_name: cluster, host_signers: signers } = answer
  const authorities = Array.isArray(signers) ? signers.filter((pem) => typeof pem === 'string').join('') : ''
  if (
    typeof user !== 'string' ||
    typeof certificate !== 'string' ||
    typeof cluster !== 'string' ||
    splitPem(authorities).length === 0
  ) {
    throw new Unavailable('the proxy answered the login with something else than a certificate', {
      hint: 'check that client and cluster have the same version',
    })
  }
  return { user, cluster, certificatePem: certificate, privateKeyPem: privateKey, hostAuthoritiesPem: authorities }
}
