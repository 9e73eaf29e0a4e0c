import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type AwsProtocol, awsErrorDocument, protocolOf } from './error-document.ts'
import { headerValues } from './sigv4.ts'

suite('refusals as AWS would say them', () => {
  const details = { code: 'AccessDenied', message: 'access to <b> is denied: é', requestId: 'r-1' }
  for (const [protocol, contentType, pattern] of [
    [
      's3',
      'application/xml',
      /<Error><Code>AccessDenied<\/Code><Message>access to &#60;b&#62; is denied: é<\/Message>/,
    ],
    ['query', 'application/xml', /<ErrorResponse><Error><Type>Sender<\/Type><Code>AccessDenied/],
    ['rest-xml', 'application/xml', /<ErrorResponse>/],
    ['ec2', 'application/xml', /<Response><Errors><Error><Code>AccessDenied.*<RequestID>r-1/],
    ['json-1.0', 'application/x-amz-json-1.0', /"__type":"AccessDenied","message":"access to <b> is denied: é"/],
    ['json-1.1', 'application/x-amz-json-1.1', /"__type":"AccessDenied"/],
    ['rest-json', 'application/json', /"__type":"AccessDenied"/],
    ['cbor', 'application/cbor', /^\ufffdf__typelAccessDenied/],
  ] as const satisfies readonly (readonly [AwsProtocol, string, RegExp])[]) {
    test(`for ${protocol}`, () => {
      const document = awsErrorDocument({ protocol, ...details })
      assert.equal(document.contentType, contentType)
      assert.match(document.body.toString(), pattern)
      assert.deepEqual(headerValues(document.headers, 'content-length'), [String(document.body.length)])
      const [reason = ''] = headerValues(document.headers, 'x-teleport-api-error')
      assert.equal(decodeURIComponent(reason), details.message)
    })
  }
})

suite('the protocol that a client speaks', () => {
  for (const [service, headers, query, protocol] of [
    ['s3', [], '', 's3'],
    ['ec2', ['Content-Type', 'application/x-www-form-urlencoded'], '', 'ec2'],
    ['sts', ['Content-Type', 'application/x-www-form-urlencoded'], '', 'query'],
    ['sts', [], '', 'query'],
    ['sqs', ['Content-Type', 'application/x-amz-json-1.0', 'X-Amz-Target', 'AmazonSQS.SendMessage'], '', 'json-1.0'],
    ['sqs', [], 'Action=SendMessage', 'query'],
    ['logs', ['X-Amz-Target', 'Logs.Get'], '', 'json-1.1'],
    ['monitoring', ['smithy-protocol', 'rpc-v2-cbor'], '', 'cbor'],
    ['route53', [], '', 'rest-xml'],
    ['lambda', ['Content-Type', 'application/json'], '', 'rest-json'],
  ] as const) {
    test(`${service} ${headers.join(' ')} ${query} is ${protocol}`, () =>
      assert.equal(protocolOf(service, headers, query), protocol))
  }
})
