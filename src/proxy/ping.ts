import { product } from '#product.ts'
import type { ProxyConfig } from './config.ts'

/** What a login needs to know, as Auth says it: JSON of `{"type","second_factors",…}`. */
interface LoginSettings {
  readonly type?: unknown
  readonly connector_name?: unknown
  readonly second_factor?: unknown
  readonly second_factors?: unknown
  readonly allow_local_auth?: unknown
  readonly default_session_ttl?: unknown
  readonly message_of_the_day?: unknown
}

/** Where this process is reached. */
export interface Endpoints extends Pick<ProxyConfig, 'publicAddr' | 'listenHost'> {
  readonly clusterName: string
  /** The port that is really open. */
  readonly listenPort: number
}

type Json = Readonly<Record<string, unknown>>

/** `GET /webapi/find`: everything in it is known without Auth. */
export function findAnswer({ publicAddr, listenHost, listenPort, clusterName }: Endpoints): Json {
  const publicAddress = `${publicAddr.host}:${publicAddr.port}`
  const listenAddress = `${listenHost}:${listenPort}`
  return {
    auth: {},
    proxy: {
      kube: { enabled: false, public_addr: publicAddress, listen_addr: listenAddress },
      ssh: {
        listen_addr: listenAddress,
        tunnel_listen_addr: listenAddress,
        web_listen_addr: listenAddress,
        public_addr: publicAddress,
        dial_timeout: 30_000_000_000,
      },
      db: {},
      tls_routing_enabled: true,
    },
    server_version: product.compatibleVersion,
    min_client_version: product.minClientVersion,
    product_version: product.version,
    cluster_name: clusterName,
    automatic_upgrades: false,
    edition: 'oss',
    fips: false,
  }
}

/** `GET /webapi/ping`: the same, with what Auth says of logins. */
export function pingAnswer(endpoints: Endpoints, settings: LoginSettings, connector?: string): Json {
  const factors = Array.isArray(settings.second_factors) ? settings.second_factors : []
  return {
    ...findAnswer(endpoints),
    auth: {
      type: settings.type ?? 'local',
      second_factor: settings.second_factor ?? legacySecondFactor(factors),
      second_factors: factors,
      local: { name: connector ?? '' },
      private_key_policy: 'none',
      piv_slot: '',
      device_trust: { disabled: true },
      has_motd: messageOfTheDay(settings) !== '',
      default_session_ttl: settings.default_session_ttl,
    },
  }
}

export function messageOfTheDay({ message_of_the_day: text }: LoginSettings): string {
  return typeof text === 'string' ? text : ''
}

/** The older single setting that stands for a list of factors. */
function legacySecondFactor(factors: readonly unknown[]): string {
  if (factors.length > 1) return 'on'
  return factors.length === 1 ? String(factors[0]) : 'off'
}
