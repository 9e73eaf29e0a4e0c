import { z } from 'zod'
import { duration, strict, text, texts, untouched, whole } from '#resources/schema.ts'
import { type Address, addressText, parseAddress } from './address.ts'
import { unusedKeys } from './config-unused.ts'
import type { Refuse } from './invalid-config.ts'

/** Ports that an address without one means. */
export const defaultPorts = { auth: 3025, proxy: 3080, diag: 3000 } as const

const joinMethodNames = [
  'token',
  'ec2',
  'iam',
  'github',
  'circleci',
  'gitlab',
  'kubernetes',
  'azure',
  'gcp',
  'tpm',
  'terraform_cloud',
  'oracle',
  'bitbucket',
  'azure_devops',
  'spacelift',
  'bound_keypair',
] as const

const logFields = ['timestamp', 'component', 'caller', 'level'] as const

/** Section `teleport` as it is written. */
export const teleportSection = strict({
  nodename: text.exactOptional().describe('Name of this machine in listings; its host name where it is left out.'),
  data_dir: text
    .exactOptional()
    .describe(
      'Where the process keeps its state: identity, databases, events not yet delivered. `/var/lib/teleport` where it is left out.',
    ),
  pid_file: text.exactOptional().describe('File that the process id is written to.'),
  auth_token: text.exactOptional().describe('Older spelling of `join_params.token_name`.'),
  join_params: strict({
    method: text
      .exactOptional()
      .describe('How this machine proves itself when it joins; `token` where it is left out.'),
    token_name: text
      .exactOptional()
      .describe('Name of the join token; for the method `token` its secret, or the path of a file with it.'),
    azure: strict({
      client_id: text.exactOptional().describe('Client id of a managed identity, where the machine has several.'),
    })
      .exactOptional()
      .describe('Settings of the method `azure`.'),
  })
    .exactOptional()
    .describe('How this machine joins a cluster.'),
  auth_server: text.exactOptional().describe('Address of the Auth Service, from version v3 on.'),
  proxy_server: text.exactOptional().describe('Address of a proxy, from version v3 on. Agents need it.'),
  auth_servers: texts
    .exactOptional()
    .describe('Addresses of an Auth Service or a proxy, up to version v2; the first is used.'),
  ca_pin: texts
    .exactOptional()
    .describe(
      'Pins of the host authority, as `tctl status` prints them, or the path of a file: who is joined must be that cluster.',
    ),
  advertise_ip: text.exactOptional().describe('Address that others are told. Checked, and not acted on yet.'),
  diag_addr: text
    .exactOptional()
    .describe('Where health and metrics are served: `127.0.0.1:3000`. Off where it is left out.'),
  log: strict({
    output: text.exactOptional().describe('`stderr`, `stdout`, or the path of a file.'),
    severity: text.exactOptional().describe('`ERROR`, `WARN`, `INFO` or `DEBUG`.'),
    format: z
      .union([
        texts,
        strict({
          output: text.exactOptional().describe('`text` or `json`.'),
          extra_fields: texts
            .exactOptional()
            .describe('Of `timestamp`, `component`, `caller` and `level` those that are written.'),
        }),
      ])
      .exactOptional()
      .describe('A list of fields, or a map.'),
  })
    .exactOptional()
    .describe('How the process writes its log.'),
  shutdown_grace: duration()
    .exactOptional()
    .describe('How long calls that are under way may go on after SIGTERM; 20 seconds unless given.'),
  connection_limits: strict({
    max_connections: whole(0, 1_000_000_000)
      .exactOptional()
      .describe('Connections of one client address at one time; 15000 where it is left out.'),
    max_users: untouched.exactOptional(),
    rates: untouched.exactOptional(),
  })
    .exactOptional()
    .describe('Limits that hold for each client.'),
  storage: strict({
    type: text.exactOptional().describe('`sqlite`.'),
    path: text.exactOptional().describe('Folder of the database; `backend` in `data_dir` where it is left out.'),
  })
    .exactOptional()
    .describe('Where the Auth Service keeps its state.'),
  ...unused(unusedKeys.teleport),
})

/** Schemas of keys that are taken and not acted on. */
export function unused<const Key extends string>(
  keys: readonly Key[],
): Record<Key, z.ZodExactOptional<typeof untouched>> {
  return Object.fromEntries(keys.map((key) => [key, untouched.exactOptional()])) as Record<
    Key,
    z.ZodExactOptional<typeof untouched>
  > // the very names of the list
}

export type TeleportSection = z.output<typeof teleportSection>

/** How this process writes its log. */
export interface LogConfig {
  /** `stderr`, `stdout`, or the path of a file. */
  readonly output: string
  readonly severity: 'error' | 'warn' | 'info' | 'debug'
  readonly format: 'text' | 'json'
  readonly fields: readonly (typeof logFields)[number][]
}

/** Where this process finds the rest of its cluster, when that is not in the process itself. */
export interface JoinConfig {
  readonly method: string
  /** The secret of a token, its resource's name, or the path of a file that begins with `/`. */
  readonly tokenName?: string
  readonly azureClientId?: string
}

/** In v1 and v2 an address may be an Auth Service's or a proxy's. */
export interface ClusterAddresses {
  readonly authServer?: string
  readonly proxyServer?: string
}

/** @throws by way of `refuse` */
export function logConfig({ log }: TeleportSection, refuse: Refuse): LogConfig {
  const { output = 'stderr', severity = 'info', format = {} } = log ?? {}
  const { output: form = 'text', extra_fields = logFields } = Array.isArray(format) ? { extra_fields: format } : format
  const severities: Readonly<Record<string, LogConfig['severity']>> = {
    err: 'error',
    error: 'error',
    warn: 'warn',
    warning: 'warn',
    info: 'info',
    debug: 'debug',
    trace: 'debug',
  }
  const level = Object.hasOwn(severities, severity.toLowerCase()) ? severities[severity.toLowerCase()] : undefined
  if (level === undefined)
    return refuse(['teleport', 'log', 'severity'], `unsupported logger severity: ${JSON.stringify(severity)}`)
  if (form !== 'text' && form !== 'json') {
    return refuse(['teleport', 'log', 'format', 'output'], `unsupported log output format : ${JSON.stringify(form)}`)
  }
  const fields = extra_fields.map((field, index) => {
    const known = logFields.find((known) => known === field)
    return (
      known ??
      refuse(
        ['teleport', 'log', 'format', 'extra_fields', index],
        `unsupported log field ${JSON.stringify(field)}`,
        `use ${logFields.join(', ')}`,
      )
    )
  })
  const outputs: Readonly<Record<string, string>> = {
    error: 'stderr',
    '2': 'stderr',
    out: 'stdout',
    '1': 'stdout',
    '': 'stderr',
    syslog: 'stderr',
  }
  return {
    output: Object.hasOwn(outputs, output) ? (outputs[output] ?? output) : output,
    severity: level,
    format: form,
    fields,
  }
}

/** @throws by way of `refuse` */
export function joinConfig({ auth_token, join_params }: TeleportSection, refuse: Refuse): JoinConfig {
  const { method = 'token', token_name, azure } = join_params ?? {}
  if (auth_token && token_name) {
    refuse(['teleport', 'auth_token'], 'only one of auth_token or join_params should be set')
  }
  if (!(joinMethodNames as readonly string[]).includes(method)) {
    refuse(
      ['teleport', 'join_params', 'method'],
      `unknown join method ${JSON.stringify(method)}`,
      `use one of ${joinMethodNames.join(', ')}`,
    )
  }
  const tokenName = token_name || auth_token
  return {
    method,
    ...(tokenName ? { tokenName } : {}),
    ...(azure?.client_id ? { azureClientId: azure.client_id } : {}),
  }
}

/** Which services a process runs: what an address of the older versions means follows from it. */
export interface Services {
  readonly auth: boolean
  readonly proxy: boolean
  readonly app: boolean
}

/** Where the cluster is, by the keys that the file's version has; refusals in the words of the reference. */
export function clusterAddresses(
  section: TeleportSection,
  version: string,
  services: Services,
  refuse: Refuse,
): ClusterAddresses {
  const { auth_server, proxy_server, auth_servers } = section
  if (version !== 'v3') {
    for (const key of ['auth_server', 'proxy_server'] as const) {
      if (section[key] === undefined) continue
      refuse(
        ['teleport', key],
        `${key} is supported from config version v3 onwards`,
        'begin the file with "version: v3"',
      )
    }
    const [first] = auth_servers ?? []
    return first === undefined ? {} : eitherAddress(first, services, ['teleport', 'auth_servers', 0], refuse)
  }
  if (auth_servers !== undefined) {
    refuse(['teleport', 'auth_servers'], 'config v3 has replaced auth_servers with either auth_server or proxy_server')
  }
  if (auth_server && proxy_server) {
    refuse(['teleport', 'proxy_server'], 'only one of auth_server or proxy_server should be set')
  }
  if (proxy_server && services.proxy) {
    refuse(
      ['teleport', 'proxy_server'],
      'proxy_server can not be specified when proxy service is enabled',
      'set "enabled: no" in proxy_service, or remove proxy_server',
    )
  }
  return {
    ...(auth_server
      ? { authServer: addressText(addressOf(auth_server, ['teleport', 'auth_server'], defaultPorts.auth, refuse)) }
      : {}),
    ...(proxy_server
      ? { proxyServer: addressText(addressOf(proxy_server, ['teleport', 'proxy_server'], defaultPorts.proxy, refuse)) }
      : {}),
  }
}

/**
 * An address that may be an Auth Service's or a proxy's. No probe tells: agents of apps work through a proxy alone,
 * and a proxy needs the Auth Service.
 */
function eitherAddress(
  text: string,
  { proxy, app }: Services,
  path: readonly PropertyKey[],
  refuse: Refuse,
): ClusterAddresses {
  return app && !proxy
    ? { proxyServer: addressText(addressOf(text, path, defaultPorts.proxy, refuse)) }
    : { authServer: addressText(addressOf(text, path, defaultPorts.auth, refuse)) }
}

/** An address, or the error of its key. */
export function addressOf(text: string, path: readonly PropertyKey[], defaultPort: number, refuse: Refuse): Address {
  return (
    parseAddress(text, defaultPort, '0.0.0.0') ??
    refuse(
      path,
      `${JSON.stringify(text.slice(0, 200))} is not an address`,
      `write HOST:PORT, such as "0.0.0.0:${defaultPort}"`,
    )
  )
}
