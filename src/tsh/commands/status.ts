import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatSpan, formatYaml, parseFormat } from '#cli/output.ts'
import { printable } from '#cli/report-error.ts'
import { type Login, LoginExpired, NotLoggedIn, readLogin } from '#client/active-login.ts'
import { openProfileStore } from '#client/profile.ts'
import { parseProxyAddress, proxyUrl } from '#client/proxy-address.ts'
import type { GlobalOptions } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

/** `tsh status`: who is logged in where, and until when. */
export function statusCommand(deps: TshDeps): Command {
  const command = new Command('status')
    .description('show who is logged in, where, with which roles and until when')
    .option('-f, --format <format>', 'text, json or yaml', 'text')
    .action(async ({ format }: { format: string }, self: Command) => {
      const { proxy = deps.env.TELEPORT_PROXY } = self.optsWithGlobals<GlobalOptions>()
      await showStatus(deps, format, proxy ? parseProxyAddress(proxy).host : undefined)
    })
  return addExamples(command, [{ command: 'tsh status -f json | jq .active.username', says: 'the name for a script' }])
}

/**
 * Prints every login of the profile directory, the active one first: that of the current profile, or of `proxyHost`.
 *
 * @throws {NotLoggedIn} where none is active
 * @throws {LoginExpired} after printing, where the active one is over
 */
export async function showStatus(deps: TshDeps, formatText: string, proxyHost?: string): Promise<void> {
  const format = parseFormat(formatText, ['text', 'json', 'yaml'])
  const { active, others } = await readLogins(deps.home, proxyHost)
  if (active === undefined && others.length === 0) throw new NotLoggedIn()
  const now = deps.clock()
  deps.terminal.stdout.write(
    format === 'text'
      ? statusText({ active, others }, now)
      : await (format === 'json' ? formatJson : formatYaml)(statusDocument({ active, others })),
  )
  if (active === undefined) throw new NotLoggedIn()
  if (active.identity.expires <= now) throw new LoginExpired()
}

/** The active login and all others. */
export interface Logins {
  readonly active: Login | undefined
  readonly others: readonly Login[]
}

/** The shape of `tsh status -f json`; keys that are empty are left out. */
export function statusDocument({ active, others }: Logins): object {
  return {
    ...(active === undefined ? {} : { active: loginDocument(active) }),
    profiles: others.map(loginDocument),
  }
}

/** The text of `tsh status`: labels left, values from the 21st column, `> ` before the active login. */
export function statusText({ active, others }: Logins, now: Date): string {
  const blocks = [
    ...(active === undefined ? [] : [loginText(active, { marker: '> ', now })]),
    ...others.map((login) => loginText(login, { marker: '  ', now })),
  ]
  return `${blocks.join('\n')}\n`
}

async function readLogins(home: string, proxyHost: string | undefined): Promise<Logins> {
  const profiles = openProfileStore(home)
  const current = await (proxyHost === undefined ? profiles.findCurrent() : profiles.find(proxyHost))
  const all = await profiles.list()
  const others = all.filter(({ name }) => name !== current?.name)
  const logins = await Promise.all(others.map((profile) => readLogin(home, profile).catch(() => undefined)))
  return {
    active: current === undefined ? undefined : await readLogin(home, current),
    others: logins.filter((login) => login !== undefined),
  }
}

function loginDocument({ profile, identity }: Login): object {
  const { roles, traits, accessRequests, kubeUsers, kubeGroups } = identity
  const filled = {
    ...(accessRequests.length > 0 ? { active_requests: accessRequests } : {}),
    cluster: profile.cluster,
    ...(roles.length > 0 ? { roles } : {}),
    ...(Object.keys(traits).length > 0 ? { traits } : {}),
    ...(traits.logins !== undefined && traits.logins.length > 0 ? { logins: traits.logins } : {}),
    kubernetes_enabled: profile.isKubeEnabled,
    ...(identity.routeToKube === undefined ? {} : { kubernetes_cluster: identity.routeToKube.name }),
    ...(kubeUsers.length > 0 ? { kubernetes_users: kubeUsers } : {}),
    ...(kubeGroups.length > 0 ? { kubernetes_groups: kubeGroups } : {}),
  }
  return {
    profile_url: proxyUrlWithPort(profile.proxy),
    username: identity.name,
    ...filled,
    valid_until: identity.expires.toISOString().replace('.000Z', 'Z'),
  }
}

function loginText({ profile, identity }: Login, { marker, now }: { marker: string; now: Date }): string {
  const { roles, traits, accessRequests, routeToKube, kubeUsers, kubeGroups, expires } = identity
  const list = (label: string, values: readonly string[] = []): [string, string][] =>
    values.length === 0 ? [] : [[label, values.join(', ')]]
  const lines: readonly [label: string, value: string][] = [
    ['Profile URL:', proxyUrlWithPort(profile.proxy)],
    ['Logged in as:', identity.name],
    ...list('Active requests:', accessRequests),
    ['Cluster:', profile.cluster],
    ...list('Roles:', roles),
    ...list('Logins:', traits.logins),
    ['Kubernetes:', profile.isKubeEnabled ? 'enabled' : 'disabled'],
    ...(routeToKube === undefined ? [] : list('Kubernetes cluster:', [JSON.stringify(routeToKube.name)])),
    ...list('Kubernetes users:', kubeUsers),
    ...list('Kubernetes groups:', kubeGroups),
    ['Valid until:', `${formatLocalTime(expires)} [${formatValidity(expires, now)}]`],
  ]
  return lines
    .map(
      ([label, value], index) =>
        `${index === 0 ? marker : '  '}${label.padEnd(20)}${printable(value).replaceAll('\n', ' ')}\n`,
    )
    .join('')
}

/** Rounded to minutes, as people read it: `valid for 8h0m0s`. */
function formatValidity(expires: Date, now: Date): string {
  const left = expires.getTime() - now.getTime()
  if (left <= 0) return 'EXPIRED'
  return `valid for ${formatSpan(left < 60_000 ? left : Math.round(left / 60_000) * 60_000)}`
}

/** `2021-10-04 03:09:47 +0200 CEST`, in the zone of this machine. */
function formatLocalTime(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const offset = -at.getTimezoneOffset()
  const sign = offset < 0 ? '-' : '+'
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
  return `${day} ${time} ${sign}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)} ${zoneName(at)}`
}

/** Such as `CEST`. Asking Intl takes a third of the time of `tsh status`; where clocks keep UTC nothing is to be asked. */
function zoneName(at: Date): string {
  if (at.toTimeString().endsWith('(Coordinated Universal Time)')) return 'UTC'
  return (
    new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' })
      .formatToParts(at)
      .find(({ type }) => type === 'timeZoneName')?.value ?? 'UTC'
  )
}

/** The reference always prints the port here. */
function proxyUrlWithPort(proxy: Login['profile']['proxy']): string {
  return proxy.port === 443 ? `${proxyUrl(proxy)}:443` : proxyUrl(proxy)
}
