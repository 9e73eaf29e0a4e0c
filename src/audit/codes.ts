import { randomUUID } from 'node:crypto'
import type { Clock } from '#clock.ts'
import type { AuditEvent } from './event.ts'

/**
 * Codes of an event type. A type without `failure` has one code for all outcomes.
 * Names and codes are those that customers' rules key on, the irregular ones included.
 */
interface EventCodes {
  readonly success: string
  readonly failure?: string
}

const access = {
  'user.login': { success: 'T1000I', failure: 'T1000W' },
  auth: { success: 'T3007W' },
  'cert.create': { success: 'TC000I' },
  'cert.generation_mismatch': { success: 'TCB00W' },
  'session.rejected': { success: 'T1006W' },
  'client.disconnect': { success: 'T3006I' },
  'app.session.start': { success: 'T2007I', failure: 'T2007E' },
  'app.session.chunk': { success: 'T2008I' },
  'app.session.request': { success: 'T2009I' },
  'app.session.end': { success: 'T2011I' },
  'app.session.dynamodb.request': { success: 'T2013I' },
  'app.session.target.dial.denied': { success: 'T2019E' },
  'kube.request': { success: 'T3009I' },
  exec: { success: 'T3002I', failure: 'T3002E' },
  'session.start': { success: 'T2000I' },
  'session.end': { success: 'T2004I' },
  'session.recording.access': { success: 'T2012I' },
  'spiffe.svid.issued': { success: 'TSPIFFE000I', failure: 'TSPIFFE000E' },
} as const satisfies Record<string, EventCodes>

const users = {
  'user.create': { success: 'T1002I' },
  'user.update': { success: 'T1003I' },
  'user.delete': { success: 'T1004I' },
  'user.password_change': { success: 'T1005I' },
  'mfa.add': { success: 'T1006I' },
  'mfa.delete': { success: 'T1007I' },
  'recovery_code.generated': { success: 'T1008I' },
  'recovery_code.used': { success: 'T1009I', failure: 'T1009W' },
  'mfa_auth_challenge.create': { success: 'T1015I' },
  'mfa_auth_challenge.validate': { success: 'T1016I', failure: 'T1016W' },
  'reset_password_token.create': { success: 'T6000I' },
  'recovery_token.create': { success: 'T6001I' },
  'privilege_token.create': { success: 'T6002I' },
} as const satisfies Record<string, EventCodes>

const machines = {
  'join_token.create': { success: 'TJT00I' },
  'instance.join': { success: 'TJ002I', failure: 'TJ002E' },
  'bot.join': { success: 'TJ001I', failure: 'TJ001E' },
  'bot.create': { success: 'TB001I' },
  'bot.update': { success: 'TB002I' },
  'bot.delete': { success: 'TB003I' },
  'trusted_cluster.create': { success: 'T7000I' },
  'trusted_cluster.delete': { success: 'T7001I' },
  'trusted_cluster_token.create': { success: 'T7002I' },
} as const satisfies Record<string, EventCodes>

const resources = {
  'role.created': { success: 'T9000I' },
  'role.deleted': { success: 'T9001I' },
  'role.updated': { success: 'T9002I' },
  'lock.created': { success: 'TLK00I' },
  'lock.deleted': { success: 'TLK01I' },
  'app.create': { success: 'TAP03I' },
  'app.update': { success: 'TAP04I' },
  'app.delete': { success: 'TAP05I' },
  'kube.create': { success: 'T3010I' },
  'kube.update': { success: 'T3011I' },
  'kube.delete': { success: 'T3012I' },
  'github.created': { success: 'T8000I' },
  'github.deleted': { success: 'T8001I' },
  'github.updated': { success: 'T80002I' },
  'oidc.created': { success: 'T8100I' },
  'oidc.deleted': { success: 'T8101I' },
  'oidc.updated': { success: 'T8102I' },
  'saml.created': { success: 'T8200I' },
  'saml.deleted': { success: 'T8201I' },
  'saml.updated': { success: 'T8202I' },
  'login_rule.create': { success: 'TLR00I' },
  'login_rule.delete': { success: 'TLR01I' },
  'auth_preference.update': { success: 'TCAUTH001I' },
  'cluster_networking_config.update': { success: 'TCNET002I' },
  'session_recording_config.update': { success: 'TCREC003I' },
  'spiffe.federation.create': { success: 'TSPIFFE001I' },
  'spiffe.federation.delete': { success: 'TSPIFFE002I' },
  'workload_identity.create': { success: 'WID001I' },
  'workload_identity.update': { success: 'WID002I' },
  'workload_identity.delete': { success: 'WID003I' },
  'workload_identity_x509_revocation.create': { success: 'WID004I' },
  'workload_identity_x509_revocation.update': { success: 'WID005I' },
  'workload_identity_x509_revocation.delete': { success: 'WID006I' },
  'workload_identity_x509_issuer_override.create': { success: 'WID007I' },
  'workload_identity_x509_issuer_override.delete': { success: 'WID008I' },
  'sigstore_policy.create': { success: 'TSSP001I' },
  'sigstore_policy.update': { success: 'TSSP002I' },
  'sigstore_policy.delete': { success: 'TSSP003I' },
  'integration.create': { success: 'IG001I' },
  'integration.update': { success: 'IG002I' },
  'integration.delete': { success: 'IG003I' },
  'discovery_config.create': { success: 'DC001I' },
  'discovery_config.update': { success: 'DC002I' },
  'discovery_config.delete': { success: 'DC003I' },
  'discovery_config.delete_all': { success: 'DC004I' },
  'plugin.create': { success: 'PG001I' },
  'plugin.update': { success: 'PG002I' },
  'plugin.delete': { success: 'PG003I' },
  'user_task.create': { success: 'UT001I' },
  'user_task.update': { success: 'UT002I' },
  'user_task.delete': { success: 'UT003I' },
} as const satisfies Record<string, EventCodes>

const requestsAndLists = {
  'access_request.create': { success: 'T5000I' },
  'access_request.update': { success: 'T5001I' },
  'access_request.review': { success: 'T5002I' },
  'access_request.delete': { success: 'T5003I' },
  'access_request.search': { success: 'T5004I' },
  'access_request.expire': { success: 'T5005I' },
  'access_list.create': { success: 'TAL001I', failure: 'TAL001E' },
  'access_list.update': { success: 'TAL002I', failure: 'TAL002E' },
  'access_list.delete': { success: 'TAL003I', failure: 'TAL003E' },
  'access_list.review': { success: 'TAL004I', failure: 'TAL004E' },
  'access_list.member.create': { success: 'TAL005I', failure: 'TAL005E' },
  'access_list.member.update': { success: 'TAL006I', failure: 'TAL006E' },
  'access_list.member.delete': { success: 'TAL007I', failure: 'TAL007E' },
  'access_list.member.delete_all_members': { success: 'TAL008I', failure: 'TAL008E' },
  'user_login.invalid_access_list': { success: 'TAL009W' },
} as const satisfies Record<string, EventCodes>

/** Ours alone: what the log says about itself. */
const own = {
  'audit.spool.full': { success: 'TAS001W' },
  'audit.spool.refused': { success: 'TAS002W' },
} as const satisfies Record<string, EventCodes>

/** Every event type with its codes. */
export const eventCodes = { ...access, ...users, ...machines, ...resources, ...requestsAndLists, ...own }

export type AuditEventType = keyof typeof eventCodes

export interface AuditEventContext {
  readonly clock: Clock
  readonly cluster: string
}

/**
 * Makes an event: time, uid and code are filled in. `success: false` in `fields` chooses the code of a failure,
 * a `method` other than `local` the codes of single sign-on for `user.login`, and a `code` in `fields` wins over both.
 *
 * @example auditEvent('user.login', { user: 'alice', method: 'local', success: true }, { clock, cluster: 'example.com' })
 */
export function auditEvent(
  type: AuditEventType,
  fields: Readonly<Record<string, unknown>>,
  { clock, cluster }: AuditEventContext,
): AuditEvent {
  return {
    event: type,
    code: codeOf(type, fields),
    time: clock().toISOString(),
    uid: randomUUID(),
    ei: 0,
    cluster_name: cluster,
    ...fields,
  }
}

function codeOf(type: AuditEventType, fields: Readonly<Record<string, unknown>>): string {
  const codes: EventCodes = eventCodes[type]
  const code = fields.success === false ? (codes.failure ?? codes.success) : codes.success
  const isSingleSignOn = type === 'user.login' && fields.method !== undefined && fields.method !== 'local'
  return isSingleSignOn ? code.replace('T1000', 'T1001') : code
}

/** Whether `value` has the shape of an event: what everything that reads events from outside checks first. */
export function isAuditEvent(value: unknown): value is AuditEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { event, code, time, uid, ei, cluster_name: cluster } = value as Record<string, unknown> // each is checked
  const texts = [event, code, uid, cluster].every((text) => typeof text === 'string')
  return texts && event !== '' && uid !== '' && typeof ei === 'number' && isInstant(time)
}

/** RFC 3339 in UTC with milliseconds, the one form that sorts as text and that the log keeps. */
function isInstant(time: unknown): boolean {
  if (typeof time !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(time)) return false
  return !Number.isNaN(Date.parse(time))
}
