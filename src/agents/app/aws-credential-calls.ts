/** Calls whose answers are AWS credentials. Credentials that leave the agent are used without record and without lock. */

import type { Refusal } from './admit.ts'
import type { AwsRequest } from './aws-request.ts'

/** All that a user may ask of STS; what is not known here may hand out credentials. */
const HARMLESS: ReadonlySet<string> = new Set(['GetCallerIdentity', 'DecodeAuthorizationMessage', 'GetAccessKeyInfo'])

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
 * not ours to guess.
 */
export function refuseCredentialCall(request: AwsRequest, body: Buffer | undefined): Refusal | undefined {
  if (!mayAskForCredentials(request)) return undefined
  const actions = actionsOf(request, body)
  if (actions.length > 0 && actions.every((action) => HARMLESS.has(action))) return undefined
  const named = actions.find((action) => !HARMLESS.has(action))
  const action = named !== undefined && /^[A-Za-z]{1,64}$/.test(named) ? `sts:${named}` : 'this call to STS'
  return {
    allowed: false,
    code: 'denied',
    reason: 'credentials-stay-at-agent',
    message: `${action} is not available through this app: the credentials in its answer would leave the agent, where no lock stops them`,
    hint: 'ask for the role in allow.aws_role_arns and choose it with "tsh apps login --aws-role"',
  }
}

function actionsOf({ query }: AwsRequest, body: Buffer | undefined): readonly string[] {
  return [query, body?.toString('utf8') ?? ''].flatMap((text) => new URLSearchParams(text).getAll('Action'))
}
