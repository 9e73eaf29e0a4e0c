import { stringify } from 'yaml'
import { UsageError } from '#cli/usage-error.ts'
import { product } from '#product.ts'
import { addressText, parseAddress } from './address.ts'
import { parseConfig } from './config.ts'

/** Options of `teleport configure`. */
export interface ConfigureOptions {
  readonly version: string
  readonly nodeName: string
  readonly dataDir: string
  readonly roles: readonly string[]
  readonly clusterName?: string
  readonly publicAddr?: string
  readonly certFile?: string
  readonly keyFile?: string
  readonly token?: string
  readonly joinMethod?: string
  readonly caPins?: readonly string[]
  readonly authServer?: string
  readonly proxy?: string
  readonly appName?: string
  readonly appUri?: string
  readonly acme?: boolean
  readonly acmeEmail?: string
}

/** Text of a configuration file that `parseConfig` takes. @throws {UsageError} */
export function configureText(options: ConfigureOptions): string {
  check(options)
  const { version, roles } = options
  const file = {
    version,
    teleport: teleportOf(options),
    auth_service: roles.includes('auth') ? authOf(options) : off,
    ssh_service: off,
    proxy_service: roles.includes('proxy') ? proxyOf(options) : off,
    ...(roles.includes('app') || options.appName !== undefined ? { app_service: appOf(options) } : {}),
  }
  const text = `#\n# A ${product.name} configuration file, made by "${product.daemon} configure".\n#\n${stringify(file, { lineWidth: 0 })}`
  parseConfig(text, 'the generated file') // whoever asks for what cannot be started hears it now
  return text
}

const off = { enabled: 'no' }

function check(options: ConfigureOptions): void {
  const { certFile, keyFile, appName, appUri, acme, clusterName, version } = options
  const refuse = (problem: string, hint = 'see "teleport configure --help"'): never => {
    throw new UsageError(problem, { hint })
  }
  if ((certFile === undefined) !== (keyFile === undefined)) refuse('please provide both --key-file and --cert-file')
  if ((appName === undefined) !== (appUri === undefined)) refuse('please provide both --app-name and --app-uri')
  if (acme && !clusterName)
    refuse('please provide --cluster-name when using ACME, for example --cluster-name=example.com')
  if (acme && keyFile !== undefined) refuse('could not use --key-file/--cert-file when ACME is enabled')
  if (!['v1', 'v2', 'v3'].includes(version))
    refuse(`config version ${JSON.stringify(version)} is not supported`, 'use v1, v2 or v3')
  if (options.authServer !== undefined && options.proxy !== undefined)
    refuse('use only one of --auth-server and --proxy')
}

function teleportOf({
  version,
  nodeName,
  dataDir,
  token,
  joinMethod = 'token',
  caPins = [],
  authServer,
  proxy,
}: ConfigureOptions): object {
  const server = authServer ?? proxy
  const address =
    server === undefined
      ? {}
      : version === 'v3'
        ? proxy === undefined
          ? { auth_server: server }
          : { proxy_server: server }
        : { auth_servers: [server] }
  return {
    nodename: nodeName,
    data_dir: dataDir,
    ...(token === undefined ? {} : { join_params: { token_name: token, method: joinMethod } }),
    ...address,
    log: { output: 'stderr', severity: 'INFO', format: { output: 'text' } },
    ca_pin: caPins.length === 1 ? caPins[0] : caPins.length > 1 ? caPins : '',
    diag_addr: '',
  }
}

function authOf({ clusterName, version }: ConfigureOptions): object {
  return {
    enabled: 'yes',
    listen_addr: '0.0.0.0:3025',
    ...(clusterName === undefined ? {} : { cluster_name: clusterName }),
    ...(version === 'v1' ? {} : { proxy_listener_mode: 'multiplex' }),
  }
}

function proxyOf({ publicAddr, certFile, keyFile, acme, acmeEmail, clusterName }: ConfigureOptions): object {
  const address = acme ? `${clusterName}:443` : publicAddr
  const parsed = address === undefined ? undefined : parseAddress(address, 443)
  if (address !== undefined && !parsed) {
    throw new UsageError(`${JSON.stringify(address)} is not an address`, { hint: 'write --public-addr=HOST:PORT' })
  }
  return {
    enabled: 'yes',
    web_listen_addr: addressText({ host: '0.0.0.0', port: parsed?.port ?? 3080 }),
    ...(parsed ? { public_addr: addressText(parsed) } : {}),
    https_keypairs: keyFile !== undefined && certFile !== undefined ? [{ key_file: keyFile, cert_file: certFile }] : [],
    https_keypairs_reload_interval: '0s',
    acme: acme ? { enabled: 'yes', ...(acmeEmail === undefined ? {} : { email: acmeEmail }) } : {},
  }
}

function appOf({ appName, appUri }: ConfigureOptions): object {
  return {
    enabled: 'yes',
    ...(appName === undefined ? {} : { apps: [{ name: appName, uri: appUri }] }),
    resources: appName === undefined ? [{ labels: { '*': '*' } }] : [],
  }
}
