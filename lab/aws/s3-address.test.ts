import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AwsError } from './aws-error.ts'
import { findEndpoint } from './endpoint.ts'
import { s3OperationOf } from './s3-address.ts'

const operation = (
  method: string,
  target: string,
  { host = 's3.us-east-1.amazonaws.com', headers = {} } = {},
): string | undefined => {
  const [path = '', query = ''] = target.split('?')
  const endpoint = findEndpoint(host)
  assert.ok(endpoint)
  return s3OperationOf({ method, path, query, headers: Object.entries<string>(headers) }, endpoint)
}

suite('what an S3 request asks for', () => {
  const virtual = { host: 'b.s3.us-east-1.amazonaws.com' }
  const copy = { headers: { 'x-amz-copy-source': '/b/k' } }
  const rows: readonly (readonly [answer: string | undefined, method: string, target: string, options?: object])[] = [
    ['ListBuckets', 'GET', '/'],
    ['ListObjects', 'GET', '/b'],
    ['ListObjects', 'GET', '/', virtual],
    ['ListObjectsV2', 'GET', '/b/?list-type=2'],
    ['ListMultipartUploads', 'GET', '/b?uploads'],
    ['GetBucketLocation', 'GET', '/b?location'],
    ['CreateBucket', 'PUT', '/b'],
    ['DeleteObjects', 'POST', '/b?delete'],
    ['GetObject', 'GET', '/b/k'],
    ['GetObject', 'GET', '/k', virtual],
    ['ListParts', 'GET', '/b/k?uploadId=1'],
    ['PutObject', 'PUT', '/b/k'],
    ['CopyObject', 'PUT', '/b/k', copy],
    ['UploadPart', 'PUT', '/b/k?partNumber=1&uploadId=1'],
    ['CreateMultipartUpload', 'POST', '/b/k?uploads'],
    ['CompleteMultipartUpload', 'POST', '/b/k?uploadId=1'],
    ['AbortMultipartUpload', 'DELETE', '/b/k?uploadId=1'],
    [undefined, 'PUT', '/b/k?partNumber=1&uploadId=1', copy],
    [undefined, 'GET', '/b/k?acl'],
    [undefined, 'PUT', '/b?policy'],
    [undefined, 'DELETE', '/b?lifecycle'],
    [undefined, 'PATCH', '/b/k'],
    [undefined, 'POST', '/'],
  ]
  for (const [answer, method, target, options] of rows) {
    test(`${method} ${target}${options ? ` with ${JSON.stringify(options)}` : ''} is ${answer ?? 'not known'}`, () =>
      assert.equal(operation(method, target, options), answer))
  }
  test('is told or refused, whatever comes', () => {
    fc.assert(
      fc.property(fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'), fc.string(), (method, target) => {
        try {
          operation(method, target)
        } catch (error) {
          assert.ok(error instanceof AwsError)
        }
      }),
    )
  })
})
