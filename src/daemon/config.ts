/** `teleport.yaml`: from its text to a value in which every default is set. */
import type { z } from 'zod'
import { InvalidInput } from '#errors.ts'
import { product } from '#product.ts'
import { type DocumentSource, InvalidResource } from '#resources/invalid-resource.ts'
import { readDocuments } from '#resources/parse.ts'
import { durationMs, firstProblem, frozen, strict, text } from '#resources/schema.ts'
import { withoutNulls } from '#resources/without-nulls.ts'
import type { Address } from './address.ts'
import { type AppSettings, appSection, appSettings } from './config-app.ts'
import { type AuthSettings, authSection, authSettings, authWarnings } from './config-auth.ts'
import { type ProxySettings, proxySection, proxySettings } from './config-proxy.ts'
import {
  addressOf,
  type ClusterAddresses,
  clusterAddresses,
  defaultPorts,
  type JoinConfig,
  joinConfig,
  type LogConfig,
  logConfig,
  teleportSection,
  unused,
} from './config-teleport.ts'
import { isSwitchedOff, unusedKeys, unusedSections } from './config-unused.ts'
import { type StartFlags, withFlags } from './flags.ts'
import { InvalidConfig, type Refuse } from './invalid-config.ts'

/** Everything the daemon is told. Parts get their few fields of it. */
export interface DaemonConfig {
  readonly version: 'v1' | 'v2' | 'v3'
  /** Left out: the machine's host name. */
  readonly nodeName?: string
  readonly dataDir: string
  readonly pidFile?: string
  readonly join: JoinConfig
  readonly cluster: ClusterAddresses
  /** `sha256:HEX`, or paths of files with one. */
  readonly caPins: readonly string[]
  readonly diag?: Address
  readonly log: LogConfig
  /** Connections of one client address at one time. */
  readonly maxConnections: number
  /** How long calls that are under way may go on when the process is told to stop. */
  readonly shutdownGraceMs: number
  /** Left out: this process does not run the service. */
  readonly auth?: AuthSettings
  readonly proxy?: ProxySettings
  readonly app?: AppSettings
  /** What is accepted and does nothing, one sentence each. */
  readonly warnings: readonly string[]
}

const fileSchema = strict({
  version: text.exactOptional(),
  teleport: teleportSection.exactOptional(),
  auth_service: authSection.exactOptional(),
  proxy_service: proxySection.exactOptional(),
  app_service: appSection.exactOptional(),
  ...unused(unusedSections),
})

/** A file as it is written, its keys known to be right one by one. */
export type ConfigFile = z.output<typeof fileSchema>

/** More than any real configuration. */
const MAX_BYTES = 1024 * 1024

/**
 * Parses the text of a configuration file of version v1 (also without a version), v2 or v3. An empty text is a file that
 * says nothing: Auth and proxy are on.
 *
 * @param source name of the file, for messages
 * @param flags of the command line, which are merged last
 * @throws {InvalidConfig} naming file, line and key
 * @throws {UnreadableConfig} where the text is no YAML
 */
export function parseConfig(text: string, source: string, flags: StartFlags = {}): DaemonConfig {
  const { value, source: places } = readYaml(text, source)
  const refuse: Refuse = (path, problem, hint) => {
    throw new InvalidConfig({ problem, path, source: places, ...(hint === undefined ? {} : { hint }) })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse([], 'expected a map of sections', 'begin the file with "version: v3" and "teleport:"')
  }
  // A section that is there and empty is a section, not an absent one.
  const sections = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, inner ?? {}]))
  const parsed = fileSchema.safeParse(withoutNulls(sections, refuse))
  if (!parsed.success) {
    const { problem, path } = firstProblem(parsed.error)
    return refuse(path, problem)
  }
  return frozen(configOf(withFlags(parsed.data, flags), refuse))
}

function configOf(file: ConfigFile, refuse: Refuse): DaemonConfig {
  const version = versionOf(file.version, refuse)
  const teleport = file.teleport ?? {}
  const { auth_service: auth = {}, proxy_service: proxy = {}, app_service: app } = file
  const services = {
    auth: auth.enabled ?? true,
    proxy: proxy.enabled ?? true,
    // Off where the section is absent, on where it is there and does not say.
    app: app !== undefined && (app.enabled ?? true),
  }
  const cluster = clusterAddresses(teleport, version, services, refuse)
  if (services.app && !services.proxy && cluster.authServer !== undefined) {
    refuse(
      ['teleport', 'auth_server'],
      'app_service works only through a proxy',
      'set proxy_server instead of auth_server',
    )
  }
  const { storage } = teleport
  if (storage?.type !== undefined && storage.type !== 'sqlite') {
    refuse(['teleport', 'storage', 'type'], `unsupported storage type ${JSON.stringify(storage.type)}`, 'use "sqlite"')
  }
  const authConfig = services.auth ? authSettings(auth, storage?.path, refuse) : undefined
  const proxyConfig = services.proxy ? proxySettings(proxy, refuse) : undefined
  const [publicAddr] = proxyConfig?.publicAddrs ?? []
  return {
    version,
    ...(teleport.nodename ? { nodeName: teleport.nodename } : {}),
    dataDir: teleport.data_dir || product.dataDir,
    ...(teleport.pid_file ? { pidFile: teleport.pid_file } : {}),
    join: joinConfig(teleport, refuse),
    cluster,
    caPins: caPins(teleport.ca_pin ?? [], refuse),
    ...(teleport.diag_addr
      ? { diag: addressOf(teleport.diag_addr, ['teleport', 'diag_addr'], defaultPorts.diag, refuse) }
      : {}),
    log: logConfig(teleport, refuse),
    maxConnections: teleport.connection_limits?.max_connections ?? 15_000,
    shutdownGraceMs: durationMs(teleport.shutdown_grace ?? '20s'),
    ...(authConfig ? { auth: { ...authConfig, ...(publicAddr ? { proxyPublicAddr: publicAddr } : {}) } } : {}),
    ...(proxyConfig ? { proxy: proxyConfig } : {}),
    ...(services.app && app ? { app: appSettings(app, refuse) } : {}),
    warnings: warningsOf(file),
  }
}

function versionOf(version: string | undefined, refuse: Refuse): DaemonConfig['version'] {
  if (version === undefined || version === '') return 'v1'
  const known = (['v1', 'v2', 'v3'] as const).find((known) => known === version)
  return known ?? refuse(['version'], `config version ${JSON.stringify(version)} is not supported`, 'use v1, v2 or v3')
}

function caPins(pins: readonly string[], refuse: Refuse): readonly string[] {
  return pins
    .map((pin) => pin.trim())
    .filter((pin) => pin !== '')
    .map((pin, index) => {
      if (/^sha256:[0-9a-fA-F]{64}$/.test(pin) || pin.startsWith('/')) return pin
      return refuse(
        ['teleport', 'ca_pin', index],
        `${JSON.stringify(pin.slice(0, 100))} is not a CA pin`,
        'write "sha256:" and 64 hexadecimal digits, as "tctl status" prints it, or the path of a file',
      )
    })
}

function warningsOf(file: ConfigFile): readonly string[] {
  const inert = (key: string): string =>
    `${key} is accepted and has no effect: it concerns what this product does not serve yet`
  const keys = (Object.keys(unusedKeys) as (keyof typeof unusedKeys)[]).flatMap((section) => {
    const written = file[section]
    return unusedKeys[section]
      .filter((key) => written !== undefined && Object.hasOwn(written, key))
      .map((key) => inert(`${section}.${key}`))
  })
  const sections = unusedSections.filter((name) => !isSwitchedOff(file[name])).map(inert)
  const syslog =
    file.teleport?.log?.output === 'syslog'
      ? ['teleport.log.output "syslog" is written to stderr: let the service manager pass it on']
      : []
  return [...sections, ...keys, ...authWarnings(file.auth_service ?? {}), ...syslog]
}

function readYaml(text: string, file: string): { readonly value: unknown; readonly source: DocumentSource } {
  const nowhere: DocumentSource = { file, at: () => undefined }
  if (text.length > MAX_BYTES)
    throw new InvalidConfig({ problem: `is larger than ${MAX_BYTES} bytes`, source: nowhere })
  try {
    const [first, second] = readDocuments(text, file)
    if (second) throw new InvalidConfig({ problem: 'has more than one document', source: nowhere })
    return first ?? { value: {}, source: nowhere }
  } catch (cause) {
    if (!(cause instanceof InvalidResource)) throw cause
    throw new UnreadableConfig(cause)
  }
}

/** A configuration file that is no YAML. */
class UnreadableConfig extends InvalidInput {
  readonly file: string | undefined
  readonly line: number | undefined

  constructor(cause: InvalidResource) {
    super(`failed parsing the config file: ${cause.message.replaceAll(/\s*\n\s*/g, ' ')}`, { hint: cause.hint, cause })
    this.file = cause.file
    this.line = cause.line
  }
}
