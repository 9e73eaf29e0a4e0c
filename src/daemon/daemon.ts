/** Starts the parts that a configuration enables, in one process. */
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Agent } from '#agents/agent.ts'
import type { Auth } from '#auth/server.ts'
import type { Environment } from '#cli/terminal.ts'
import type { Clock } from '#clock.ts'
import { InvalidInput } from '#errors.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { defaultProxyLimits } from '#proxy/config.ts'
import type { Proxy as ProxyService } from '#proxy/server.ts'
import { type Address, addressText, parseAddress } from './address.ts'
import type { DaemonConfig } from './config.ts'
import { defaultPorts } from './config-teleport.ts'
import { prepareDataDir } from './data-dir.ts'
import { reachable } from './dial-tcp.ts'
import { createHealth, type Health, type HealthListener, listenForHealth } from './health.ts'
import { createLocalToken } from './local-admin.ts'
import { joinedProxyMember, localProxyMember } from './proxy-member.ts'
import { type Check, watchHealth } from './watch-health.ts'

export interface DaemonOptions {
  readonly config: DaemonConfig
  readonly egress: Egress
  readonly env: Environment
  /** Believes whoever answers as the cluster where no CA pin is set. */
  readonly insecure?: boolean
  readonly log: Log
  readonly clock: Clock
  /** Ends the start, where it waits for others. */
  readonly signal: AbortSignal
}

/** What runs. Disposing stops it in the reverse order of its start. */
export interface Daemon extends AsyncDisposable {
  readonly auth: Auth | undefined
  readonly proxy: ProxyService | undefined
  readonly agent: Agent | undefined
  /** Port of the diagnostics listener. */
  readonly diagPort: number | undefined
  readonly health: Health
}

/**
 * Starts what the configuration enables, in order of need: diagnostics, Auth, proxy, agent.
 * @throws {InvalidInput} where nothing is enabled, or a part does not know where the rest of its cluster is
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { config, log, clock } = options
  const nodeName = config.nodeName ?? hostname()
  if (!config.auth && !config.proxy && !config.app) {
    throw new InvalidInput('no service is enabled', {
      hint: 'set "enabled: yes" in auth_service, proxy_service or app_service',
    })
  }
  await prepareDataDir(config.dataDir)
  await using stack = new AsyncDisposableStack()
  const health = createHealth()
  for (const part of ['auth', 'proxy', 'app'] as const) if (config[part]) health.expect(part)
  let diag: HealthListener | undefined
  if (config.diag) diag = stack.use(await listenForHealth({ address: config.diag, health, log: log.child('diag') }))
  let auth: Auth | undefined
  if (config.auth) {
    const { startAuth } = await import('#auth/server.ts')
    auth = stack.use(
      await startAuth({ config: config.auth, dataDir: config.dataDir, nodeName, log: log.child('auth'), clock }),
    )
    health.succeeded('auth')
  }
  let proxy: ProxyService | undefined
  if (config.proxy) {
    const started = await startProxyPart(stack, { ...options, nodeName, auth })
    proxy = started
    health.showAge('proxy', () => started.asOf())
    health.succeeded('proxy')
  }
  let agent: Agent | undefined
  if (config.app) {
    const started = await startAppPart(stack, { ...options, nodeName, auth, proxy })
    agent = started
    health.showAge('app', () => started.asOf())
    health.showPreflight(() => started.preflightFailures().length)
    health.succeeded('app')
  }
  stack.use(watchHealth({ health, checks: checksOf({ proxy, agent, clock }) }))
  stack.defer(() => letEnd({ proxy, agent }, config.shutdownGraceMs, log))
  const running = stack.move()
  return {
    auth,
    proxy,
    agent,
    diagPort: diag?.port,
    health,
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

/** Age of a copy of the cluster state, which Auth refreshes twice a second, from which on its holder counts as cut off. */
const STALE_MS = 60_000

interface Parts {
  readonly proxy: ProxyService | undefined
  readonly agent: Agent | undefined
  readonly clock: Clock
}

/** Auth fails only with its process; a proxy fails without Auth, an agent without Auth or without a tunnel. */
function checksOf({ proxy, agent, clock }: Parts): readonly Check[] {
  const isFresh = (asOf: Date, staleMs = STALE_MS): boolean => clock().getTime() - asOf.getTime() < staleMs
  return [
    ...(proxy ? [{ part: 'proxy', isWorking: () => isFresh(proxy.asOf()) }] : []),
    ...(agent
      ? [{ part: 'app', isWorking: () => agent.connected().length > 0 && isFresh(agent.asOf(), agent.maxLockAgeMs) }]
      : []),
  ]
}

/** Lets what is under way end before everything is stopped. */
async function letEnd({ proxy, agent }: Omit<Parts, 'clock'>, graceMs: number, log: Log): Promise<void> {
  if (!proxy && !agent) return
  const limit = new AbortController()
  const late = sleep(graceMs, false, { signal: limit.signal }).catch(() => true)
  const ended = Promise.all([agent?.drain(), proxy?.drain()]).then(() => true)
  if (!(await Promise.race([ended, late]))) log.warn('cutting what is still under way', { grace_ms: graceMs })
  limit.abort()
}

interface PartOptions extends DaemonOptions {
  readonly nodeName: string
  readonly auth: Auth | undefined
}

async function startProxyPart(stack: AsyncDisposableStack, options: PartOptions): Promise<ProxyService> {
  const { config, auth, nodeName, clock, egress, signal, insecure = false } = options
  const log = options.log
  const settings = config.proxy
  if (!settings) throw new Error('the proxy is not enabled')
  const authAddress = authAddressOf(options)
  const member = stack.use(
    auth
      ? await localProxyMember(auth, log)
      : await joinedProxyMember({
          config,
          nodeName,
          authServer: addressText(authAddress),
          authAddress,
          egress,
          insecure,
          log,
          clock,
          signal,
        }),
  )
  const [publicAddr, ...others] = settings.publicAddrs.flatMap((text) => parseAddress(text, 443) ?? [])
  const { startProxy } = await import('#proxy/server.ts')
  return stack.use(
    await startProxy({
      config: {
        listenHost: settings.listen.host,
        listenPort: settings.listen.port,
        publicAddr: publicAddr ?? { host: nodeName, port: settings.listen.port },
        otherNames: others.map(({ host }) => host),
        nodeName,
        keypairs: settings.keyPairs,
        keypairsReloadMs: settings.keyPairsReloadMs,
        snapshotFile: join(config.dataDir, 'proxy', 'cache.json'),
        limits: { ...defaultProxyLimits, connections: config.maxConnections },
      },
      member: member.member,
      authAddress,
      log,
      clock,
    }),
  )
}

function authAddressOf({ auth, config }: PartOptions): Address {
  if (auth) return { host: reachable(auth.host), port: auth.port }
  const address = config.cluster.authServer && parseAddress(config.cluster.authServer, defaultPorts.auth)
  if (address) return address
  throw new InvalidInput('the proxy does not know where the Auth Service is', {
    hint: 'set teleport.auth_server, or enable auth_service',
  })
}

async function startAppPart(
  stack: AsyncDisposableStack,
  options: PartOptions & { readonly proxy: ProxyService | undefined },
): Promise<Agent> {
  const { config, auth, proxy, nodeName, egress, env, insecure = false, log, clock, signal } = options
  const { app } = config
  const awsRegion = env.AWS_REGION || env.AWS_DEFAULT_REGION
  if (!app) throw new Error('the Application Service is not enabled')
  const local = proxy && config.proxy && addressText({ host: reachable(config.proxy.listen.host), port: proxy.port })
  const proxyServer = local ?? config.cluster.proxyServer
  if (proxyServer === undefined) {
    throw new InvalidInput('the Application Service does not know where the proxy is', {
      hint: 'set teleport.proxy_server',
    })
  }
  const joinToken = config.join.tokenName ?? (auth && (await createLocalToken({ auth, role: 'App', clock, signal })))
  const { startAgent } = await import('#agents/agent.ts')
  return stack.use(
    await startAgent({
      config: {
        nodeName,
        proxyServer,
        // The pins of an Auth Service in this very process need no configuring.
        caPins: config.caPins.length === 0 && auth ? auth.caPins : config.caPins,
        joinMethod: config.join.method,
        ...(joinToken === undefined ? {} : { joinToken }),
        ...app,
      },
      dataDir: config.dataDir,
      egress,
      ...(awsRegion ? { awsRegion } : {}),
      insecure,
      log,
      clock,
      signal,
    }),
  )
}
