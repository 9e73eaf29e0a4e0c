/** Services of the query protocol: a form with an `Action`, an XML answer. */
import { randomUUID } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import type { Answer, AwsService, Call } from './call.ts'
import { parseForm } from './percent.ts'
import { writeXml, type XmlValue } from './xml.ts'

/** Parameters of a call, decoded. */
export type Parameters = ReadonlyMap<string, string>

/** One operation: gives what stands in `<ActionResult>`, or `undefined` where there is no result. */
export type QueryOperation = (call: Call, parameters: Parameters) => XmlValue

/** What a service is made from. */
export interface QueryServiceSettings {
  readonly name: string
  /** `2011-06-15`; other versions are refused. */
  readonly version: string
  readonly namespace: string
  readonly unsigned?: readonly string[]
  readonly operations: Readonly<Record<string, QueryOperation>>
}

/** A service that answers `<ActionResponse><ActionResult>…` under its namespace. */
export function queryService({ name, version, namespace, unsigned, operations }: QueryServiceSettings): AwsService {
  return {
    name,
    protocol: 'query',
    wording: 'query',
    allowedSkewMs: 5 * 60_000,
    namespace,
    ...(unsigned === undefined ? {} : { unsigned }),
    operationOf: (request, _endpoint, body) => {
      const action = parametersOf(request.query, body).get('Action') ?? ''
      return Object.hasOwn(operations, action) ? action : undefined
    },
    handle(call): Answer {
      const parameters = parametersOf(call.request.query, call.body)
      const asked = parameters.get('Version')
      if (asked !== version) {
        const message = `Could not find operation ${call.operation} for version ${asked ?? 'NO_VERSION_SPECIFIED'}`
        throw new AwsError('InvalidAction', 400, message)
      }
      const result = operations[call.operation]?.(call, parameters)
      const document = { [`${call.operation}Result`]: result, ResponseMetadata: { RequestId: randomUUID() } }
      return {
        status: 200,
        headers: { 'content-type': 'text/xml' },
        body: writeXml(`${call.operation}Response`, document, namespace),
      }
    },
  }
}

/** Query and form together, as the protocol reads them. */
export function parametersOf(query: string, body: Buffer): Parameters {
  return new Map([...parseForm(query), ...parseForm(body.toString('utf8'))])
}

/** A required parameter. @throws {AwsError} ValidationError */
export function required(parameters: Parameters, name: string): string {
  const value = parameters.get(name)
  if (value !== undefined && value !== '') return value
  const field = name.charAt(0).toLowerCase() + name.slice(1)
  throw validation(
    `1 validation error detected: Value null at '${field}' failed to satisfy constraint: Member must not be null`,
  )
}

/** `list(p, 'Tags.member')` gives the members `Tags.member.1.*` as maps of their fields; a plain value is field ``. */
export function list(parameters: Parameters, prefix: string): readonly ReadonlyMap<string, string>[] {
  const members: Map<string, string>[] = []
  for (let index = 1; ; index++) {
    const start = `${prefix}.${index}`
    const member = new Map<string, string>()
    for (const [name, value] of parameters) {
      if (name === start) member.set('', value)
      else if (name.startsWith(`${start}.`)) member.set(name.slice(start.length + 1), value)
    }
    if (member.size === 0) return members
    members.push(member)
  }
}

/** The refusal of a parameter. */
export const validation = (message: string): AwsError => new AwsError('ValidationError', 400, message)
