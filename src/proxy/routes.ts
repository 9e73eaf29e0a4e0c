import type { ClientHello } from '#tls-routing/client-hello.ts'
import { alpn, parseServerName } from '#tls-routing/names.ts'

/** Where a connection goes. */
export type Destination =
  | { readonly to: 'auth' }
  | { readonly to: 'tunnel' }
  | { readonly to: 'agent'; readonly serverName: string }
  | { readonly to: 'web' }

/**
 * The one table: SNI and ALPN to destination. `undefined`: closed without a word.
 *
 * | SNI | ALPN | to |
 * |---|---|---|
 * | `auth.rpc.CLUSTER` | any | the Auth Service, unopened |
 * | `proxy.tunnel.CLUSTER` | `access-tunnel/1` | the tunnels |
 * | `LABEL.app.CLUSTER`, `LABEL.kube.CLUSTER` | any (kubectl sends none that could be chosen) | an agent, unopened |
 * | a name of one of these forms in another cluster | any | nowhere |
 * | any other name, an address, or none | `http/1.1`, `h2` or none | the web server |
 */
export function destinationOf({ serverName, alpn: protocols }: ClientHello, cluster: string): Destination | undefined {
  const name = serverName === undefined ? undefined : parseServerName(serverName, cluster)
  switch (name?.kind) {
    case 'rpc':
      return { to: 'auth' }
    case 'tunnel':
      return protocols.includes(alpn.tunnel) ? { to: 'tunnel' } : undefined
    case 'app':
    case 'kube':
      return { to: 'agent', serverName: serverName?.toLowerCase() ?? '' }
    case undefined: {
      const isForeign = serverName !== undefined && BLIND_FORM.test(serverName)
      const speaksWeb = protocols.length === 0 || alpn.web.some((protocol) => protocols.includes(protocol))
      return !isForeign && speaksWeb ? { to: 'web' } : undefined
    }
  }
}

/** A blind name of whatever cluster. */
const BLIND_FORM = /^([a-z2-7]{26}\.(app|kube)|auth\.rpc|proxy\.tunnel)\./i
