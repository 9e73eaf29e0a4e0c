import { z } from 'zod'
import { type lockingMode, sessionMfa } from './cluster-config.ts'
import { duration, flag, oneOf, strict, text, untouched, whole } from './schema.ts'

/** Options of a role that bind here. */
const options = {
  max_session_ttl: duration()
    .exactOptional()
    .describe('How long a login lasts at most; of several roles the shortest counts. `30h0m0s` where no role says.'),
  client_idle_timeout: duration({ never: true })
    .exactOptional()
    .describe('How long a connection may be idle. Checked, and not acted on yet.'),
  disconnect_expired_cert: flag
    .exactOptional()
    .describe('Checked, and not acted on: what an agent serves always ends with its certificate.'),
  require_session_mfa: sessionMfa.exactOptional().describe('Whether opening an app needs a second factor.'),
  mfa_verification_interval: duration()
    .exactOptional()
    .describe('How long a second factor counts. Checked, and not acted on yet.'),
  device_trust_mode: oneOf('', 'off', 'optional', 'required', 'required-for-humans')
    .exactOptional()
    .describe('Whether a registered device is needed; `required` refuses, because no device can be registered here.'),
  lock: z
    .enum(['', 'best_effort', 'strict'], {
      error: (issue) => `invalid value for role option lock: ${String(issue.input).slice(0, 80)}`,
    })
    .transform((mode): z.output<typeof lockingMode> | '' => mode)
    .exactOptional()
    .describe('As `locking_mode` of the cluster, for the holders of the role.'),
  pin_source_ip: flag
    .exactOptional()
    .describe('Certificates count only from the address that they were issued to. Checked, and not acted on yet.'),
  request_access: oneOf('', 'optional', 'always', 'reason')
    .exactOptional()
    .describe('Whether logging in asks for access. Checked, and not acted on yet.'),
  request_prompt: text
    .exactOptional()
    .describe('What a person is asked when access must be given a reason. Checked, and not acted on yet.'),
  max_kubernetes_connections: whole(0, Number.MAX_SAFE_INTEGER)
    .exactOptional()
    .describe('Kubernetes sessions at one time. Checked, and not acted on yet.'),
  record_session: untouched.exactOptional(),
  enhanced_recording: z
    .array(
      z.enum(['command', 'disk', 'network'], {
        error: (issue) => `invalid value for role option enhanced_recording: ${String(issue.input).slice(0, 80)}`,
      }),
    )
    .exactOptional()
    .describe('What a recorded session keeps beside its output. Checked, and not acted on yet.'),
  cert_format: oneOf('standard', 'oldssh', '')
    .exactOptional()
    .describe('Kind of SSH certificate. Checked, and not acted on yet.'),
  idp: untouched.exactOptional(),
}

/** Options of the reference that concern SSH, databases and desktops: kept as they are, and they do nothing. */
export const unusedOptions = [
  'cert_extensions',
  'create_db_user',
  'create_db_user_mode',
  'create_desktop_user',
  'create_host_user',
  'create_host_user_default_shell',
  'create_host_user_mode',
  'desktop_clipboard',
  'desktop_directory_sharing',
  'forward_agent',
  'max_connections',
  'max_sessions',
  'permit_x11_forwarding',
  'port_forwarding',
  'ssh_file_copy',
  'ssh_port_forwarding',
] as const

/** `spec.options` of a role. */
export const roleOptions = strict({
  ...options,
  ...(Object.fromEntries(unusedOptions.map((name) => [name, untouched.exactOptional()])) as Record<
    (typeof unusedOptions)[number],
    z.ZodExactOptional<typeof untouched>
  >), // the very names of the list
})

export type RoleOptions = z.output<typeof roleOptions>
