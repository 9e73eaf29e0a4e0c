/** Amazon EC2, what one reads and a few changes of state. @see Amazon EC2 API Reference */
import { randomUUID } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import { type Answer, type AwsService, callerOf } from './call.ts'
import { type Ec2Operation, mayOrRefuse } from './ec2-call.ts'
import { ec2DescribeOperations } from './ec2-describe.ts'
import type { Ec2Network } from './ec2-network.ts'
import { ec2StateOperations } from './ec2-state.ts'
import { parametersOf } from './query-service.ts'
import { writeXml } from './xml.ts'

const operations: Readonly<Record<string, Ec2Operation>> = { ...ec2DescribeOperations, ...ec2StateOperations }
const namespace = 'http://ec2.amazonaws.com/doc/2016-11-15/'

/** The service; `networkOf` gives what an account has in a region. */
export function ec2(networkOf: (accountId: string, region: string) => Ec2Network): AwsService {
  return {
    name: 'ec2',
    protocol: 'ec2',
    wording: 'ec2',
    allowedSkewMs: 5 * 60_000,
    operationOf: (request, _endpoint, body) => {
      const action = parametersOf(request.query, body).get('Action') ?? ''
      return Object.hasOwn(operations, action) ? action : undefined
    },
    handle(call): Answer {
      const operation = operations[call.operation]
      if (!operation) throw new Error(`no code for ${call.operation}`)
      const { principal } = callerOf(call)
      const parameters = parametersOf(call.request.query, call.body)
      if (parameters.get('Version') !== '2016-11-15') {
        throw new AwsError(
          'NoSuchVersion',
          400,
          `The requested version (${parameters.get('Version')}) of service AmazonEC2 does not exist.`,
        )
      }
      const ec2Call = { network: networkOf(principal.account.id, call.endpoint.region), parameters, call }
      for (const resource of operation.resources?.(ec2Call) ?? ['*']) mayOrRefuse(ec2Call, resource)
      if (parameters.get('DryRun') === 'true') {
        throw new AwsError('DryRunOperation', 412, 'Request would have succeeded, but DryRun flag is set.')
      }
      const document = { requestId: randomUUID(), ...operation.run(ec2Call) }
      const headers = { 'content-type': 'text/xml;charset=UTF-8' }
      return { status: 200, headers, body: writeXml(`${call.operation}Response`, document, namespace) }
    },
  }
}
