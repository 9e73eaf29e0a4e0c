/** Services of the JSON protocols: `X-Amz-Target` names the operation, bodies are objects. @see Smithy, "AWS JSON 1.0/1.1 protocol" */
import { AwsError } from './aws-error.ts'
import { type Answer, type AwsService, type Call, callerOf, deniedText, mustBeAllowed, questionOf } from './call.ts'
import { headerValues } from './signature.ts'

/** A JSON object as it came or goes. */
export type JsonObject = Readonly<Record<string, unknown>>

/** One call: its input, and who made it. */
export interface JsonCall {
  readonly input: JsonObject
  readonly call: Call
  readonly accountId: string
}

interface JsonOperation {
  /** ARN that it acts on; `*` where it lists. */
  readonly resource: (json: JsonCall) => string
  readonly run: (json: JsonCall) => JsonObject
}

/** What a service is made from. */
export interface JsonServiceSettings {
  readonly name: string
  /** What stands before the dot in `X-Amz-Target`: `DynamoDB_20120810`. */
  readonly target: string
  readonly version: '1.0' | '1.1'
  /** Namespace of its errors: `com.amazonaws.dynamodb.v20120810`. */
  readonly namespace: string
  readonly operations: Readonly<Record<string, JsonOperation>>
}

/** A service that takes and gives JSON. */
export function jsonService({ name, target, version, namespace, operations }: JsonServiceSettings): AwsService {
  return {
    name,
    protocol: 'json',
    wording: 'json',
    allowedSkewMs: 5 * 60_000,
    namespace,
    operationOf(request) {
      const [header = ''] = headerValues(request, 'x-amz-target')
      const operation = header.startsWith(`${target}.`) ? header.slice(target.length + 1) : ''
      return request.method === 'POST' && Object.hasOwn(operations, operation) ? operation : undefined
    },
    handle(call): Answer {
      const operation = operations[call.operation]
      if (!operation) throw new Error(`no code for ${call.operation}`)
      const { principal } = callerOf(call)
      const json = { input: parseObject(call.body), call, accountId: principal.account.id }
      const question = questionOf(call, `${name}:${call.operation}`, operation.resource(json))
      mustBeAllowed(
        call,
        question,
        (because) => new AwsError('AccessDeniedException', 400, deniedText(principal, question, because)),
      )
      const headers = { 'content-type': `application/x-amz-json-${version}` }
      return { status: 200, headers, body: JSON.stringify(operation.run(json)) }
    },
  }
}

/** A required text. @throws {AwsError} ValidationException */
export function textField(input: JsonObject, name: string): string {
  const value = input[name]
  if (typeof value === 'string' && value !== '') return value
  throw new AwsError(
    'ValidationException',
    400,
    `1 validation error detected: Value null at '${name.charAt(0).toLowerCase()}${name.slice(1)}' failed to satisfy constraint: Member must not be null`,
  )
}

/** An object among the fields. @throws {AwsError} ValidationException */
export function objectField(input: JsonObject, name: string): JsonObject {
  const value = input[name]
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new AwsError('ValidationException', 400, `${name} must be an object`)
}

function parseObject(body: Buffer): JsonObject {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {
    // Falls through to the one refusal.
  }
  throw new AwsError('SerializationException', 400, 'The body is not a JSON object')
}
