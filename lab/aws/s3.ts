/** Amazon S3. @see Amazon S3 API Reference */
import type { AwsService } from './call.ts'
import { parseAddress, s3OperationOf } from './s3-address.ts'
import { bucketOperations } from './s3-buckets.ts'
import type { S3Operation } from './s3-call.ts'
import { listingOperations } from './s3-listing.ts'
import { multipartOperations } from './s3-multipart.ts'
import { objectOperations } from './s3-objects.ts'
import type { S3Store } from './s3-store.ts'

const operations: Readonly<Record<string, S3Operation>> = {
  ...bucketOperations,
  ...listingOperations,
  ...objectOperations,
  ...multipartOperations,
}

/** The service over a store. */
export function s3(store: S3Store): AwsService {
  return {
    name: 's3',
    protocol: 'rest-xml',
    wording: 's3',
    allowedSkewMs: 15 * 60_000,
    streams: true,
    operationOf: (request, endpoint) => s3OperationOf(request, endpoint),
    handle(call) {
      const operation = operations[call.operation]
      if (!operation) throw new Error(`no code for ${call.operation}`)
      return operation({ ...parseAddress(call.request, call.endpoint), call, store })
    },
  }
}
