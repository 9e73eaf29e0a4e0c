import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { type AwsRequestFacts, decodeOperation, isMutating } from './operation.ts'

const facts = (service: string, line: string, headers: readonly string[] = [], body?: string): AwsRequestFacts => {
  const [method = '', host = '', target = '/'] = line.split(' ')
  const [path = '', query = ''] = target.split('?')
  return {
    service,
    region: 'us-east-1',
    host,
    method,
    path,
    query,
    headers,
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  }
}
const form = ['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8']
const s3 = 's3.us-east-1.amazonaws.com'
const inBucket = 'reports.s3.us-east-1.amazonaws.com'

suite('S3', () => {
  for (const [line, operation, resource, mutating] of [
    [`GET ${s3} /`, 'ListBuckets', undefined, false],
    [`GET ${s3} /?x-id=ListBuckets`, 'ListBuckets', undefined, false],
    [`GET ${s3} /reports?list-type=2&prefix=a`, 'ListObjectsV2', 'arn:aws:s3:::reports', false],
    [`GET ${inBucket} /?list-type=2`, 'ListObjectsV2', 'arn:aws:s3:::reports', false],
    [`GET ${inBucket} /?prefix=`, 'ListObjects', 'arn:aws:s3:::reports', false],
    [`HEAD ${inBucket} /a%20b/c`, 'HeadObject', 'arn:aws:s3:::reports/a b/c', false],
    [`GET ${s3} /reports/a/b?versionId=1`, 'GetObject', 'arn:aws:s3:::reports/a/b', false],
    [`PUT ${s3} /reports/a?x-id=PutObject`, 'PutObject', 'arn:aws:s3:::reports/a', true],
    [`PUT ${inBucket} /a?partNumber=1&uploadId=x`, 'UploadPart', 'arn:aws:s3:::reports/a', true],
    [`POST ${inBucket} /a?uploads`, 'CreateMultipartUpload', 'arn:aws:s3:::reports/a', true],
    [`POST ${inBucket} /a?uploadId=x`, 'CompleteMultipartUpload', 'arn:aws:s3:::reports/a', true],
    [`GET ${inBucket} /a?uploadId=x`, 'ListParts', 'arn:aws:s3:::reports/a', false],
    [`DELETE ${inBucket} /a?uploadId=x`, 'AbortMultipartUpload', 'arn:aws:s3:::reports/a', true],
    [`POST ${inBucket} /?delete`, 'DeleteObjects', 'arn:aws:s3:::reports', true],
    [`GET ${inBucket} /?policy`, 'GetBucketPolicy', 'arn:aws:s3:::reports', false],
    [`PUT ${inBucket} /?policy`, 'PutBucketPolicy', 'arn:aws:s3:::reports', true],
    [`GET ${inBucket} /?inventory`, 'ListBucketInventoryConfigurations', 'arn:aws:s3:::reports', false],
    [`GET ${inBucket} /?inventory&id=1`, 'GetBucketInventoryConfiguration', 'arn:aws:s3:::reports', false],
    [`GET ${inBucket} /?session`, 'CreateSession', 'arn:aws:s3:::reports', true],
    [`GET ${inBucket} /?acl&policy`, 'unknown', 'arn:aws:s3:::reports', true],
    [`GET ${inBucket} /?brand-new`, 'unknown', 'arn:aws:s3:::reports', true],
    [`GET ${inBucket} /%zz`, 'unknown', undefined, true],
    [
      'GET mine-123456789012.s3-accesspoint.us-east-1.amazonaws.com /k',
      'GetObject',
      'arn:aws:s3:us-east-1:123456789012:accesspoint/mine/object/k',
      false,
    ],
    ['GET 123456789012.s3-control.us-east-1.amazonaws.com /v20180820/jobs', 'ListJobs', undefined, false],
    ['GET bucket.s3.cn-north-1.amazonaws.com.cn /k', 'GetObject', 'arn:aws-cn:s3:::bucket/k', false],
  ] as const) {
    test(`${line} is ${operation}`, async () => {
      const found = await decodeOperation(facts('s3', line))
      assert.deepEqual(found, { service: 's3', operation, ...(resource === undefined ? {} : { resource }) })
      assert.equal(isMutating(found), mutating)
    })
  }
  test('a copy is not a plain put', async () => {
    const copy = ['x-amz-copy-source', 'a/b']
    const { operation } = await decodeOperation(facts('s3', `PUT ${inBucket} /k`, copy))
    assert.equal(operation, 'CopyObject')
    const part = await decodeOperation(facts('s3', `PUT ${inBucket} /k?uploadId=1&partNumber=2`, copy))
    assert.equal(part.operation, 'UploadPartCopy')
  })
})

suite('other protocols', () => {
  for (const [says, request, name, mutating] of [
    [
      'STS form',
      facts('sts', 'POST sts.amazonaws.com /', form, 'Action=GetCallerIdentity&Version=2011-06-15'),
      'sts:GetCallerIdentity',
      false,
    ],
    ['STS query', facts('sts', 'GET sts.amazonaws.com /?Action=AssumeRole&Version=2011-06-15'), 'sts:AssumeRole', true],
    [
      'STS token',
      facts('sts', 'POST sts.amazonaws.com /', form, 'Action=GetSessionToken'),
      'sts:GetSessionToken',
      true,
    ],
    [
      'EC2',
      facts('ec2', 'POST ec2.us-east-1.amazonaws.com /', form, 'Action=DescribeInstances'),
      'ec2:DescribeInstances',
      false,
    ],
    ['IAM', facts('iam', 'POST iam.amazonaws.com /', form, 'Action=CreateUser&UserName=x'), 'iam:CreateUser', true],
    [
      'query and form disagree',
      facts('iam', 'POST iam.amazonaws.com /?Action=ListUsers', form, 'Action=DeleteUser'),
      'iam:unknown',
      true,
    ],
    [
      'two actions',
      facts('iam', 'POST iam.amazonaws.com /', form, 'Action=ListUsers&Action=DeleteUser'),
      'iam:unknown',
      true,
    ],
    ['no action', facts('iam', 'POST iam.amazonaws.com /', form, 'Version=1'), 'iam:unknown', true],
    [
      'DynamoDB',
      facts('dynamodb', 'POST dynamodb.us-east-1.amazonaws.com /', ['X-Amz-Target', 'DynamoDB_20120810.GetItem']),
      'dynamodb:GetItem',
      false,
    ],
    [
      'DynamoDB put',
      facts('dynamodb', 'POST dynamodb.us-east-1.amazonaws.com /', ['X-Amz-Target', 'DynamoDB_20120810.PutItem']),
      'dynamodb:PutItem',
      true,
    ],
    [
      'two targets',
      facts('dynamodb', 'POST dynamodb.us-east-1.amazonaws.com /', [
        'X-Amz-Target',
        'D.GetItem',
        'x-amz-target',
        'D.PutItem',
      ]),
      'dynamodb:unknown',
      true,
    ],
    [
      'CBOR',
      facts('monitoring', 'POST monitoring.us-east-1.amazonaws.com /service/Granite/operation/PutMetricData', [
        'smithy-protocol',
        'rpc-v2-cbor',
      ]),
      'cloudwatch:PutMetricData',
      true,
    ],
    [
      'Lambda',
      facts('lambda', 'POST lambda.us-east-1.amazonaws.com /2015-03-31/functions/f/invocations'),
      'lambda:InvokeFunction',
      true,
    ],
    [
      'Lambda list',
      facts('lambda', 'GET lambda.us-east-1.amazonaws.com /2015-03-31/functions/'),
      'lambda:ListFunctions',
      false,
    ],
    ['Lambda unknown', facts('lambda', 'GET lambda.us-east-1.amazonaws.com /2099-01-01/new'), 'lambda:unknown', true],
    ['EKS', facts('eks', 'GET eks.us-east-1.amazonaws.com /clusters/c'), 'eks:DescribeCluster', false],
    [
      'API Gateway call',
      facts('execute-api', 'GET a.execute-api.us-east-1.amazonaws.com /prod/x'),
      'execute-api:InvokeGET',
      false,
    ],
    [
      'API Gateway post',
      facts('execute-api', 'POST a.execute-api.us-east-1.amazonaws.com /prod/x'),
      'execute-api:InvokePOST',
      true,
    ],
    [
      'a target header that Lambda does not look at',
      facts('lambda', 'DELETE lambda.us-east-1.amazonaws.com /2015-03-31/functions/f', [
        'X-Amz-Target',
        'A.GetFunction',
      ]),
      'lambda:DeleteFunction',
      true,
    ],
    [
      'a form field that Lambda does not look at',
      facts('lambda', 'DELETE lambda.us-east-1.amazonaws.com /2015-03-31/functions/f', form, 'Action=GetFunction'),
      'lambda:DeleteFunction',
      true,
    ],
    [
      'a body that was not looked at',
      facts('iam', 'POST iam.amazonaws.com /?Action=ListUsers', [...form, 'Content-Length', '300000']),
      'iam:unknown',
      true,
    ],
    [
      'a required query field',
      facts('apigateway', 'POST apigateway.us-east-1.amazonaws.com /restapis?mode=import'),
      'apigateway:ImportRestApi',
      true,
    ],
    [
      'no such query field',
      facts('apigateway', 'POST apigateway.us-east-1.amazonaws.com /restapis'),
      'apigateway:CreateRestApi',
      true,
    ],
    [
      'two values of a query field',
      facts(
        'chime',
        'POST identity-chime.us-east-1.amazonaws.com /tags?operation=tag-resource&operation=untag-resource',
      ),
      'chime:unknown',
      true,
    ],
    [
      'an escape that need not be',
      facts('lambda', 'DELETE lambda.us-east-1.amazonaws.com /2015-03-31/functions/f/%75rl'),
      'lambda:unknown',
      true,
    ],
    [
      'a path that goes up',
      facts('lambda', 'GET lambda.us-east-1.amazonaws.com /2015-03-31/functions/f/../g'),
      'lambda:unknown',
      true,
    ],
    [
      'a part that is missing',
      facts('lambda', 'GET lambda.us-east-1.amazonaws.com /2015-03-31/functions//policy'),
      'lambda:unknown',
      true,
    ],
    [
      'an older version of the API',
      facts('cloudfront', 'GET cloudfront.amazonaws.com /2019-03-26/distribution/E1'),
      'cloudfront:GetDistribution',
      false,
    ],
    [
      'a part of many words before one',
      facts('workspaces-web', 'PUT workspaces-web.us-east-1.amazonaws.com /portals/arn:aws:a/b/networkSettings'),
      'workspaces-web:AssociateNetworkSettings',
      true,
    ],
    [
      'the same path at another host of one signing name',
      facts('sagemaker', 'POST runtime.sagemaker.us-east-1.amazonaws.com /endpoints/e/invocations'),
      'sagemaker:InvokeEndpoint',
      true,
    ],
    [
      'Bedrock conversation',
      facts('bedrock', 'POST bedrock-runtime.us-east-1.amazonaws.com /model/m/converse'),
      'bedrock:InvokeModel',
      true,
    ],
    [
      'SES of the second version',
      facts('ses', 'GET email.us-east-1.amazonaws.com /v2/email/account'),
      'ses:GetAccount',
      false,
    ],
    [
      'a WebSocket connection below its stage',
      facts('execute-api', 'GET a.execute-api.us-east-1.amazonaws.com /prod/@connections/c'),
      'execute-api:GetConnection',
      false,
    ],
    ['a search domain', facts('es', 'GET search-a.us-east-1.es.amazonaws.com /index/_search'), 'es:ESHttpGet', false],
    [
      'the service of search domains',
      facts('es', 'GET es.us-east-1.amazonaws.com /2021-01-01/domain'),
      'es:ListDomainNames',
      false,
    ],
    [
      'a service that we do not know',
      facts('brandnew', 'GET brandnew.us-east-1.amazonaws.com /things'),
      'brandnew:unknown',
      true,
    ],
  ] as const) {
    test(`${says} is ${name}`, async () => {
      const found = await decodeOperation(request)
      assert.equal(`${found.service}:${found.operation}`, name)
      assert.equal(isMutating(found), mutating)
    })
  }
  for (const [operation, mutating] of [
    ['GetClusterCredentialsWithIAM', true],
    ['GetAuthorizationToken', true],
    ['CheckoutLicense', true],
    ['VerifyEmailIdentity', true],
    ['ReceiveMessage', true],
    ['CheckpointDurableExecution', true],
    ['GetActivityTask', true],
    ['GetId', true],
    ['GetDataAccess', true],
    ['GetInstanceAccessDetails', true],
    ['GetIdentityPolicies', false],
    ['GetAccountPasswordPolicy', false],
    ['AssumeRole', true],
    ['Verify', false],
    ['Scan', false],
    ['CheckDomainAvailability', false],
    ['BatchGetItem', false],
  ] as const) {
    test(`${operation} ${mutating ? 'may change something' : 'only reads'}`, () => {
      assert.equal(isMutating({ service: 'any', operation }), mutating)
    })
  }

  test('a request with two names says which', async () => {
    const target = ['X-Amz-Target', 'CodePipeline_20150709.PollForJobs']
    const request = facts('codepipeline', 'GET codepipeline.us-east-1.amazonaws.com /?Action=ListPipelines', target)
    assert.deepEqual(await decodeOperation(request), {
      service: 'codepipeline',
      operation: 'unknown',
      mayBe: ['PollForJobs', 'ListPipelines'],
    })
  })

  test('any request has a name of harmless characters', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('s3', 'iam', 'lambda', 'dynamodb'),
        fc.string({ unit: 'binary' }),
        fc.string(),
        fc.string(),
        async (service, path, query, target) => {
          const request = { ...facts(service, `GET ${s3} /`, ['x-amz-target', target]), path: `/${path}`, query }
          const { operation } = await decodeOperation(request)
          assert.match(operation, /^[A-Za-z0-9]+$/)
        },
      ),
    )
  })
})
