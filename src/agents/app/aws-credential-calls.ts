/** Calls whose answers are AWS credentials. Credentials that leave the agent are used without record and without lock. */

import type { AwsOperation } from '#aws/operation.ts'
import { headerValues, isS3 } from '#aws/sigv4.ts'
import type { Refusal } from './admit.ts'
import type { AwsRequest } from './aws-request.ts'

/** All that a user may ask of STS beside a role; what is not known here may hand out credentials. */
const HARMLESS: ReadonlySet<string> = new Set(['GetCallerIdentity', 'DecodeAuthorizationMessage', 'GetAccessKeyInfo'])

/**
 * Operations of other services that answer with AWS credentials, by the names of their API references. Service names are
 * not looked at: one that is renamed must not open what was closed.
 */
const GIVE_CREDENTIALS: ReadonlySet<string> = new Set([
  'CreateSession', // S3 Express, IAM Roles Anywhere
  'GetAccessToken', // Systems Manager, just-in-time node access
  'GetCredentialsForIdentity', // Cognito
  'GetJobDetails', // CodePipeline, with the next two
  'GetThirdPartyJobDetails',
  'PollForJobs',
  'RequestUploadCredentials', // GameLift
])

/** The same of services whose operation is a path. */
const CREDENTIAL_PATHS: readonly RegExp[] = [
  /^\/v20180820\/accessgrantsinstance\/dataaccess\/?$/i, // S3 Control, GetDataAccess
  /^\/(GetTemporary[A-Za-z]*Credentials|AssumeDecoratedRoleWithSAML)\/?$/i, // Lake Formation
  /^\/clusters\/[^/]+\/assume-role-for-pod-identity\/?$/i, // EKS Auth
  /^\/v2\/domains\/[^/]+\/environments\/[^/]+\/credentials\/?$/i, // DataZone
  /^\/credentials\/programmatic\/?$/i, // FinSpace
  /^\/2023-10-12\/farms\/.+\/(user|read|fleet|queue|iam)-roles\/?$/i, // Deadline Cloud
]

/** Whether the request asks for exactly one thing, another role: its answer gets placeholders. */
export function isAssumeRole(request: AwsRequest, body: Buffer | undefined): boolean {
  const actions = mayAskForCredentials(request) ? actionsOf(request, body) : []
  return actions.length === 1 && actions[0] === 'AssumeRole'
}

/** Whether the whole body has to be looked at before it is known what the request asks for. */
export function mayAskForCredentials({ scope, endpoint }: AwsRequest): boolean {
  return scope.service === 'sts' || endpoint.service === 'sts'
}

/**
 * Why the request may not be made. Every `Action`, in query and body, has to be harmless: which of two AWS follows is
 * not ours to guess. For a role see `isAssumeRole`.
 */
export function refuseCredentialCall(
  request: AwsRequest,
  body: Buffer | undefined,
  operation: AwsOperation,
): Refusal | undefined {
  if (!mayAskForCredentials(request)) return refuseElsewhere(request, operation)
  if (!isPlainQuery(request, body)) return refusal('this call to STS')
  if (isAssumeRole(request, body)) return undefined
  const actions = actionsOf(request, body)
  if (actions.length > 0 && actions.every((action) => HARMLESS.has(action))) return undefined
  const named = actions.find((action) => !HARMLESS.has(action))
  return refusal(named !== undefined && /^[A-Za-z]{1,64}$/.test(named) ? `sts:${named}` : 'this call to STS')
}

function refuseElsewhere(request: AwsRequest, { service, operation, mayBe = [] }: AwsOperation): Refusal | undefined {
  const isByName = [operation, ...mayBe].some((name) => GIVE_CREDENTIALS.has(name))
  const isByPath = CREDENTIAL_PATHS.some((pattern) => pattern.test(plainPath(request.path)))
  // An object of S3 may have any path; S3 Control has no objects.
  const isObject = isS3(request.scope.service) && request.endpoint.service !== 's3-control'
  if (!isByName && (!isByPath || isObject)) return undefined
  return refusal(GIVE_CREDENTIALS.has(operation) ? `${service}:${operation}` : `this call to ${service}`)
}

const refusal = (what: string): Refusal => ({
  allowed: false,
  code: 'denied',
  reason: 'credentials-stay-at-agent',
  message: `${what} is not available through this app: the credentials in its answer would leave the agent, where no lock stops them`,
  hint: 'ask for the role in allow.aws_role_arns and choose it with "tsh apps login --aws-role"',
})

/**
 * Is it in the one form of the query protocol that we read as AWS does? Another charset, a form of several parts, another
 * protocol beside it, or another spelling could hide an action.
 *
 * @see Smithy "AWS query protocol"
 */
function isPlainQuery({ headers, query }: AwsRequest, body: Buffer | undefined): boolean {
  if (['x-amz-target', 'smithy-protocol'].some((name) => headerValues(headers, name).length > 0)) return false
  const types = headerValues(headers, 'content-type')
  if (types.length > 1) return false
  if (body !== undefined && !types.every((type) => FORM.test(type))) return false
  if (body !== undefined && types.length === 0) return false
  return [query, body?.toString('utf8') ?? ''].every(
    (text) => !text.includes(';') && [...new URLSearchParams(text).keys()].every(isPlainField),
  )
}

const FORM = /^application\/x-www-form-urlencoded(;\s*charset="?utf-8"?)?$/i

const isPlainField = (name: string): boolean =>
  /^[A-Za-z0-9._-]{0,128}$/.test(name) && (name === 'Action' || name.toLowerCase() !== 'action')

function actionsOf({ query }: AwsRequest, body: Buffer | undefined): readonly string[] {
  return [query, body?.toString('utf8') ?? ''].flatMap((text) => new URLSearchParams(text).getAll('Action'))
}

/** Escapes resolved once, slashes joined. */
function plainPath(path: string): string {
  try {
    return decodeURIComponent(path).replace(/\/+/g, '/')
  } catch {
    return path.replace(/\/+/g, '/')
  }
}
