/** One EC2 request: whose network it is about, and how EC2 says no. */
import { AwsError } from './aws-error.ts'
import { type Call, callerOf, deniedText, mustBeAllowed, questionOf } from './call.ts'
import type { Ec2Network } from './ec2-network.ts'
import type { Parameters } from './query-service.ts'
import type { XmlValue } from './xml.ts'

/** What an operation gets: the caller's network in the region of the host. */
export interface Ec2Call {
  readonly network: Ec2Network
  readonly parameters: Parameters
  readonly call: Call
}

/** One operation. Who may not do it on all of `resources` may not do it at all. */
export interface Ec2Operation {
  /** ARNs that it acts on; `*` for what describes. */
  readonly resources?: (ec2: Ec2Call) => readonly string[]
  readonly run: (ec2: Ec2Call) => Readonly<Record<string, XmlValue>>
}

/** Asks whether the caller may do the operation on a resource; tags of an instance are there for conditions. */
export function mayOrRefuse({ call, network }: Ec2Call, resource: string): void {
  const tags = network.instances.get(resource.split('/').at(-1) ?? '')?.tags ?? {}
  const context = Object.fromEntries(Object.entries(tags).map(([key, value]) => [`aws:ResourceTag/${key}`, value]))
  const question = questionOf(call, `ec2:${call.operation}`, resource, context)
  mustBeAllowed(call, question, (because) => {
    const text = deniedText(callerOf(call).principal, question, because)
    return unauthorized(text.replace(' on resource: * ', ' '))
  })
}

/** The refusal of EC2. */
export function unauthorized(text: string): AwsError {
  return new AwsError('UnauthorizedOperation', 403, `You are not authorized to perform this operation. ${text}`)
}
