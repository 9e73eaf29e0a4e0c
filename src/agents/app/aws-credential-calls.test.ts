import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { forwarding } from '#aws/forwarding.ts'
import { refuseCredentialCall } from './aws-credential-calls.ts'
import { operationOf } from './aws-operation.ts'
import { parseAwsRequest } from './aws-request.ts'

/** A request as the local proxy sends it on. */
function request(service: string, method: string, url: string, headers: readonly string[]) {
  const signature = `AWS4-HMAC-SHA256 Credential=PLACEHOLDER/20300101/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`
  const rawHeaders = [
    ...[forwarding.host, `${service}.us-east-1.amazonaws.com`],
    ...[forwarding.payloadHash, '0'.repeat(64)],
    ...[forwarding.payloadMode, 'whole'],
    ...['Authorization', signature],
    ...headers,
  ]
  return parseAwsRequest({ method, url, rawHeaders })
}

suite('calls whose answers are credentials', () => {
  for (const [says, service, method, url, headers, isRefused] of [
    ['by target', 'codepipeline', 'POST', '/', ['X-Amz-Target', 'C.PollForJobs'], true],
    ['with an Action beside it', 'codepipeline', 'POST', '/?Action=ListX', ['X-Amz-Target', 'C.PollForJobs'], true],
    ['with two targets', 'codepipeline', 'POST', '/', ['X-Amz-Target', 'C.A', 'x-amz-target', 'C.PollForJobs'], true],
    ['by path', 'rolesanywhere', 'POST', '/sessions', [], true],
    ['another call', 'codepipeline', 'POST', '/', ['X-Amz-Target', 'C.ListPipelines'], false],
  ] as const) {
    test(`${says}: ${isRefused ? 'refused' : 'let through'}`, async () => {
      const aws = request(service, method, url, headers)
      const refusal = refuseCredentialCall(aws, undefined, await operationOf(aws, undefined, undefined))
      assert.equal(refusal?.reason, isRefused ? 'credentials-stay-at-agent' : undefined)
    })
  }
})
