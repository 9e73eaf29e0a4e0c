import { partitionOfArn, partitionText } from '#aws/partition.ts'
import type { Refusal } from './admit.ts'
import type { AwsRequest } from './aws-request.ts'

/**
 * Why a request cannot be made with the role: it goes to another partition, where the role's keys are unknown. AWS would
 * say that the token is invalid, which sends people looking for the wrong thing.
 */
export function refuseOtherPartition({ endpoint }: Pick<AwsRequest, 'endpoint'>, roleArn: string): Refusal | undefined {
  const partition = partitionOfArn(roleArn)
  if (partition === undefined || endpoint.partition === partition) return undefined
  return {
    allowed: false,
    code: 'denied',
    reason: 'aws-partition',
    message: `${endpoint.host} is a host of AWS partition ${partitionText(endpoint.partition)}, and your role is of ${partitionText(partition)}`,
    hint: `set the region of your program, as in AWS_REGION, to one of ${partitionText(partition)}, or sign in to an app of ${endpoint.partition}`,
  }
}
