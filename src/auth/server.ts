import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { ConnectRouter } from '@connectrpc/connect'
import { openSqliteAuditLog } from '#audit/log-sqlite.ts'
import { openLocalUsers } from '#auth/login/local-users.ts'
import { appService } from '#auth/services/app-service.ts'
import { auditService } from '#auth/services/audit-service.ts'
import { clusterService } from '#auth/services/cluster-service.ts'
import { INSTANCE_TTL_MS, joinService } from '#auth/services/join-service.ts'
import { loginService } from '#auth/services/login-service.ts'
import { resourceService } from '#auth/services/resource-service.ts'
import { userService } from '#auth/services/user-service.ts'
import { openAuthorities } from '#ca/authorities.ts'
import type { Clock } from '#clock.ts'
import {
  AppService,
  AuditService,
  ClusterService,
  JoinService,
  LoginService,
  ResourceService,
  UserService,
} from '#gen/access/v1/access_pb.ts'
import type { SystemRole } from '#identity/identity.ts'
import type { Log } from '#log.ts'
import type { Lock } from '#resources/lock.ts'
import { type ProxyMember, parseAuthServer } from '#resources/member.ts'
import { startRpcServer } from '#rpc/server.ts'
import { openResourceStore, type ResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { createAccess } from './access.ts'
import { openAuditTrail } from './audit-trail.ts'
import type { AuthConfig } from './auth-config.ts'
import { applySettings, applyStaticTokens, createPresets, settleCluster } from './first-start.ts'
import { ANNOUNCEMENT_TTL_MS } from './heartbeats.ts'
import { openHostGrants } from './host-grants.ts'
import { type LiveResources, openLiveResources } from './live-resources.ts'
import {
  createServerCertificate,
  issueLocalMember,
  LOCAL_TTL_MS,
  type LocalIssuer,
  type LocalMember,
  writeAdminIdentity,
} from './local-identity.ts'
import { createLockIndex, type LockIndex } from './lock-index.ts'
import type { AuthParts } from './parts.ts'
import { createRemovalLocks } from './removal-locks.ts'
import { createResourceChanges } from './resource-changes.ts'

export interface AuthOptions {
  readonly config: AuthConfig
  /** Made for its owner alone; holds the state, the audit log and `admin.pem`. */
  readonly dataDir: string
  /** Name of this machine; left out: its host name. */
  readonly nodeName?: string
  readonly log: Log
  readonly clock: Clock
}

/** A running Auth Service. Disposing lets calls under way end, then closes audit log and state. */
export interface Auth extends AsyncDisposable {
  readonly host: string
  readonly port: number
  readonly clusterName: string
  /** `sha256:` and hex, one for each host authority certificate. */
  readonly caPins: readonly string[]
  /** Key, certificate and authorities of the local administrator; renewed while this runs. */
  readonly adminIdentityFile: string
  /** The identity of a part in the same process, without a token. */
  localMember(role: SystemRole): Promise<LocalMember>
}

/**
 * Starts the Auth Service: the only part that has the state of the cluster.
 * @throws {InvalidInput} for a configuration that cannot be followed
 * @throws {BackendLocked} when another process uses the data directory
 */
export async function startAuth({ config, dataDir, nodeName = hostname(), log, clock }: AuthOptions): Promise<Auth> {
  await using stack = new AsyncDisposableStack()
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const storage = config.storagePath ?? join(dataDir, 'backend')
  const backend = stack.use(
    await openSqliteBackend({ path: join(storage, 'sqlite.db'), clock, log: log.child('storage') }),
  )
  const store = openResourceStore({ backend })
  const proposed = { name: config.clusterName ?? hostname().toLowerCase(), hostId: randomUUID() }
  const { name: clusterName, hostId } = await settleCluster(backend, proposed, log)
  const authorities = await openAuthorities({ store, clusterName, clock })
  await createPresets(backend, store)
  await applySettings(store, config)
  await applyStaticTokens(store, config)

  const auditLog = stack.use(
    await openSqliteAuditLog({ path: join(dataDir, 'log', 'events.db'), log: log.child('audit') }),
  )
  const trail = await openAuditTrail({ backend, auditLog, clusterName, clock, log })
  const lockIndex = createLockIndex()
  const live = stack.use(await followState({ store, log, lockIndex }))
  const access = createAccess({ store, live, locks: lockIndex, clock })
  const locks = createRemovalLocks({ store, live, trail, clock })
  const localUsers = openLocalUsers({ backend, clock, lockout: config.lockout })
  const hosts = openHostGrants(backend)
  const changes = createResourceChanges({ store, access, trail, locks, live, localUsers, clock })
  const proxyAddress = async (): Promise<string | undefined> => {
    const proxies = await store.list<ProxyMember>('proxy')
    return proxies.find(({ spec }) => spec.public_addr)?.spec.public_addr ?? config.proxyPublicAddr
  }
  const parts: AuthParts = {
    ...{ clusterName, store, live, authorities, auditLog, trail, access, changes, locks },
    ...{ localUsers, hosts, proxyAddress, clock, log },
  }

  const issuer: LocalIssuer = { authorities, clusterName, hostId, nodeName, clock }
  const server = stack.use(
    await startRpcServer({
      ...config.listen,
      certificate: createServerCertificate(issuer),
      clientAuthorities: () => ({ user: authorities.certificates('user'), host: authorities.certificates('host') }),
      router: (router) => addServices(router, parts),
      log: log.child('rpc'),
      clock,
    }),
  )
  const announced = { store, hostId, nodeName, listenAddr: `${server.host}:${server.port}`, config, clock }
  await announceAuth(announced)
  const adminIdentityFile = await writeAdminIdentity(issuer, dataDir)
  stack.use(every(ANNOUNCEMENT_TTL_MS / 2, log, () => announceAuth(announced)))
  stack.use(every(LOCAL_TTL_MS / 4, log, () => writeAdminIdentity(issuer, dataDir)))
  log.info('the Auth Service is ready', { cluster: clusterName, address: announced.listenAddr })

  const owned = stack.move()
  return {
    host: server.host,
    port: server.port,
    clusterName,
    caPins: authorities.pins(),
    adminIdentityFile,
    async localMember(role) {
      const grant = { nodeName, method: 'local', tokenName: '', joined: clock().toISOString() }
      await hosts.put(hostId, role, grant, new Date(clock().getTime() + INSTANCE_TTL_MS))
      return issueLocalMember(issuer, role, INSTANCE_TTL_MS)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** What every call asks for is kept in memory. */
function followState({
  store,
  log,
  lockIndex,
}: {
  store: ResourceStore
  log: Log
  lockIndex: LockIndex
}): Promise<LiveResources> {
  return openLiveResources({
    store,
    kinds: ['lock', 'role', 'app', 'app_server'],
    log,
    onChange: (kind, name, resource) => {
      if (kind === 'lock') lockIndex.change(name, resource as Lock | undefined) // parsed by its kind
    },
  })
}

function addServices(router: ConnectRouter, parts: AuthParts): void {
  router.service(ClusterService, clusterService(parts))
  router.service(ResourceService, resourceService(parts))
  router.service(AppService, appService(parts))
  router.service(LoginService, loginService(parts))
  router.service(UserService, userService(parts))
  router.service(JoinService, joinService(parts))
  router.service(AuditService, auditService(parts))
}

async function announceAuth({
  store,
  hostId,
  nodeName,
  listenAddr,
  config,
  clock,
}: {
  store: ResourceStore
  hostId: string
  nodeName: string
  listenAddr: string
  config: AuthConfig
  clock: Clock
}): Promise<void> {
  const [publicAddr] = config.publicAddrs
  await store.upsert(
    parseAuthServer({
      kind: 'auth_server',
      metadata: { name: hostId, expires: new Date(clock().getTime() + ANNOUNCEMENT_TTL_MS).toISOString() },
      spec: {
        host_id: hostId,
        hostname: nodeName,
        listen_addr: listenAddr,
        ...(publicAddr !== undefined && { public_addr: publicAddr }),
      },
    }),
  )
}

/** Repeats `work`; disposing waits for the one under way. What fails is logged and tried again the next time. */
function every(ms: number, log: Log, work: () => Promise<unknown>): AsyncDisposable {
  let running: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    running = work().catch((error: unknown) => log.warn('a repeated task failed', { error }))
  }, ms)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await running
    },
  }
}
