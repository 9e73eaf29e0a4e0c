/** One S3 request on its way: what it is about, whose bucket that is, and whether the caller may. */
import { authorize } from './authorize.ts'
import { AwsError } from './aws-error.ts'
import { type Answer, type Call, callerOf, questionOf } from './call.ts'
import type { S3Address } from './s3-address.ts'
import type { Bucket, S3Store } from './s3-store.ts'
import { writeXml, type XmlValue } from './xml.ts'

/** One S3 request: the call, what it is about and where things are. */
export interface S3Call extends S3Address {
  readonly call: Call
  readonly store: S3Store
}

/** One operation, which asks for permission itself: it alone knows for what. */
export type S3Operation = (s3: S3Call) => Promise<Answer> | Answer

const s3Namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

/**
 * The bucket of a request that may do `action` there, on `key` where one is given. `anywhere`: in a region that is not
 * the one that was asked, as the source of a copy may be.
 *
 * @throws {AwsError} NoSuchBucket, PermanentRedirect, AuthorizationHeaderMalformed, AccessDenied
 */
export function openBucket(s3: S3Call, action: string, key?: string, where: 'here' | 'anywhere' = 'here'): Bucket {
  const bucket = s3.store.findBucket(s3.bucket)
  if (!bucket) {
    throw new AwsError('NoSuchBucket', 404, 'The specified bucket does not exist', {
      fields: { BucketName: s3.bucket },
    })
  }
  if (where === 'here') checkRegion(s3, bucket)
  const refusal = refusalFor(s3, bucket, action, key)
  if (refusal) throw refusal
  return bucket
}

/** Why the caller may not do `action`, or `undefined` when they may. */
export function refusalFor(s3: S3Call, bucket: Bucket, action: string, key?: string): AwsError | undefined {
  const { call, query } = s3
  if (!call.caller) return accessDenied('Access Denied')
  const { principal } = callerOf(call)
  const resource = `arn:${bucket.account.partition}:s3:::${bucket.name}${key === undefined ? '' : `/${key}`}`
  const question = questionOf(call, action, resource, {
    's3:prefix': query.get('prefix'),
    's3:delimiter': query.get('delimiter'),
    's3:max-keys': query.get('max-keys'),
    's3:x-amz-content-sha256': call.headers['x-amz-content-sha256']?.toString(),
  })
  const answer = authorize(principal, question)
  // No bucket of the lab has a policy, so that nobody of another account gets in.
  const because =
    principal.account === bucket.account
      ? answer.allowed
        ? undefined
        : answer.because
      : `because no resource-based policy allows the ${action} action`
  if (because === undefined) return undefined
  return accessDenied(
    `User: ${principal.arn} is not authorized to perform: ${action} on resource: "${resource}" ${because}`,
  )
}

/** The refusal of S3. */
export const accessDenied = (message: string): AwsError => new AwsError('AccessDenied', 403, message)

/** A 200 with a document. */
export function xmlAnswer(name: string, value: XmlValue): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: writeXml(name, value, s3Namespace) }
}

function checkRegion({ call }: S3Call, bucket: Bucket): void {
  const { endpoint } = call
  const asked = endpoint.global ? (call.caller?.signature.claim.region ?? bucket.region) : endpoint.region
  if (asked === bucket.region) return
  const headers = { 'x-amz-bucket-region': bucket.region }
  if (endpoint.global) {
    throw new AwsError(
      'AuthorizationHeaderMalformed',
      400,
      `The authorization header is malformed; the region '${asked}' is wrong; expecting '${bucket.region}'`,
      {
        fields: { Region: bucket.region },
        headers,
      },
    )
  }
  const suffix = endpoint.partition === 'aws-cn' ? 'amazonaws.com.cn' : 'amazonaws.com'
  throw new AwsError(
    'PermanentRedirect',
    301,
    'The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.',
    {
      fields: { Endpoint: `${bucket.name}.s3.${bucket.region}.${suffix}`, Bucket: bucket.name },
      headers,
    },
  )
}
