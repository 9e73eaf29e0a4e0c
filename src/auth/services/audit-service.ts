import { timestampDate } from '@bufbuild/protobuf/wkt'
import type { ServiceImpl } from '@connectrpc/connect'
import { type AuditEventType, eventCodes, isAuditEvent } from '#audit/codes.ts'
import type { AuditEvent } from '#audit/event.ts'
import { type AuditQuery, defaultPage, maxPage } from '#audit/log.ts'
import type { AuthParts } from '#auth/parts.ts'
import { LimitExceeded } from '#errors.ts'
import type { AuditService, SearchRequest } from '#gen/access/v1/access_pb.ts'
import type { HostIdentity, SystemRole } from '#identity/identity.ts'

const MAX_EVENTS = 1000
/** Room for the rest of the message below the limit of 4 MiB. */
const MAX_ANSWER_BYTES = 3 * 1024 * 1024

/** Members trim their events to 64 KiB; room for what the cluster adds. */
const MAX_EVENT_BYTES = 128 * 1024
/** How far the clock of a member may be ahead: one that is further trusts no server certificate of ours. */
const MAX_AHEAD_MS = 24 * 3_600_000

const ofEveryMember: readonly AuditEventType[] = [
  'auth',
  'session.rejected',
  'client.disconnect',
  'audit.spool.full',
  'audit.spool.refused',
]
/** What each system role may report; anything else it could only have made up. */
const reportedBy: Readonly<Partial<Record<SystemRole, readonly AuditEventType[]>>> = {
  App: [
    ...ofEveryMember,
    'app.session.start',
    'app.session.chunk',
    'app.session.request',
    'app.session.end',
    'app.session.dynamodb.request',
    'app.session.target.dial.denied',
  ],
  Kube: [...ofEveryMember, 'kube.request', 'exec', 'session.start', 'session.end'],
  Proxy: ofEveryMember,
}

/** Takes events from members, once each, and answers searches of who may read the log. */
export function auditService({
  auditLog,
  access,
  clusterName,
  clock,
}: Pick<AuthParts, 'auditLog' | 'access' | 'clusterName' | 'clock'>): ServiceImpl<typeof AuditService> {
  return {
    async emit({ eventsJson }, context) {
      const { identity } = await access.member(context, 'App', 'Kube', 'Proxy')
      if (eventsJson.length > MAX_EVENTS) {
        throw new LimitExceeded(`more than ${MAX_EVENTS} events at once`, { hint: 'send fewer at a time' })
      }
      const refused: Record<string, string> = {}
      const accepted: AuditEvent[] = []
      for (const [index, json] of eventsJson.entries()) {
        const outcome = acceptEvent(json, identity, { clusterName, now: clock() })
        if ('event' in outcome) accepted.push(outcome.event)
        else refused[outcome.uid ?? `#${index}`] = outcome.reason
      }
      if (accepted.length > 0) await auditLog.append(accepted)
      return { refused }
    },
    async search(request, context) {
      const who = await access.identify(context)
      access.authorize(who, 'list', 'event')
      access.authorize(who, 'read', 'event')
      let limit = request.limit > 0 ? Math.min(request.limit, maxPage) : defaultPage
      for (;;) {
        const page = await auditLog.search({ ...queryOf(request), limit })
        const eventsJson = page.events.map((event) => JSON.stringify(event))
        const bytes = eventsJson.reduce((sum, json) => sum + Buffer.byteLength(json), 0)
        if (bytes <= MAX_ANSWER_BYTES || limit === 1) return { eventsJson, next: page.next ?? '' }
        limit = Math.max(1, Math.floor(limit / 2))
      }
    },
  }
}

type Outcome = { readonly event: AuditEvent } | { readonly uid: string | undefined; readonly reason: string }

/**
 * Checks one event of a member, and says whose it is whatever it says itself. One that is dated ahead, and would stand
 * before all others for as long, gets the present time.
 */
export function acceptEvent(
  json: string,
  sender: HostIdentity,
  { clusterName, now }: { readonly clusterName: string; readonly now: Date },
): Outcome {
  if (Buffer.byteLength(json) > MAX_EVENT_BYTES) return { uid: undefined, reason: 'larger than any event' }
  const event = parse(json)
  if (!isAuditEvent(event)) return { uid: uidOf(event), reason: 'not an event: a field of the envelope is missing' }
  const { uid } = event
  if (!/^[\w.:-]{1,128}$/.test(uid)) return { uid: undefined, reason: 'the uid is not one' }
  const type = Object.hasOwn(eventCodes, event.event) ? (event.event as AuditEventType) : undefined // looked up just now
  if (!type || !sender.roles.some((role) => reportedBy[role]?.includes(type))) {
    return { uid, reason: `a member with the role ${sender.roles.join(', ')} does not report "${event.event}"` }
  }
  const codes: { success: string; failure?: string } = eventCodes[type]
  if (event.code !== codes.success && event.code !== codes.failure) {
    return { uid, reason: `the code "${event.code}" does not belong to "${type}"` }
  }
  const isAhead = Date.parse(event.time) > now.getTime() + MAX_AHEAD_MS
  const dated = isAhead ? { ...event, time: now.toISOString(), time_reported: event.time } : event
  return {
    event: { ...dated, cluster_name: clusterName, server_id: sender.hostId, server_hostname: sender.nodeName },
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function uidOf(value: unknown): string | undefined {
  const isMap = typeof value === 'object' && value !== null
  return isMap && 'uid' in value && typeof value.uid === 'string' ? value.uid : undefined
}

function queryOf({ from, to, types, user, descending, after, text }: SearchRequest): AuditQuery {
  return {
    ...(from && { from: timestampDate(from) }),
    ...(to && { to: timestampDate(to) }),
    ...(types.length > 0 && { types }),
    ...(user !== '' && { user }),
    ...(text !== '' && { text }),
    ...(after !== '' && { after }),
    descending,
  }
}
