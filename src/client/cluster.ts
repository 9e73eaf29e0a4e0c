import type { Egress } from '#net/egress.ts'
import { createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import type { Login } from './active-login.ts'
import { dialProxy } from './dial.ts'

/**
 * Calls to the Auth Service as the user of `login`, through the proxy, which passes them on unopened.
 * Services are made by `createClient(UserService, connection.transport)`; their errors are `AccessError`s.
 */
export function connectCluster(login: Login, egress: Egress): RpcConnection {
  return createRpcClient({
    dial: (signal) => dialProxy({ proxyAddr: login.profile.proxy, egress, signal }),
    serverName: authServerName(login.profile.cluster),
    hostAuthorities: [...login.hostAuthorities],
    certificate: { cert: login.certificatePem, key: login.privateKeyPem },
  })
}
