import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ExitWith, UsageError } from '#cli/usage-error.ts'
import { type DaemonConfig, parseConfig } from '#daemon/config.ts'
import { type ConfigSource, readConfigSource } from '#daemon/config-source.ts'
import { type Daemon, startDaemon } from '#daemon/daemon.ts'
import type { DaemonDeps } from '#daemon/deps.ts'
import type { StartFlags } from '#daemon/flags.ts'
import { applyResources } from '#daemon/local-admin.ts'
import { openLog } from '#daemon/log.ts'
import { writePidFile } from '#daemon/pid-file.ts'
import { shutDown } from '#daemon/shutdown.ts'
import type { Log } from '#log.ts'
import { createEgress, egressFromEnvironment } from '#net/egress.ts'
import { product } from '#product.ts'

/** What a run of the daemon is told beside its configuration. */
export interface RunOptions {
  readonly config?: string
  readonly configString?: string
  readonly flags: StartFlags
  readonly insecure: boolean
  /** File of resources that are written at every start. */
  readonly applyOnStartup?: string
  /** File of resources that are written at the first start. */
  readonly bootstrap?: string
}

/** Runs the daemon until it is told to stop. @throws {AccessError} where it cannot start */
export async function runDaemon(deps: DaemonDeps, options: RunOptions): Promise<void> {
  const source = await readConfigSource(options, deps.env)
  const config = parseConfig(source.text, source.name, options.flags)
  await using stack = new AsyncDisposableStack()
  const { log } = stack.use(await openLog(config.log, deps.terminal))
  announce(log, source, config, options)
  const isFirstStart =
    config.auth !== undefined && !existsSync(config.auth.storagePath ?? join(config.dataDir, 'backend'))
  const egress = stack.use(createEgress(egressFromEnvironment(deps.env, (path) => readFileSync(path, 'utf8'))))
  const { env, clock, signal } = deps
  const daemon = await startUnlessStopped(
    () => startDaemon({ config, egress, env, insecure: options.insecure, log, clock, signal }),
    signal,
  )
  if (daemon === undefined) {
    log.info('stopped before everything was running')
    return
  }
  await using parts = new AsyncDisposableStack()
  parts.use(daemon)
  await afterStart(daemon, { ...options, isFirstStart, signal, log })
  if (config.pidFile) stack.use(await writePidFile(config.pidFile, deps.pid))
  using _ = deps.onHangup(() => log.info('SIGHUP does nothing: start the process anew to have its configuration read'))
  log.info('all services are running', portsOf(daemon))
  await aborted(signal)
  log.info('stopping')
  if (!(await shutDown(parts, log))) throw new ExitWith(1)
  log.info('stopped')
}

function announce(log: Log, { name, path }: ConfigSource, config: DaemonConfig, { insecure }: RunOptions): void {
  const from = path === undefined ? `the configuration of ${name}` : `a config file located at ${JSON.stringify(path)}`
  log.info(`Starting ${product.name} v${product.version} with ${from}`, { compatible: product.compatibleVersion })
  for (const warning of config.warnings) log.warn(warning)
  if (insecure) log.warn('--insecure: certificates of the cluster are not checked while joining')
}

/** The daemon, or nothing when it was told to stop while it was still starting. */
async function startUnlessStopped(start: () => Promise<Daemon>, signal: AbortSignal): Promise<Daemon | undefined> {
  try {
    return await start()
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

interface AfterStart extends RunOptions {
  readonly isFirstStart: boolean
  readonly signal: AbortSignal
  readonly log: Log
}

async function afterStart(
  { auth }: Daemon,
  { bootstrap, applyOnStartup, isFirstStart, signal, log }: AfterStart,
): Promise<void> {
  if (!auth) {
    if (bootstrap ?? applyOnStartup)
      throw new UsageError('--bootstrap and --apply-on-startup need the Auth Service in this process', {
        hint: 'use them where auth_service is enabled',
      })
    return
  }
  const apply = async (file: string): Promise<void> =>
    applyResources({
      text: await readFile(file, 'utf8'),
      source: file,
      auth,
      signal,
      log,
    })
  if (bootstrap !== undefined && isFirstStart) await apply(bootstrap)
  else if (bootstrap !== undefined) log.info('--bootstrap is ignored: this cluster has been started before')
  if (applyOnStartup !== undefined) await apply(applyOnStartup)
}

function portsOf({ auth, proxy, diagPort }: Daemon): Record<string, unknown> {
  return {
    ...(auth ? { cluster: auth.clusterName, auth_port: auth.port, ca_pins: auth.caPins } : {}),
    ...(proxy ? { proxy_port: proxy.port } : {}),
    ...(diagPort === undefined ? {} : { diag_port: diagPort }),
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
