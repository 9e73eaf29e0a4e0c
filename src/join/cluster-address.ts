import { InvalidInput } from '#errors.ts'
import type { Egress } from '#net/egress.ts'
import { type ClientCertificate, createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'

/** Where a cluster is reached: at its proxy, which passes RPC on to Auth, or at Auth itself. */
export interface ClusterAddress {
  readonly kind: 'proxy' | 'auth'
  readonly host: string
  readonly port: number
}

/**
 * Takes `proxy_server` or `auth_server`: `host`, `host:port` or `[IPv6]:port`, a proxy's with `https://` in front too.
 * @throws {InvalidInput} unless exactly one is given
 */
export function parseClusterAddress({
  proxyServer,
  authServer,
}: {
  readonly proxyServer?: string | undefined
  readonly authServer?: string | undefined
}): ClusterAddress {
  if (proxyServer && !authServer) return { kind: 'proxy', ...parseHostPort(proxyServer, 'proxy_server', 3080) }
  if (authServer && !proxyServer) return { kind: 'auth', ...parseHostPort(authServer, 'auth_server', 3025) }
  throw new InvalidInput(
    proxyServer
      ? 'only one of auth_server or proxy_server should be set'
      : 'neither proxy_server nor auth_server is set',
    { hint: 'set teleport.proxy_server to HOST:PORT of the cluster’s proxy' },
  )
}

/** `example.com:3080`, for messages. */
export function formatClusterAddress({ host, port }: ClusterAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

export interface ClusterRpcOptions {
  readonly address: ClusterAddress
  readonly egress: Egress
  readonly clusterName: string
  /** Asked at every connection when given as a function: renewals count at once. PEM. */
  readonly hostAuthorities: readonly string[] | (() => readonly string[])
  /** Left out: an anonymous caller. */
  readonly certificate?: ClientCertificate | (() => ClientCertificate | undefined)
}

/** RPC to the Auth Service of a cluster, end to end encrypted past the proxy and verified by the host authorities. */
export function openClusterRpc({ address, egress, clusterName, ...rest }: ClusterRpcOptions): RpcConnection {
  return createRpcClient({
    dial: (signal) => egress.dial(address.host, address.port, { signal }),
    serverName: authServerName(clusterName),
    ...rest,
  })
}

function parseHostPort(text: string, field: string, defaultPort: number): { host: string; port: number } {
  const bare = text
    .trim()
    .replace(/^(https|tcp):\/\//, '')
    .replace(/\/$/, '')
  const [, bracketed, plain = '', digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/\s]+))(?::(\d{1,5}))?$/.exec(bare) ?? []
  const host = bracketed ?? plain
  const port = digits === undefined ? defaultPort : Number(digits)
  if (host === '' || port < 1 || port > 65_535) {
    throw new InvalidInput(`teleport.${field} ${JSON.stringify(text.slice(0, 200))} is not an address`, {
      hint: `write it as HOST:PORT, for example example.com:${defaultPort}`,
    })
  }
  return { host, port }
}
