import { type AwsOperation, decodeOperation } from '#aws/operation.ts'
import type { AwsRequest } from './aws-request.ts'

/**
 * What the request asks for.
 *
 * @param form its body, where it was read
 * @param account of the role that it is made as
 */
export function operationOf(
  aws: AwsRequest,
  form: Buffer | undefined,
  account: string | undefined,
): Promise<AwsOperation> {
  return decodeOperation({
    service: aws.scope.service,
    region: aws.scope.region,
    host: aws.endpoint.host,
    method: aws.method,
    path: aws.path,
    query: aws.query,
    headers: aws.headers,
    ...(form === undefined ? {} : { body: form }),
    ...(account === undefined ? {} : { account }),
  })
}
