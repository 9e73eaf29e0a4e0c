import { createHmac } from 'node:crypto'

/** What agents serve by name, each kind with an SNI form of its own. */
export type ServedKind = 'app' | 'kube'

/** Kinds of server names that are routed; `rpc` and `tunnel` have fixed labels. */
export type RoutedKind = ServedKind | 'rpc' | 'tunnel'

/** A server name taken apart: `auth.rpc.example.com` is `{ label: 'auth', kind: 'rpc' }` in cluster `example.com`. */
export interface RoutedName {
  readonly kind: RoutedKind
  readonly label: string
}

/** Our ALPN protocols (RFC 7301), by what speaks them. `web` in the order in which the proxy prefers them. */
export const alpn = {
  web: ['http/1.1', 'h2'],
  rpc: 'h2',
  tunnel: 'access-tunnel/1',
  app: 'http/1.1',
} as const

/**
 * The label that stands for a served name in the open: 26 letters and digits, keyed by a secret of the cluster, so that
 * whoever watches or asks the proxy cannot guess which names exist.
 */
export function servedNameLabel(secret: Buffer, kind: ServedKind, name: string): string {
  return base32(createHmac('sha256', secret).update(`${kind}\0${name}`).digest()).slice(0, 26)
}

/** `k3x….app.example.com` from kind, label and cluster. */
export function serverName(kind: RoutedKind, label: string, cluster: string): string {
  return `${label}.${kind}.${cluster}`
}

/** SNI of the Auth Service. */
export const authServerName = (cluster: string): string => serverName('rpc', 'auth', cluster)

/** SNI by which agents open their tunnel. */
export const tunnelServerName = (cluster: string): string => serverName('tunnel', 'proxy', cluster)

/** Takes a server name apart. Gives `undefined` unless it is one of ours in this very cluster. */
export function parseServerName(name: string, cluster: string): RoutedName | undefined {
  const suffix = `.${cluster.toLowerCase()}`
  const lower = name.toLowerCase()
  if (!lower.endsWith(suffix)) return undefined
  const [, label = '', kind] = FORM.exec(lower.slice(0, -suffix.length)) ?? []
  switch (kind) {
    case 'app':
    case 'kube':
      return LABEL.test(label) ? { kind, label } : undefined
    case 'rpc':
      return label === 'auth' ? { kind, label } : undefined
    case 'tunnel':
      return label === 'proxy' ? { kind, label } : undefined
    default:
      return undefined
  }
}

const FORM = /^([a-z0-9]+)\.([a-z]+)$/
const LABEL = /^[a-z2-7]{26}$/

/** RFC 4648 §6, in lower case and without padding. */
function base32(bytes: Buffer): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{5}/g) ?? []).map((five) => alphabet.charAt(Number.parseInt(five, 2))).join('')
}
