import { formatSpan, formatTable } from '#cli/output.ts'
import { product } from '#product.ts'
import type { JoinToken } from '#resources/join-token.ts'

/**
 * The name of a token as a list shows it. The name of a token whose method is `token` is its secret:
 * shorter than 16 characters it is hidden, else its first three quarters are.
 */
export function maskedName({ metadata: { name }, spec }: JoinToken): string {
  // What a newer cluster sends may lack the method: then the name counts as a secret too.
  const method: string | undefined = spec?.join_method
  if (method !== undefined && method !== '' && method !== 'token') return name
  const hidden = name.length < 16 ? name.length : Math.floor(0.75 * name.length)
  return '*'.repeat(hidden) + name.slice(hidden)
}

/** Rows of `tctl tokens ls`: name, roles, labels, expiry. `name` says how names are shown. */
export function tokensTable(
  tokens: readonly JoinToken[],
  { now, name }: { now: Date; name: (token: JoinToken) => string },
): string {
  const rows = tokens.map((token) => [
    name(token),
    token.spec.roles.join(','),
    Object.entries(token.spec.suggested_labels ?? {})
      .map(([key, value]) => `${key}=${[value].flat().join('|')}`)
      .join(','),
    expiryText(token, now),
  ])
  return formatTable({ headers: ['Token', 'Type', 'Labels', 'Expiry Time (UTC)'], rows })
}

/** `never`, or `02 Jan 26 15:04 UTC (1h2m3s)`. */
export function expiryText({ metadata: { expires } }: Pick<JoinToken, 'metadata'>, now: Date): string {
  if (expires === undefined) return 'never'
  const at = new Date(expires)
  const month = at.toLocaleString('en-US', { month: 'short', timeZone: 'UTC' })
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${two(at.getUTCDate())} ${month} ${two(at.getUTCFullYear() % 100)}`
  return `${day} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC (${formatSpan(at.getTime() - now.getTime())})`
}

/** Those that expire first come first, those that never do last. */
export function byExpiry(a: JoinToken, b: JoinToken): number {
  const at = ({ metadata: { expires } }: JoinToken): number =>
    expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires)
  const [first, second] = [at(a), at(b)]
  return first === second ? 0 : first < second ? -1 : 1
}

/** What the instructions for a new token need. */
export interface TokenInstructions {
  readonly token: string
  readonly roles: readonly string[]
  readonly minutes: number
  /** `HOST:PORT` of a proxy, or of the Auth Service for roles that join there. */
  readonly address: string
  readonly caPins: readonly string[]
  readonly appName?: string
  readonly appUri?: string
}

/** What to run on the machine that shall join. */
export function instructionsText(facts: TokenInstructions): string {
  const { token, roles, minutes, address, caPins } = facts
  const lower = roles.map((role) => role.toLowerCase())
  const intro = `The invite token: ${token}\nThis token will expire in ${minutes} minutes.\n\n`
  if (lower.includes('kube')) {
    return [
      `${intro}To use with Helm installation follow these steps:`,
      '',
      '> helm install teleport-agent teleport-kube-agent \\',
      `    --set roles=${JSON.stringify(lower.join('\\,'))} \\`,
      `    --set proxyAddr=${address} \\`,
      `    --set authToken=${token} \\`,
      ...caPins.map((pin) => `    --set caPin[0]=${pin} \\`),
      '    --create-namespace --namespace=teleport-agent',
      '',
    ].join('\n')
  }
  const [app] = lower.includes('app') ? [facts] : []
  const [program, own] =
    app === undefined
      ? [`${product.daemon} start`, [`--roles=${lower.join(',')}`]]
      : [`${product.daemon} app start`, [`--name=${app.appName}`, `--uri=${app.appUri}`]]
  const flags = [`--token=${token}`, ...caPins.map((pin) => `--ca-pin=${pin}`), `--auth-server=${address}`, ...own]
  return [
    `${intro}Run this on the machine that shall join:`,
    '',
    `> ${program} \\`,
    flags.map((flag) => `   ${flag}`).join(' \\\n'),
    '',
    'Please note:',
    '',
    `  - This invitation token will expire in ${minutes} minutes.`,
    `  - ${address} must be reachable from that machine.`,
    '',
  ].join('\n')
}
