/** The audit events of AWS app sessions: what each call was, who made it and how it came out. */
import { type AuditEventType, auditEvent } from '#audit/codes.ts'
import type { AuditEvent } from '#audit/event.ts'
import type { AwsOperation } from '#aws/operation.ts'
import type { Clock } from '#clock.ts'
import type { App } from '#resources/app.ts'
import type { AwsRequest } from './aws-request.ts'
import type { AppCall } from './server.ts'

/** What every event of one agent has. */
export interface EventSource {
  readonly cluster: string
  readonly hostId: string
  readonly clock: Clock
}

/** Fields of `app.session.request` that are known before the call is made. */
export interface CallFacts {
  readonly app: App | undefined
  readonly aws: AwsRequest | undefined
  readonly operation: AwsOperation | undefined
  readonly chunkId?: string
  /** Role that the session has assumed beside the one of its certificate. */
  readonly assumedRole?: string
}

/** How a call came out. */
export interface CallOutcome {
  readonly decision: 'allowed' | 'denied'
  /** Why not: one word, such as `locked`. */
  readonly reason?: string
  /** For people who read the log; never holds a secret. */
  readonly message?: string
  readonly status_code?: number
  readonly request_bytes?: number
  readonly response_bytes?: number
  readonly duration_ms?: number
  /** Id by which AWS knows the request. */
  readonly aws_request_id?: string
  /** Only where the call did not come to its end: `cut`, `client-gone`, `failed`. */
  readonly outcome?: string
}

/** `app.session.chunk`: a piece of at most five minutes of a session begins. */
export function chunkEvent(call: AppCall, app: App, source: EventSource, chunkId: string): AuditEvent {
  return make('app.session.chunk', { ...actor(call), ...appFields(app, source), session_chunk_id: chunkId }, source)
}

/** `app.session.request`: one call to AWS, made or refused. */
export function requestEvent(
  call: AppCall,
  { app, aws, operation, chunkId, assumedRole }: CallFacts,
  outcome: CallOutcome,
  source: EventSource,
): AuditEvent {
  const { request, identity, requestId } = call
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  return make(
    'app.session.request',
    {
      ...actor(call),
      ...(app === undefined ? {} : appFields(app, source)),
      ...(chunkId === undefined ? {} : { session_chunk_id: chunkId }),
      request_id: requestId,
      method: request.method ?? '',
      path,
      raw_query: redactQuery(aws?.query ?? query),
      ...(identity.routeToApp?.awsRoleArn === undefined ? {} : { aws_role_arn: identity.routeToApp.awsRoleArn }),
      ...(aws === undefined
        ? {}
        : { aws_region: aws.scope.region, aws_service: aws.scope.service, aws_host: aws.endpoint.host }),
      ...(operation === undefined ? {} : { aws_operation: `${operation.service}:${operation.operation}` }),
      ...(operation?.resource === undefined ? {} : { aws_resource: operation.resource }),
      ...(assumedRole === undefined ? {} : { aws_assumed_role: assumedRole }),
      ...outcome,
    },
    source,
  )
}

function make(type: AuditEventType, fields: Record<string, unknown>, { clock, cluster }: EventSource): AuditEvent {
  return auditEvent(type, fields, { clock, cluster })
}

function actor({ identity, clientAddress }: AppCall): Record<string, unknown> {
  const { name, roles, cluster, routeToApp, impersonator, botName, botInstanceId, accessRequests } = identity
  return {
    user: name,
    user_kind: botName === undefined ? 1 : 2,
    user_cluster_name: cluster,
    user_roles: roles,
    ...(impersonator === undefined ? {} : { impersonator }),
    ...(botName === undefined ? {} : { bot_name: botName }),
    ...(botInstanceId === undefined ? {} : { bot_instance_id: botInstanceId }),
    ...(accessRequests.length === 0 ? {} : { access_requests: accessRequests }),
    ...(routeToApp === undefined ? {} : { sid: routeToApp.sessionId, app_name: routeToApp.name }),
    'addr.remote': clientAddress,
  }
}

function appFields({ metadata, spec }: App, { hostId }: EventSource): Record<string, unknown> {
  return {
    namespace: 'default',
    server_id: hostId,
    app_name: metadata.name,
    app_uri: spec.uri,
    ...(spec.public_addr === undefined ? {} : { app_public_addr: spec.public_addr }),
  }
}

/** Values of fields that hold secrets by their name are left out of the log. */
export function redactQuery(query: string): string {
  return query.replace(/(^|&)([^=&]*)=([^&]*)/g, (whole: string, before: string, name: string) =>
    SECRET.test(decode(name)) ? `${before}${name}=[redacted]` : whole,
  )
}

const SECRET = /token|secret|password|signature|credential|private|saml|assertion|mfacode|authcode/i

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
