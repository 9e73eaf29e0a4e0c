/** The settings of a cluster: three resources of which each cluster has one. */
import { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { duration, flag, oneOf, parseSwitch, strict, text, texts, untouched, whole } from './schema.ts'

/** `require_session_mfa` is a switch that has grown words. */
export const sessionMfa = z.preprocess(
  (value) => {
    const parsed = parseSwitch(value)
    return parsed === undefined ? value : parsed ? 'yes' : 'no'
  },
  oneOf('no', 'yes', 'hardware_key', 'hardware_key_touch', 'hardware_key_pin', 'hardware_key_touch_and_pin'),
)

/** Whether locks still bind when they cannot be read: `strict` refuses everything, `best_effort` goes on with the last known ones. */
export const lockingMode = oneOf('best_effort', 'strict')

const authPreference = strict({
  type: oneOf('local', 'github', 'oidc', 'saml').default('local'),
  connector_name: text.exactOptional(),
  second_factors: z.array(oneOf('otp', 'webauthn', 'sso')).exactOptional(),
  second_factor: oneOf('off', 'otp', 'webauthn', 'on', 'optional').exactOptional(),
  webauthn: strict({
    rp_id: text.exactOptional(),
    attestation_allowed_cas: texts.exactOptional(),
    attestation_denied_cas: texts.exactOptional(),
    disabled: flag.exactOptional(),
  }).exactOptional(),
  u2f: untouched.exactOptional(),
  require_session_mfa: sessionMfa.exactOptional(),
  disconnect_expired_cert: flag.exactOptional(),
  allow_local_auth: flag.default(true),
  allow_passwordless: flag.exactOptional(),
  allow_headless: flag.exactOptional(),
  allow_browser: flag.exactOptional(),
  locking_mode: lockingMode.default('best_effort'),
  message_of_the_day: text.exactOptional(),
  device_trust: untouched.exactOptional(),
  default_session_ttl: duration().default('12h0m0s'),
  idp: untouched.exactOptional(),
  okta: untouched.exactOptional(),
  hardware_key: untouched.exactOptional(),
  piv_slot: text.exactOptional(),
  signature_algorithm_suite: oneOf('legacy', 'balanced-v1', 'fips-v1', 'hsm-v1').exactOptional(),
  stable_unix_user_config: untouched.exactOptional(),
})

/** Takes who may log in and how. @throws {InvalidResource} */
export const parseAuthPreference = resourceParser({
  kind: 'cluster_auth_preference',
  versions: ['v2'],
  singletonName: 'cluster-auth-preference',
  spec: authPreference,
})
export type AuthPreference = ReturnType<typeof parseAuthPreference>

/** Takes the timers of connections. @throws {InvalidResource} */
export const parseNetworkingConfig = resourceParser({
  kind: 'cluster_networking_config',
  versions: ['v2'],
  singletonName: 'cluster-networking-config',
  spec: strict({
    client_idle_timeout: duration({ never: true }).default('0s'),
    client_idle_timeout_message: text.exactOptional(),
    web_idle_timeout: duration({ never: true }).exactOptional(),
    keep_alive_interval: duration().default('5m0s'),
    keep_alive_count_max: whole(0, 1_000_000).default(3),
    session_control_timeout: duration().default('2m0s'),
    proxy_listener_mode: z.union([oneOf('separate', 'multiplex'), whole(0, 1)]).exactOptional(),
    proxy_ping_interval: duration().exactOptional(),
    tunnel_strategy: untouched.exactOptional(),
    routing_strategy: z.union([oneOf('unambiguous_match', 'most_recent'), whole(0, 1)]).exactOptional(),
    case_insensitive_routing: flag.exactOptional(),
    assist_command_execution_workers: whole(0, 1_000_000).exactOptional(),
    ssh_dial_timeout: duration().exactOptional(),
  }),
})

/** Takes whether interactive sessions are recorded, and where. @throws {InvalidResource} */
export const parseRecordingConfig = resourceParser({
  kind: 'session_recording_config',
  versions: ['v2'],
  singletonName: 'session-recording-config',
  spec: strict({
    mode: oneOf('node', 'node-sync', 'proxy', 'proxy-sync', 'off').default('node'),
    proxy_checks_host_keys: flag.default(true),
  }),
})
