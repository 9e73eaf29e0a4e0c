import { once } from 'node:events'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { type Client, createClient } from '@connectrpc/connect'
import { openResourceCache, type ResourceCache } from '#cache/resource-cache.ts'
import type { Clock } from '#clock.ts'
import { Unavailable } from '#errors.ts'
import { ClusterService, JoinService, LoginService, ResourceService } from '#gen/access/v1/access_pb.ts'
import type { MemberIdentity } from '#join/join.ts'
import { openServedNames, type ServedNames } from '#join/served-names.ts'
import type { Log } from '#log.ts'
import type { AppServer } from '#resources/app-server.ts'
import { createRpcClient } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'

/** Where the Auth Service listens: `{ host: '127.0.0.1', port: 3025 }`. */
export interface AuthAddress {
  readonly host: string
  readonly port: number
}

export interface AuthLinkOptions {
  /** Asked at each connection, so that a renewed identity is used. */
  readonly member: () => MemberIdentity
  readonly authAddress: AuthAddress
  readonly snapshotFile?: string | undefined
  readonly log: Log
  readonly clock: Clock
}

/** Everything that the proxy has of Auth: calls as a member, and a live copy that goes on when Auth is away. */
export interface AuthLink extends AsyncDisposable {
  readonly cluster: Client<typeof ClusterService>
  readonly login: Client<typeof LoginService>
  readonly join: Client<typeof JoinService>
  readonly servedNames: ServedNames
  readonly cache: ResourceCache
  /** A raw connection to its port. @throws {Unavailable} */
  dial(signal: AbortSignal): Promise<net.Socket>
  /** Host ids of the agents that serve under this server name. */
  agentsFor(serverName: string): readonly string[]
}

const kinds = ['app_server', 'proxy', 'cluster_auth_preference'] as const

/** Opens the link. It does not wait for Auth: see `cache.ready`. */
export async function openAuthLink(options: AuthLinkOptions): Promise<AuthLink> {
  await using stack = new AsyncDisposableStack()
  const { member, authAddress, snapshotFile, log, clock } = options
  const dial = (signal: AbortSignal): Promise<net.Socket> => dialAuth(authAddress, signal)
  const { transport } = stack.use(
    createRpcClient({
      dial,
      serverName: authServerName(member().clusterName),
      hostAuthorities: () => member().hostAuthorities,
      certificate: () => ({ cert: member().certificatePem, key: member().privateKeyPem }),
    }),
  )
  const resources = createClient(ResourceService, transport)
  const cache = stack.use(
    await openResourceCache({
      watch: (kinds, revision, signal) =>
        resources.watch({ kinds: [...kinds], revision: revision ?? '' }, { signal, timeoutMs: 0 }),
      kinds,
      clock,
      log: log.child('cache'),
      ...(snapshotFile === undefined ? {} : { snapshotFile }),
    }),
  )
  const index = stack.use(indexAgents(cache))
  const keepIn = snapshotFile === undefined ? undefined : join(dirname(snapshotFile), 'served-names')
  const servedNames = stack.use(openServedNames({ rpc: transport, log, clock, keepIn }))
  const opened = stack.move()
  return {
    cluster: createClient(ClusterService, transport),
    login: createClient(LoginService, transport),
    join: createClient(JoinService, transport),
    servedNames,
    cache,
    dial,
    agentsFor: (serverName) => index.agentsFor(serverName),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

const DIAL_MS = 10_000

async function dialAuth({ host, port }: AuthAddress, signal: AbortSignal): Promise<net.Socket> {
  const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true })
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]) })
    return socket
  } catch (cause) {
    socket.on('error', () => {})
    socket.destroy()
    const hint = 'check that the Auth Service runs, and teleport.auth_server'
    throw new Unavailable(`the Auth Service cannot be reached at ${host}:${port}`, { hint, cause })
  }
}

/** Server name to host ids, made anew at the first question after a change. */
function indexAgents(cache: ResourceCache): Disposable & Pick<AuthLink, 'agentsFor'> {
  let index: Map<string, string[]> | undefined
  const subscription = cache.onChange(({ kind }) => {
    if (kind === 'app_server') index = undefined
  })
  return {
    agentsFor(serverName) {
      index ??= hostsByServerName(cache.list<AppServer>('app_server'))
      return index.get(serverName) ?? []
    },
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  }
}

function hostsByServerName(servers: readonly AppServer[]): Map<string, string[]> {
  const hosts = new Map<string, string[]>()
  for (const { spec } of servers) {
    const name = spec.server_name?.toLowerCase()
    if (name !== undefined) hosts.set(name, [...(hosts.get(name) ?? []), spec.host_id])
  }
  return hosts
}
