import { openPrompt, type Prompt } from '#cli/prompt.ts'
import { printable } from '#cli/report-error.ts'
import { NotLoggedIn, readLogin } from '#client/active-login.ts'
import {
  type ClusterPing,
  checkClock,
  logInByPassword,
  pingCluster,
  readMessageOfTheDay,
  storeLogin,
} from '#client/login.ts'
import { openProfileStore, type Profile } from '#client/profile.ts'
import { formatProxyAddress, type ProxyAddress } from '#client/proxy-address.ts'
import { checkVersion } from '#client/version-check.ts'
import { createWebClient, type WebClient, type WebTrust } from '#client/web-client.ts'
import { AccessDenied, InvalidInput } from '#errors.ts'
import { product } from '#product.ts'
import { openEgress } from './cluster-session.ts'
import type { TshDeps } from './deps.ts'

/** What a login by password needs to know before it asks. */
export interface LogInOptions {
  readonly proxy: ProxyAddress
  readonly user: string
  readonly trust: WebTrust
  readonly ttlSeconds?: number
  /** `--auth`; left out: what the cluster says. */
  readonly authConnector?: string
  readonly skipVersionCheck?: boolean
}

/** Asks for password and code, and stores the login as the current profile. */
export async function logIn(deps: TshDeps, options: LogInOptions): Promise<Profile> {
  const { proxy, user, trust } = options
  using egress = openEgress(deps.env)
  const web = createWebClient({ proxy, trust, egress, signal: deps.signal })
  warnOfNoCheck(deps, proxy, trust)
  const ping = await pingCluster(web)
  checkCluster(deps, ping, options)
  using prompt = openPrompt(deps.terminal)
  if (ping.hasMessageOfTheDay) await showMessageOfTheDay(deps, web, prompt)
  const password = await prompt.secret(`Enter password for ${product.name} user ${user}:`)
  const result = await logInByPassword(web, {
    user,
    password,
    ...(options.ttlSeconds === undefined ? {} : { ttlSeconds: options.ttlSeconds }),
    askCode: async () => (await prompt.secret('Enter your OTP token:')).reveal().replace(/\s/g, ''),
  })
  checkClock(result.certificatePem, deps.clock())
  return storeLogin(deps.home, result, { web, trust, isKubeEnabled: ping.isKubeEnabled })
}

/**
 * Logs in again as the current profile says, or that of `proxyHost`.
 *
 * @throws {NotLoggedIn} where there is no such profile
 */
export async function logInAgain(deps: TshDeps, proxyHost: string | undefined): Promise<Profile> {
  const profiles = openProfileStore(deps.home)
  const profile = await (proxyHost === undefined ? profiles.findCurrent() : profiles.find(proxyHost))
  if (profile === undefined) throw new NotLoggedIn()
  return logIn(deps, { proxy: profile.proxy, user: profile.user, trust: await trustOf(deps.home, profile) })
}

/** What an earlier login makes us trust at its proxy. */
export async function trustOf(home: string, profile: Profile | undefined): Promise<WebTrust> {
  if (profile === undefined) return {}
  const login = await readLogin(home, profile).catch(() => undefined)
  return {
    ...(profile.caPin === undefined ? {} : { caPin: profile.caPin }),
    allowUntrustedProxy: profile.isInsecure,
    hostAuthorities: login?.hostAuthorities ?? [],
  }
}

/** A check that is off is said aloud, each time. */
export function warnOfNoCheck({ terminal }: TshDeps, proxy: ProxyAddress, trust: WebTrust): void {
  if (trust.allowUntrustedProxy !== true || trust.caPin !== undefined) return
  terminal.stderr.write(
    `WARNING: the certificate of ${formatProxyAddress(proxy)} is not checked: whoever answers there gets your password.\n`,
  )
}

function checkCluster(deps: TshDeps, ping: ClusterPing, { authConnector, skipVersionCheck }: LogInOptions): void {
  const connector = authConnector ?? ping.authType
  if (connector !== 'local') {
    throw new InvalidInput(`login by ${JSON.stringify(connector)} is not available`, {
      hint: 'log in with a local user: add --auth=local',
    })
  }
  const versions = { client: product.version, server: ping.serverVersion, minClient: ping.minClientVersion }
  const check = checkVersion(versions)
  if (check.kind === 'warn') deps.terminal.stderr.write(`WARNING: ${printable(check.message)}\n`)
  if (check.kind === 'refuse' && skipVersionCheck !== true) throw new AccessDenied(check.message, { hint: check.hint })
}

async function showMessageOfTheDay({ terminal }: TshDeps, web: WebClient, prompt: Prompt): Promise<void> {
  terminal.stderr.write(`${printable(await readMessageOfTheDay(web))}\n`)
  if (prompt.isInteractive) await prompt.line('Press [ENTER] to continue.')
}
