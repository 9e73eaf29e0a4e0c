/** S3 operations on buckets themselves. */

import { authorize } from './authorize.ts'
import { AwsError } from './aws-error.ts'
import { callerOf, questionOf } from './call.ts'
import { accessDenied, openBucket, type S3Operation, xmlAnswer } from './s3-call.ts'
import { readDocument } from './s3-document.ts'
import { childText } from './xml.ts'

/** ListBuckets, CreateBucket, DeleteBucket, HeadBucket, GetBucketLocation, GetBucketVersioning. */
export const bucketOperations: Readonly<Record<string, S3Operation>> = {
  ListBuckets({ call, store, query }) {
    if (!call.caller) throw accessDenied('Access Denied')
    const { principal } = callerOf(call)
    const action = 's3:ListAllMyBuckets'
    const answer = authorize(principal, questionOf(call, action, `arn:${principal.account.partition}:s3:::*`))
    if (!answer.allowed)
      throw accessDenied(`User: ${principal.arn} is not authorized to perform: ${action} ${answer.because}`)
    const after = query.get('continuation-token') ?? ''
    const limit = Number(query.get('max-buckets') ?? 10_000)
    const region = query.get('bucket-region')
    const all = store
      .bucketsOf(principal.account)
      .filter(({ name }) => name > after && name.startsWith(query.get('prefix') ?? ''))
      .filter((bucket) => region === undefined || bucket.region === region)
    const page = all.slice(0, limit)
    return xmlAnswer('ListAllMyBucketsResult', {
      Owner: { ID: principal.account.id },
      Buckets: {
        Bucket: page.map(({ name, createdAt, region: BucketRegion }) => ({
          Name: name,
          CreationDate: createdAt,
          BucketRegion,
        })),
      },
      ContinuationToken: all.length > page.length ? page.at(-1)?.name : undefined,
    })
  },

  async CreateBucket(s3) {
    const { call, store, bucket } = s3
    if (!call.caller) throw accessDenied('Access Denied')
    const { principal } = callerOf(call)
    const question = questionOf(call, 's3:CreateBucket', `arn:${principal.account.partition}:s3:::${bucket}`)
    const answer = authorize(principal, question)
    if (!answer.allowed) {
      throw accessDenied(
        `User: ${principal.arn} is not authorized to perform: s3:CreateBucket on resource: "${question.resource}" ${answer.because}`,
      )
    }
    const document = await readDocument(s3)
    const constraint = document && childText(document, 'LocationConstraint')
    const region = constraint ?? 'us-east-1'
    if (region !== call.endpoint.region && !(call.endpoint.global && call.endpoint.partition === 'aws')) {
      throw constraint === undefined
        ? new AwsError(
            'IllegalLocationConstraintException',
            400,
            'The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.',
          )
        : new AwsError(
            'IllegalLocationConstraintException',
            400,
            `The ${constraint} location constraint is incompatible for the region specific endpoint this request was sent to.`,
          )
    }
    store.createBucket(bucket, { region, account: principal.account, now: call.now })
    return { status: 200, headers: { location: `/${bucket}` } }
  },

  DeleteBucket(s3) {
    s3.store.deleteBucket(openBucket(s3, 's3:DeleteBucket'))
    return { status: 204 }
  },

  HeadBucket(s3) {
    const { region } = openBucket(s3, 's3:ListBucket')
    return { status: 200, headers: { 'x-amz-bucket-region': region, 'content-type': 'application/xml' } }
  },

  GetBucketLocation(s3) {
    const { region } = openBucket(s3, 's3:GetBucketLocation')
    return xmlAnswer('LocationConstraint', region === 'us-east-1' ? '' : region)
  },

  GetBucketVersioning(s3) {
    openBucket(s3, 's3:GetBucketVersioning')
    return xmlAnswer('VersioningConfiguration', undefined)
  },
}
