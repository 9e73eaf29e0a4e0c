import { z } from 'zod'
import { type lockingMode, sessionMfa } from './cluster-config.ts'
import { duration, flag, oneOf, strict, text, untouched, whole } from './schema.ts'

/** Options of a role that bind here. */
const options = {
  max_session_ttl: duration().exactOptional(),
  client_idle_timeout: duration({ never: true }).exactOptional(),
  disconnect_expired_cert: flag.exactOptional(),
  require_session_mfa: sessionMfa.exactOptional(),
  mfa_verification_interval: duration().exactOptional(),
  device_trust_mode: oneOf('', 'off', 'optional', 'required', 'required-for-humans').exactOptional(),
  lock: z
    .enum(['', 'best_effort', 'strict'], {
      error: (issue) => `invalid value for role option lock: ${String(issue.input).slice(0, 80)}`,
    })
    .transform((mode): z.output<typeof lockingMode> | '' => mode)
    .exactOptional(),
  pin_source_ip: flag.exactOptional(),
  request_access: oneOf('', 'optional', 'always', 'reason').exactOptional(),
  request_prompt: text.exactOptional(),
  max_kubernetes_connections: whole(0, Number.MAX_SAFE_INTEGER).exactOptional(),
  record_session: untouched.exactOptional(),
  enhanced_recording: z
    .array(
      z.enum(['command', 'disk', 'network'], {
        error: (issue) => `invalid value for role option enhanced_recording: ${String(issue.input).slice(0, 80)}`,
      }),
    )
    .exactOptional(),
  cert_format: oneOf('standard', 'oldssh', '').exactOptional(),
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
