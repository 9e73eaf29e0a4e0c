import { UsageError } from '#cli/usage-error.ts'
import { addressText, parseAddress } from './address.ts'
import type { ConfigFile } from './config.ts'

/** What the command line of `teleport start` says about the configuration. */
export interface StartFlags {
  readonly debug?: boolean
  /** `['app']`; what is not named is off. */
  readonly roles?: readonly string[]
  readonly authServer?: readonly string[]
  readonly token?: string
  readonly caPin?: readonly string[]
  readonly nodename?: string
  readonly diagAddr?: string
  readonly pidFile?: string
  readonly advertiseIp?: string
  /** In place of `0.0.0.0` for listeners whose address is not configured. */
  readonly listenIp?: string
  readonly dataDir?: string
  readonly app?: AppFlags
}

interface AppFlags {
  readonly name?: string
  readonly uri?: string
  readonly publicAddr?: string
  readonly cloud?: string
  readonly labels?: Readonly<Record<string, string>>
}

const serviceOf = { auth: 'auth_service', proxy: 'proxy_service', app: 'app_service' } as const
/** Roles of the reference that are taken and not served here. */
const otherRoles = ['node', 'kube', 'db', 'windowsdesktop', 'discovery', 'okta']

/** The file with the command line merged into it. @throws {UsageError} */
export function withFlags(file: ConfigFile, flags: StartFlags): ConfigFile {
  return withApp(withRoles(withTeleport(file, flags), flags), flags)
}

function withTeleport(file: ConfigFile, flags: StartFlags): ConfigFile {
  const { auth_token: _, ...teleport } = file.teleport ?? {}
  const token = flags.token
    ? { join_params: { ...teleport.join_params, token_name: flags.token } }
    : file.teleport?.auth_token === undefined
      ? {}
      : { auth_token: file.teleport.auth_token }
  return {
    ...file,
    teleport: {
      ...teleport,
      ...token,
      ...(flags.caPin?.length ? { ca_pin: [...flags.caPin] } : {}),
      ...(flags.nodename ? { nodename: flags.nodename } : {}),
      ...(flags.diagAddr ? { diag_addr: flags.diagAddr } : {}),
      ...(flags.pidFile ? { pid_file: flags.pidFile } : {}),
      ...(flags.advertiseIp ? { advertise_ip: flags.advertiseIp } : {}),
      ...(flags.dataDir ? { data_dir: flags.dataDir } : {}),
      ...(flags.debug ? { log: { ...teleport.log, severity: 'debug' } } : {}),
    },
  }
}

function withRoles(file: ConfigFile, { roles, authServer, listenIp }: StartFlags): ConfigFile {
  const wanted = roles?.map((role) => role.toLowerCase())
  const unknown = wanted?.find((role) => !Object.hasOwn(serviceOf, role) && !otherRoles.includes(role))
  if (unknown !== undefined) {
    throw new UsageError(`unknown role ${JSON.stringify(unknown)}`, {
      hint: 'use --roles with auth, proxy and app, separated by commas',
    })
  }
  const on = (role: keyof typeof serviceOf) => (wanted ? { enabled: wanted.includes(role) } : {})
  const listen = (key: string, port: number, written: string | undefined) =>
    listenIp && written === undefined ? { [key]: addressText({ host: listenIp, port }) } : {}
  const { app_service: app, ...rest } = file
  const merged: ConfigFile = {
    ...rest,
    auth_service: {
      ...file.auth_service,
      ...on('auth'),
      ...listen('listen_addr', 3025, file.auth_service?.listen_addr),
    },
    proxy_service: {
      ...file.proxy_service,
      ...on('proxy'),
      ...listen('web_listen_addr', 3080, file.proxy_service?.web_listen_addr),
    },
    ...(app === undefined && !wanted?.includes('app') ? {} : { app_service: { ...app, ...on('app') } }),
  }
  return withServer(merged, authServer)
}

/** `--auth-server` may name a proxy, which is what agents of apps need. */
function withServer(file: ConfigFile, servers: readonly string[] | undefined): ConfigFile {
  const [server] = servers ?? []
  if (server === undefined) return file
  if (parseAddress(server, 3025) === undefined) {
    throw new UsageError(`${JSON.stringify(server)} is not an address`, { hint: 'write --auth-server=HOST:PORT' })
  }
  const { auth_server: _, proxy_server: __, auth_servers: ___, ...teleport } = file.teleport ?? {}
  if (file.version !== 'v3') return { ...file, teleport: { ...teleport, auth_servers: [server] } }
  const throughProxy =
    file.app_service !== undefined && file.app_service.enabled !== false && file.proxy_service?.enabled === false
  return { ...file, teleport: { ...teleport, [throughProxy ? 'proxy_server' : 'auth_server']: server } }
}

function withApp(file: ConfigFile, { app }: StartFlags): ConfigFile {
  if (app?.name === undefined && app?.uri === undefined) return file
  if (app.name === undefined || (app.uri === undefined && app.cloud === undefined)) {
    throw new UsageError('please provide both --app-name and --app-uri', { hint: 'give both, or neither' })
  }
  const { name, uri, cloud, publicAddr, labels } = app
  const written = {
    name,
    ...(uri === undefined ? {} : { uri }),
    ...(cloud === undefined ? {} : { cloud }),
    ...(publicAddr === undefined ? {} : { public_addr: publicAddr }),
    ...(labels === undefined ? {} : { labels }),
  }
  return {
    ...file,
    app_service: { ...file.app_service, enabled: true, apps: [...(file.app_service?.apps ?? []), written] },
  }
}
