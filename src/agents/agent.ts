/** The Application Service: joins, dials every proxy, announces its apps and serves them. Composition only. */
import { join } from 'node:path'
import { createClient } from '@connectrpc/connect'
import type { ClusterView } from '#agents/app/admit.ts'
import { type ServedApps, startServedApps } from '#agents/app/apps.ts'
import { createAwsHandler } from '#agents/app/aws.ts'
import { startPreflight } from '#agents/app/preflight.ts'
import { startAppServer } from '#agents/app/server.ts'
import { openRemoteEmitter } from '#audit/remote-emitter.ts'
import { openCredentials } from '#aws/credentials-client.ts'
import { partitionOfRegion } from '#aws/partition.ts'
import { openRoleCredentials } from '#aws/sts-client.ts'
import { openResourceCache, type ResourceCache } from '#cache/resource-cache.ts'
import type { Clock } from '#clock.ts'
import { ResourceService } from '#gen/access/v1/access_pb.ts'
import { openClusterRpc, parseClusterAddress } from '#join/cluster-address.ts'
import { openIdentityStore } from '#join/identity-store.ts'
import { joinCluster, type MemberIdentity } from '#join/join.ts'
import { renewIdentity } from '#join/renew.ts'
import { openServedNames } from '#join/served-names.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import type { Selector } from '#rbac/labels.ts'
import type { App } from '#resources/app.ts'
import type { AuthPreference } from '#resources/cluster-config.ts'
import type { Lock } from '#resources/lock.ts'
import type { ProxyMember } from '#resources/member.ts'
import type { Role } from '#resources/role.ts'
import { openTunnels, type ProxyAddress } from '#tunnel/agent-end.ts'
import { startHeartbeat } from './heartbeat.ts'

interface AgentConfig {
  readonly nodeName: string
  /** `host:port`; one of the two. */
  readonly proxyServer?: string
  readonly authServer?: string
  readonly caPins: readonly string[]
  readonly joinMethod: string
  readonly joinToken?: string
  /** Apps of the configuration file. */
  readonly apps: readonly App[]
  /** Labels of the apps of the cluster that are served beside them; `{ '*': ['*'] }` are all. */
  readonly resourceLabels: readonly Selector[]
  /** Largest size of the audit spool. */
  readonly spoolBytes?: number
  /** Also reading calls are refused while the audit spool is full. */
  readonly refuseReadsUnrecorded?: boolean
  /** Looks ahead for what would make calls to AWS fail, and tells the log; yes unless given. */
  readonly preflight?: boolean
  /** Age of the live copy at which the strict locking mode refuses; five minutes unless given. */
  readonly maxLockAgeMs?: number
}

export interface AgentOptions {
  readonly config: AgentConfig
  readonly dataDir: string
  readonly egress: Egress
  /** Region of AWS that this agent is at home in, as in `AWS_REGION`. */
  readonly awsRegion?: string
  /** Believes whoever answers as the cluster where no CA pin is set. */
  readonly insecure?: boolean
  readonly log: Log
  readonly clock: Clock
  /** Ends the start, where it waits for the cluster. */
  readonly signal?: AbortSignal
}

/** An agent that serves. Disposing stops it: tunnels first, then what is under way, then what waits for the audit log. */
export interface Agent extends AsyncDisposable {
  readonly identity: () => MemberIdentity
  /** Proxies to which a tunnel is open. */
  connected(): readonly string[]
  /** How fresh its copy of the cluster state is. */
  asOf(): Date
  /** Age of that copy from which on the strict locking mode refuses, where it is configured. */
  readonly maxLockAgeMs: number | undefined
  /** Takes no new calls, and resolves when those that are under way have ended. */
  drain(): Promise<void>
  readonly apps: Pick<ServedApps, 'list'>
  /** What the look ahead has found not to work: `sts:aws`, or ARNs of roles. */
  preflightFailures(): readonly string[]
}

/** Kinds that an agent decides with, and by which it finds what to serve and where. */
const KINDS = ['role', 'lock', 'cert_authority', 'cluster_auth_preference', 'app', 'proxy']
/** How long a start waits to be reachable; after that it goes on trying while it runs. */
const READY_MS = 15_000
/** What waits for the audit log at the end is delivered at the next start. */
const DRAIN_MS = 5_000

/** Starts the agent. Resolves when it can be reached, or, with a warning, when that takes long. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { config, dataDir, egress, awsRegion: homeRegion, log, clock } = options
  await using stack = new AsyncDisposableStack()
  const member = await becomeMember(stack, options)
  const { rpc, identity } = member
  const { clusterName, hostId } = identity()

  const resources = createClient(ResourceService, rpc.transport)
  const cache = stack.use(
    await openResourceCache({
      watch: (kinds, revision, signal) =>
        resources.watch({ kinds: [...kinds], revision: revision ?? '' }, { signal, timeoutMs: 0 }),
      kinds: KINDS,
      clock,
      log: log.child('cache'),
      snapshotFile: join(dataDir, 'app', 'cache.json'),
    }),
  )
  const spool = stack.use(
    await openRemoteEmitter({
      path: join(dataDir, 'app', 'audit-spool'),
      transport: rpc.transport,
      clock,
      log: log.child('audit'),
      ...(config.spoolBytes === undefined ? {} : { maxBytes: config.spoolBytes }),
    }),
  )
  stack.defer(() => spool.drain(AbortSignal.timeout(DRAIN_MS)))
  const names = stack.use(
    openServedNames({ rpc: rpc.transport, log, clock, keepIn: join(dataDir, 'app', 'served-names') }),
  )
  let announce = (): void => {} // there is nobody to tell before the heartbeat runs
  const apps = stack.use(startServedApps({ ...config, cache, names, onChange: () => announce(), log }))
  const credentials = stack.use(
    openRoleCredentials({
      base: openCredentials({ agent: egress.agent, ...(homeRegion === undefined ? {} : { region: homeRegion }) }),
      agent: egress.agent,
      clock,
      ...(homeRegion === undefined ? {} : { homeRegion }),
    }),
  )
  const server = stack.use(
    startAppServer({
      appUnder: (serverName) => apps.under(serverName),
      certificateFor: (app) => names.contextFor('app', app),
      view: () => viewOf({ cache, apps, clusterName, hostId, maxLockAgeMs: config.maxLockAgeMs }),
      cache,
      handler: createAwsHandler({
        credentials,
        egress,
        spool,
        source: { cluster: clusterName, hostId, clock },
        log: log.child('app'),
        refuseReadsUnrecorded: config.refuseReadsUnrecorded ?? false,
      }),
      clock,
      log: log.child('app'),
    }),
  )
  const heartbeat = stack.use(
    startHeartbeat({ apps, hostId, nodeName: config.nodeName, transport: rpc.transport, log }),
  )
  announce = () => heartbeat.soon()
  const tunneled = Promise.withResolvers<void>()
  const tunnels = stack.use(
    await openTunnels({
      proxies: () => proxyAddresses(config, cache),
      dial: (host, port, { signal }) => egress.dial(host, port, { signal }),
      identity,
      serve: (stream, meta, signal) => server.serve(stream, meta, signal),
      log: log.child('tunnel'),
      onChange: (connected) => connected.length > 0 && tunneled.resolve(),
    }),
  )
  stack.defer(() => server[Symbol.asyncDispose]()) // before the tunnels, so that callers are told why they are cut
  await reachable(Promise.all([cache.ready, heartbeat.first, tunneled.promise]), options)
  const homePartition = homeRegion && partitionOfRegion(homeRegion)
  const preflight =
    config.preflight === false
      ? undefined
      : stack.use(
          startPreflight({
            credentials,
            apps: () => apps.list(),
            roles: () => cache.list<Role>('role'),
            ...(homePartition ? { homePartition } : {}),
            log: log.child('preflight'),
          }),
        )
  const running = stack.move()
  return {
    identity,
    connected: () => tunnels.connected(),
    asOf: () => cache.asOf(),
    maxLockAgeMs: config.maxLockAgeMs,
    async drain() {
      await Promise.all([tunnels.drain(), server.drain()])
    },
    apps,
    preflightFailures: () => preflight?.failing() ?? [],
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

interface Membership {
  readonly identity: () => MemberIdentity
  readonly rpc: ReturnType<typeof openClusterRpc>
}

/** Joins, or takes the identity of an earlier start, and renews it while the stack is not disposed. */
async function becomeMember(stack: AsyncDisposableStack, options: AgentOptions): Promise<Membership> {
  const { config, dataDir, egress, insecure = false, log, clock, signal } = options
  const store = stack.use(await openIdentityStore(dataDir))
  const { proxyServer, authServer } = config
  const address = {
    ...(proxyServer === undefined ? {} : { proxyServer }),
    ...(authServer === undefined ? {} : { authServer }),
  }
  let current = await joinCluster({
    ...address,
    caPins: config.caPins,
    ...(config.joinToken === undefined ? {} : { token: config.joinToken }),
    method: config.joinMethod,
    role: 'App',
    nodeName: config.nodeName,
    store,
    egress,
    insecure,
    log,
    clock,
    ...(signal === undefined ? {} : { signal }),
  })
  const rpc = stack.use(
    openClusterRpc({
      address: parseClusterAddress(address),
      egress,
      clusterName: current.clusterName,
      hostAuthorities: () => current.hostAuthorities,
      certificate: () => ({ cert: current.certificatePem, key: current.privateKeyPem }),
    }),
  )
  const ending = new AbortController()
  const renewing = renewIdentity({
    identity: current,
    role: 'App',
    rpc: rpc.transport,
    store,
    onRenewed: (renewed) => {
      current = renewed
      rpc.reconnect()
    },
    log,
    clock,
    signal: ending.signal,
  })
  stack.defer(async () => {
    ending.abort()
    await renewing
  })
  return { identity: () => current, rpc }
}

/** What the requests are decided with. */
function viewOf({
  cache,
  apps,
  clusterName,
  hostId,
  maxLockAgeMs,
}: {
  readonly cache: ResourceCache
  readonly apps: ServedApps
  readonly clusterName: string
  readonly hostId: string
  readonly maxLockAgeMs: number | undefined
}): ClusterView {
  return {
    cluster: clusterName,
    hostId,
    locks: cache.list<Lock>('lock'),
    role: (name) => cache.get<Role>('role', name),
    isUnreadable: (name) => cache.isUnreadable('role', name),
    preference: cache.get<AuthPreference>('cluster_auth_preference', 'cluster-auth-preference'),
    asOf: cache.asOf(),
    app: (name) => apps.find(name),
    ...(maxLockAgeMs === undefined ? {} : { maxLockAgeMs }),
  }
}

/** The configured proxy, and every other that the cluster knows. */
function proxyAddresses({ proxyServer, authServer }: AgentConfig, cache: ResourceCache): readonly ProxyAddress[] {
  const configured = parseClusterAddress({ proxyServer, authServer })
  const known = cache.list<ProxyMember>('proxy').flatMap(({ spec }) => {
    const [, host, port] = /^\[?([^\]]+)\]?:(\d{1,5})$/.exec(spec.public_addr ?? '') ?? []
    return host === undefined || port === undefined ? [] : [{ host, port: Number(port) }]
  })
  const all = configured.kind === 'proxy' ? [{ host: configured.host, port: configured.port }, ...known] : known
  return [...new Map(all.map((address) => [`${address.host}:${address.port}`, address])).values()]
}

async function reachable(ready: Promise<unknown>, { log, signal }: AgentOptions): Promise<void> {
  const limit = AbortSignal.timeout(READY_MS)
  const over = Promise.withResolvers<void>()
  const end = (): void => over.resolve()
  for (const each of [limit, signal]) each?.addEventListener('abort', end, { once: true })
  const isReady = await Promise.race([ready.then(() => true), over.promise.then(() => false)])
  signal?.removeEventListener('abort', end)
  signal?.throwIfAborted()
  if (isReady) log.info('the application service is ready')
  else log.warn('the application service cannot be reached through the cluster yet; it goes on trying')
}
