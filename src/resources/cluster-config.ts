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
  type: oneOf('local', 'github', 'oidc', 'saml')
    .default('local')
    .describe('How people log in unless they say otherwise.'),
  connector_name: text.exactOptional().describe('Connector that is used unless another is named.'),
  second_factors: z
    .array(oneOf('otp', 'webauthn', 'sso'))
    .exactOptional()
    .describe('Second factors that count. An empty list or leaving it out falls back to `second_factor`.'),
  second_factor: oneOf('off', 'otp', 'webauthn', 'on', 'optional')
    .exactOptional()
    .describe('Older spelling of `second_factors`.'),
  webauthn: strict({
    rp_id: text.exactOptional().describe('Domain to which security keys are bound.'),
    attestation_allowed_cas: texts.exactOptional().describe('Makers whose security keys are taken.'),
    attestation_denied_cas: texts.exactOptional().describe('Makers whose security keys are refused.'),
    disabled: flag.exactOptional().describe('Security keys are not used.'),
  })
    .exactOptional()
    .describe('Settings of security keys. Checked, and not acted on yet.'),
  u2f: untouched.exactOptional(),
  require_session_mfa: sessionMfa
    .exactOptional()
    .describe('Whether opening an app needs a second factor, for everyone.'),
  disconnect_expired_cert: flag
    .exactOptional()
    .describe('Checked, and not acted on: what an agent serves always ends with its certificate.'),
  allow_local_auth: flag.default(true).describe('Whether users with a password may log in.'),
  allow_passwordless: flag
    .exactOptional()
    .describe('Whether a security key alone is enough. Checked, and not acted on yet.'),
  allow_headless: flag
    .exactOptional()
    .describe('Whether another device may approve a login. Checked, and not acted on yet.'),
  allow_browser: flag
    .exactOptional()
    .describe('Whether logging in may go through a browser. Checked, and not acted on yet.'),
  locking_mode: lockingMode
    .default('best_effort')
    .describe(
      'Whether locks still bind when they cannot be read: `strict` refuses everything, `best_effort` goes on with the last known ones.',
    ),
  message_of_the_day: text.exactOptional().describe('For people who log in: clients are told.'),
  device_trust: untouched.exactOptional(),
  default_session_ttl: duration()
    .default('12h0m0s')
    .describe('How long a login lasts unless it asks for less; roles can shorten it.'),
  idp: untouched.exactOptional(),
  okta: untouched.exactOptional(),
  hardware_key: untouched.exactOptional(),
  piv_slot: text.exactOptional().describe('Slot of hardware keys. Checked, and not acted on yet.'),
  signature_algorithm_suite: oneOf('legacy', 'balanced-v1', 'fips-v1', 'hsm-v1')
    .exactOptional()
    .describe('Which kinds of keys are made. Checked, and not acted on yet.'),
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
    client_idle_timeout: duration({ never: true })
      .default('0s')
      .describe('How long a connection may be idle; `never` or 0 for ever. Checked, and not acted on yet.'),
    client_idle_timeout_message: text
      .exactOptional()
      .describe('Said when an idle connection is ended. Checked, and not acted on yet.'),
    web_idle_timeout: duration({ never: true })
      .exactOptional()
      .describe('How long a browser session may be idle. Checked, and not acted on yet.'),
    keep_alive_interval: duration()
      .default('5m0s')
      .describe('How often a quiet connection is probed. Checked, and not acted on yet.'),
    keep_alive_count_max: whole(0, 1_000_000)
      .default(3)
      .describe('How many probes may go unanswered. Checked, and not acted on yet.'),
    session_control_timeout: duration()
      .default('2m0s')
      .describe('How long a session outlives its control connection. Checked, and not acted on yet.'),
    proxy_listener_mode: z
      .union([oneOf('separate', 'multiplex'), whole(0, 1)])
      .exactOptional()
      .describe('Kept for older documents: one port serves everything here.'),
    proxy_ping_interval: duration()
      .exactOptional()
      .describe('How often clients probe the proxy. Checked, and not acted on yet.'),
    tunnel_strategy: untouched.exactOptional(),
    routing_strategy: z
      .union([oneOf('unambiguous_match', 'most_recent'), whole(0, 1)])
      .exactOptional()
      .describe('Which server is meant where several fit. Checked, and not acted on yet.'),
    case_insensitive_routing: flag
      .exactOptional()
      .describe('Whether host names match in any case. Checked, and not acted on yet.'),
    assist_command_execution_workers: whole(0, 1_000_000)
      .exactOptional()
      .describe('Kept for older documents; nothing is done.'),
    ssh_dial_timeout: duration().exactOptional().describe('Kept for older documents; nothing is done.'),
  }),
})

/** Takes whether interactive sessions are recorded, and where. @throws {InvalidResource} */
export const parseRecordingConfig = resourceParser({
  kind: 'session_recording_config',
  versions: ['v2'],
  singletonName: 'session-recording-config',
  spec: strict({
    mode: oneOf('node', 'node-sync', 'proxy', 'proxy-sync', 'off')
      .default('node')
      .describe('Whether interactive sessions are recorded, and where. Checked, and not acted on yet.'),
    proxy_checks_host_keys: flag
      .default(true)
      .describe('Whether host keys are checked where the proxy records. Checked, and not acted on yet.'),
  }),
})
