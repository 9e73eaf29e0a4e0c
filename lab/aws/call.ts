/** One request on its way through the lab, and what a service gives back. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { type Authorization, authorize } from './authorize.ts'
import { AwsError } from './aws-error.ts'
import type { AccessKey } from './credentials.ts'
import type { Endpoint } from './endpoint.ts'
import type { Protocol } from './error-document.ts'
import type { Question } from './policy.ts'
import { contextOf, type Principal } from './principal.ts'
import type { VerifiedSignature, WireRequest } from './signature.ts'
import type { Wording } from './signature-problem.ts'

/** What every service sees of a request. Unsigned calls have no caller. */
export interface Call {
  readonly endpoint: Endpoint
  readonly operation: string
  readonly request: WireRequest
  readonly headers: IncomingHttpHeaders
  readonly caller: Caller | undefined
  readonly now: Date
  readonly sourceIp: string
  /** The whole body of services that do not stream; empty in those that do. */
  readonly body: Buffer
  /** The body as it arrives, for services that stream. Asking for it lets a waiting client go on. */
  readonly openBody: () => Readable
}

/** Who signed, and with what. */
export interface Caller {
  readonly key: AccessKey
  readonly principal: Principal
  readonly signature: VerifiedSignature
}

/** A whole answer. A `HEAD` request gets everything of it but the body. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | Readable
}

/** A service of the lab. */
export interface AwsService {
  /** As in host names and scopes: `s3`. */
  readonly name: string
  readonly protocol: Protocol
  readonly wording: Wording
  readonly allowedSkewMs: number
  /** Namespace of its error documents, where the protocol has one. */
  readonly namespace?: string
  readonly streams?: boolean
  /** The operation that a request asks for; `undefined` when there is none of this form. */
  operationOf(request: WireRequest, endpoint: Endpoint, body: Buffer): string | undefined
  /** Operations that need no signature. */
  readonly unsigned?: readonly string[]
  handle(call: Call): Promise<Answer> | Answer
}

/** @throws {AwsError} when nobody signed */
export function callerOf(call: Call): Caller {
  if (!call.caller) throw new AwsError('MissingAuthenticationToken', 403, 'Request is missing Authentication Token')
  return call.caller
}

/** The question that this call asks of policies. `more` are condition keys of the operation. */
export function questionOf(
  call: Call,
  action: string,
  resource: string,
  more: Readonly<Record<string, string | readonly string[] | undefined>> = {},
): Question {
  const facts = {
    now: call.now,
    region: call.endpoint.region,
    sourceIp: call.sourceIp,
    userAgent: call.headers['user-agent'],
  }
  return { action, resource, context: contextOf(callerOf(call).principal, facts, more) }
}

/** Asks the caller's policies. `denied` words the refusal as the service does. */
export function mustBeAllowed(call: Call, question: Question, denied: (because: string) => AwsError): void {
  const answer: Authorization = authorize(callerOf(call).principal, question)
  if (!answer.allowed) throw denied(answer.because)
}

/**
 * Handing a role to a service is a permission of its own.
 *
 * @see IAM User Guide, "Grant a user permissions to pass a role to an AWS service"
 */
export function mustBePassable(call: Call, roleArn: string, denied: (message: string) => AwsError): void {
  const { partition } = call.endpoint
  const service = partition === 'aws-cn' ? 'ec2.amazonaws.com.cn' : 'ec2.amazonaws.com'
  const question = questionOf(call, 'iam:PassRole', roleArn, { 'iam:PassedToService': service })
  const { principal } = callerOf(call)
  mustBeAllowed(call, question, (because) => denied(deniedText(principal, question, because)))
}

/** `User: ARN is not authorized to perform: ACTION on resource: RESOURCE because …` */
export function deniedText(principal: Principal, { action, resource }: Question, because: string): string {
  return `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resource} ${because}`
}
