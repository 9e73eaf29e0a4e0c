import type { z } from 'zod'
import { defaultLockout, type LockoutSettings } from '#auth/login/lockout.ts'
import { parseAuthPreference, parseNetworkingConfig, parseRecordingConfig } from '#resources/cluster-config.ts'
import { formatDuration } from '#resources/duration.ts'
import { InvalidResource } from '#resources/invalid-resource.ts'
import { duration, durationMs, flag, strict, text, texts, untouched, whole } from '#resources/schema.ts'
import type { Address } from './address.ts'
import { addressOf, defaultPorts, unused } from './config-teleport.ts'
import { unusedKeys } from './config-unused.ts'
import type { Refuse } from './invalid-config.ts'

/** Section `auth_service` as it is written. Settings of the cluster are checked by their own kinds. */
export const authSection = strict({
  enabled: flag.exactOptional().describe('Whether the service runs; yes where it is left out.'),
  cluster_name: untouched.exactOptional().meta({
    reads: 'text',
    description: 'Name of the cluster, which stands in its certificates. It cannot be changed later.',
  }),
  listen_addr: text.exactOptional().describe('Where the service listens; port 3025 where none is given.'),
  public_addr: texts.exactOptional().describe('Addresses under which others reach it.'),
  tokens: texts
    .exactOptional()
    .describe('Join tokens that never expire: `ROLE1,ROLE2:TOKEN`, or the path of a file with one.'),
  authentication: strict({
    type: untouched.exactOptional().describe('As `type` of `cluster_auth_preference`.'),
    local_auth: untouched.exactOptional().describe('As `allow_local_auth` of `cluster_auth_preference`.'),
    connector_name: untouched.exactOptional().describe('As `connector_name` of `cluster_auth_preference`.'),
    second_factors: untouched.exactOptional().describe('As `second_factors` of `cluster_auth_preference`.'),
    second_factor: untouched.exactOptional().describe('As `second_factor` of `cluster_auth_preference`.'),
    passwordless: untouched.exactOptional().describe('As `allow_passwordless` of `cluster_auth_preference`.'),
    headless: untouched.exactOptional().describe('As `allow_headless` of `cluster_auth_preference`.'),
    require_session_mfa: untouched.exactOptional().describe('As `require_session_mfa` of `cluster_auth_preference`.'),
    default_session_ttl: untouched.exactOptional().describe('As `default_session_ttl` of `cluster_auth_preference`.'),
    locking_mode: untouched.exactOptional().describe('As `locking_mode` of `cluster_auth_preference`.'),
    webauthn: untouched.exactOptional().describe('As `webauthn` of `cluster_auth_preference`.'),
    u2f: untouched.exactOptional().describe('As `u2f` of `cluster_auth_preference`.'),
    device_trust: untouched.exactOptional().describe('As `device_trust` of `cluster_auth_preference`.'),
    hardware_key: untouched.exactOptional().describe('As `hardware_key` of `cluster_auth_preference`.'),
    piv_slot: untouched.exactOptional().describe('As `piv_slot` of `cluster_auth_preference`.'),
    signature_algorithm_suite: untouched
      .exactOptional()
      .describe('As `signature_algorithm_suite` of `cluster_auth_preference`.'),
    stable_unix_user_config: untouched
      .exactOptional()
      .describe('As `stable_unix_user_config` of `cluster_auth_preference`.'),
    lockout: strict({
      attempts: whole(1, 1000)
        .default(defaultLockout.attempts)
        .describe('Failed logins of one user within `window` that lock the user out.'),
      window: duration().default(formatDuration(defaultLockout.windowMs)).describe('How long a failed login counts.'),
      lock: duration()
        .default(formatDuration(defaultLockout.lockMs))
        .describe('How long the user is locked out, at the places from which the failed logins came.'),
    })
      .exactOptional()
      .describe('When failed logins lock a user out. The file alone sets it: it is no field of a resource.'),
  })
    .exactOptional()
    .describe('Who may log in and how: fields of the resource `cluster_auth_preference`.'),
  session_recording: untouched.exactOptional().describe('As `mode` of `session_recording_config`.'),
  proxy_checks_host_keys: untouched
    .exactOptional()
    .describe('As `proxy_checks_host_keys` of `session_recording_config`.'),
  proxy_listener_mode: untouched.exactOptional().describe('As `proxy_listener_mode` of `cluster_networking_config`.'),
  proxy_ping_interval: untouched.exactOptional().describe('As `proxy_ping_interval` of `cluster_networking_config`.'),
  client_idle_timeout: untouched.exactOptional().describe('As `client_idle_timeout` of `cluster_networking_config`.'),
  client_idle_timeout_message: untouched
    .exactOptional()
    .describe('As `client_idle_timeout_message` of `cluster_networking_config`.'),
  web_idle_timeout: untouched.exactOptional().describe('As `web_idle_timeout` of `cluster_networking_config`.'),
  disconnect_expired_cert: untouched
    .exactOptional()
    .describe('As `disconnect_expired_cert` of `cluster_auth_preference`.'),
  keep_alive_interval: untouched.exactOptional().describe('As `keep_alive_interval` of `cluster_networking_config`.'),
  keep_alive_count_max: untouched.exactOptional().describe('As `keep_alive_count_max` of `cluster_networking_config`.'),
  session_control_timeout: untouched
    .exactOptional()
    .describe('As `session_control_timeout` of `cluster_networking_config`.'),
  message_of_the_day: untouched.exactOptional().describe('As `message_of_the_day` of `cluster_auth_preference`.'),
  ...unused(unusedKeys.auth_service),
})

/** What the Auth Service gets; the same shape as its own `AuthConfig`. */
export interface AuthSettings {
  readonly clusterName?: string
  readonly listen: Address
  readonly publicAddrs: readonly string[]
  readonly tokens: readonly string[]
  readonly proxyPublicAddr?: string
  /** `spec` of the settings that the file owns; a kind that the file does not mention is left out. */
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly storagePath?: string
  readonly lockout?: LockoutSettings
}

type AuthSection = z.output<typeof authSection>

/** Keys of the file beside the fields of the resource that they fill: `[where in the file, field of spec]`. */
type Mapping = readonly (readonly [path: string, field: string])[]

const authentication: Mapping = [
  ['authentication.type', 'type'],
  ['authentication.local_auth', 'allow_local_auth'],
  ['authentication.connector_name', 'connector_name'],
  ['authentication.second_factors', 'second_factors'],
  ['authentication.second_factor', 'second_factor'],
  ['authentication.passwordless', 'allow_passwordless'],
  ['authentication.headless', 'allow_headless'],
  ['authentication.require_session_mfa', 'require_session_mfa'],
  ['authentication.default_session_ttl', 'default_session_ttl'],
  ['authentication.locking_mode', 'locking_mode'],
  ['authentication.webauthn', 'webauthn'],
  ['authentication.u2f', 'u2f'],
  ['authentication.device_trust', 'device_trust'],
  ['authentication.hardware_key', 'hardware_key'],
  ['authentication.piv_slot', 'piv_slot'],
  ['authentication.signature_algorithm_suite', 'signature_algorithm_suite'],
  ['authentication.stable_unix_user_config', 'stable_unix_user_config'],
  ['disconnect_expired_cert', 'disconnect_expired_cert'],
  ['message_of_the_day', 'message_of_the_day'],
]
const sameNames = (...names: readonly string[]): Mapping => names.map((name) => [name, name] as const)
const networking = sameNames(
  'client_idle_timeout',
  'client_idle_timeout_message',
  'web_idle_timeout',
  'keep_alive_interval',
  'keep_alive_count_max',
  'session_control_timeout',
  'proxy_listener_mode',
  'proxy_ping_interval',
)
const recording: Mapping = [
  ['session_recording', 'mode'],
  ['proxy_checks_host_keys', 'proxy_checks_host_keys'],
]

/** Warns where the newer of two keys wins. */
export function authWarnings({ authentication: section }: AuthSection): readonly string[] {
  return section?.second_factors !== undefined && section.second_factor !== undefined
    ? ['auth_service.authentication.second_factor is ignored because second_factors is set']
    : []
}

/** @throws by way of `refuse` */
export function authSettings(section: AuthSection, storagePath: string | undefined, refuse: Refuse): AuthSettings {
  const name = section.cluster_name
  section.tokens?.forEach((token, index) => {
    // The text may be nothing but a secret: enough of it to find the line, and no more.
    if (!/^[^:]+:.+$/.test(token) && !token.startsWith('/')) {
      refuse(
        ['auth_service', 'tokens', index],
        `invalid static token spec: ${JSON.stringify(`${token.slice(0, 4)}…`)}`,
        'write "ROLE1,ROLE2:TOKEN"',
      )
    }
  })
  const settings = {
    cluster_auth_preference: specOf(section, authentication, (spec) => parseAuthPreference({ spec }), refuse),
    cluster_networking_config: specOf(section, networking, (spec) => parseNetworkingConfig({ spec }), refuse),
    session_recording_config: specOf(section, recording, (spec) => parseRecordingConfig({ spec }), refuse),
  }
  const { cluster_auth_preference: preference } = settings
  if (preference?.second_factors !== undefined) delete preference.second_factor
  return {
    ...(name === undefined || name === '' ? {} : { clusterName: clusterName(name, refuse) }),
    listen: addressOf(section.listen_addr ?? '0.0.0.0', ['auth_service', 'listen_addr'], defaultPorts.auth, refuse),
    publicAddrs: section.public_addr ?? [],
    tokens: section.tokens ?? [],
    settings: Object.fromEntries(
      Object.entries(settings).flatMap(([kind, spec]) => (spec === undefined ? [] : [[kind, spec] as const])),
    ),
    ...(storagePath === undefined ? {} : { storagePath }),
    ...(section.authentication?.lockout === undefined ? {} : { lockout: lockoutOf(section.authentication.lockout) }),
  }
}

function lockoutOf({
  attempts,
  window,
  lock,
}: NonNullable<NonNullable<AuthSection['authentication']>['lockout']>): LockoutSettings {
  return { attempts, windowMs: durationMs(window), lockMs: durationMs(lock) }
}

/** It becomes part of certificates and of server names. */
function clusterName(name: unknown, refuse: Refuse): string {
  const path = ['auth_service', 'cluster_name']
  if (typeof name !== 'string') return refuse(path, 'expected a text', 'put the name in quotes')
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(name) || name.length > 120) {
    return refuse(
      path,
      `${JSON.stringify(name.slice(0, 130))} cannot be the name of a cluster`,
      'use a DNS name of at most 120 characters, such as "teleport.example.com"',
    )
  }
  return name
}

/** The fields of one resource that the file sets, as its kind stores them; an error is reported at the file's own key. */
function specOf(
  section: AuthSection,
  mapping: Mapping,
  parse: (spec: object) => { readonly spec: object },
  refuse: Refuse,
): Record<string, unknown> | undefined {
  const written = mapping.flatMap(([path, field]) => {
    const value = path
      .split('.')
      .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], section) // keys of the schema above
    return value === undefined ? [] : [[field, value] as const]
  })
  if (written.length === 0) return undefined
  try {
    const parsed: Record<string, unknown> = { ...parse(Object.fromEntries(written)).spec }
    return Object.fromEntries(written.map(([field]) => [field, parsed[field]]))
  } catch (error) {
    if (!(error instanceof InvalidResource)) throw error
    const [, field = '', rest = ''] = /^spec\.(\w+)(.*)$/.exec(error.field) ?? []
    const [path = field] = mapping.find(([, name]) => name === field) ?? []
    return refuse(['auth_service', ...path.split('.'), ...rest.split('.').filter(Boolean)], error.problem)
  }
}
