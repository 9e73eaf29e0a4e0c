import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { decodeOperation } from './operation.ts'

const form = 'application/x-www-form-urlencoded'
const json = 'application/x-amz-json-1.1'

interface Sent {
  readonly type?: string
  readonly body?: string
  readonly target?: string
  readonly account?: string
}

/** Resource of `SERVICE METHOD HOST PATH`. */
async function resource(line: string, sent: Sent = {}): Promise<string | undefined> {
  const [service = '', method = '', host = '', url = ''] = line.split(' ')
  const [path = '', query = ''] = url.split('?')
  const { type, body, target, account = '123456789012' } = sent
  const headers = [...(type === undefined ? [] : ['Content-Type', type])]
  if (target !== undefined) headers.push('X-Amz-Target', target)
  const found = await decodeOperation({
    service,
    region: 'eu-west-1',
    host,
    method,
    path,
    query,
    headers,
    ...(account === '' ? {} : { account }),
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  })
  return found.resource
}

const ec2 = 'ec2 POST ec2.eu-west-1.amazonaws.com /'
const iam = 'iam POST iam.amazonaws.com /'
const call = (service: string): string => `${service} POST ${service}.eu-west-1.amazonaws.com /`

suite('the resource of a request', () => {
  for (const [says, line, sent, wanted] of [
    ['an instance', ec2, 'Action=StopInstances&InstanceId.1=i-1', 'arn:aws:ec2:eu-west-1:123456789012:instance/i-1'],
    [
      'two instances',
      ec2,
      'Action=StopInstances&InstanceId.1=i-1&InstanceId.2=i-2',
      'arn:aws:ec2:eu-west-1:123456789012:instance/i-1, arn:aws:ec2:eu-west-1:123456789012:instance/i-2',
    ],
    ['no field of that name', ec2, 'Action=StopInstances&InstanceIdx=i-1', undefined],
    ['where something new goes', ec2, 'Action=CreateSubnet&VpcId=vpc-1', undefined],
    ['a role', iam, 'Action=GetRole&RoleName=Reader', 'arn:aws:iam::123456789012:role/Reader'],
    [
      'a role, not the policy',
      iam,
      'Action=AttachRolePolicy&RoleName=Reader&PolicyArn=arn:aws:iam::aws:policy/P',
      'arn:aws:iam::123456789012:role/Reader',
    ],
    [
      'a password beside a user',
      iam,
      'Action=CreateLoginProfile&UserName=a&Password=hunter2',
      'arn:aws:iam::123456789012:user/a',
    ],
    [
      'a topic',
      call('sns'),
      'Action=Publish&TopicArn=arn:aws:sns:eu-west-1:1:t&Message=x',
      'arn:aws:sns:eu-west-1:1:t',
    ],
    [
      'a queue',
      call('sqs'),
      'Action=SendMessage&QueueUrl=https%3A%2F%2Fsqs.eu-west-1.amazonaws.com%2F210987654321%2Forders',
      'arn:aws:sqs:eu-west-1:210987654321:orders',
    ],
    ['a name with a line break', iam, 'Action=GetRole&RoleName=a%0Ab', undefined],
  ] as const) {
    test(`in a form: ${says}`, async () => {
      assert.equal(await resource(line, { type: form, body: sent }), wanted)
    })
  }

  for (const [service, target, body, wanted] of [
    ['dynamodb', 'D.GetItem', '{"TableName":"t","Key":{}}', 'arn:aws:dynamodb:eu-west-1:123456789012:table/t'],
    ['dynamodb', 'D.GetItem', '{"TableName":"arn:aws:dynamodb:a:1:table/t"}', 'arn:aws:dynamodb:a:1:table/t'],
    [
      'secretsmanager',
      's.GetSecretValue',
      '{"SecretId":"db"}',
      'arn:aws:secretsmanager:eu-west-1:123456789012:secret:db',
    ],
    ['kms', 'T.Decrypt', '{"KeyId":"alias/a"}', 'arn:aws:kms:eu-west-1:123456789012:alias/a'],
    ['kms', 'T.Decrypt', '{"KeyId":"1-2"}', 'arn:aws:kms:eu-west-1:123456789012:key/1-2'],
    ['ssm', 'A.GetParameter', '{"Name":"/a/b"}', 'arn:aws:ssm:eu-west-1:123456789012:parameter/a/b'],
    ['ssm', 'A.PutParameter', '{"Name":"b","Value":"secret"}', 'arn:aws:ssm:eu-west-1:123456789012:parameter/b'],
    ['logs', 'L.DeleteLogGroup', '{"logGroupName":"/x"}', 'arn:aws:logs:eu-west-1:123456789012:log-group:/x'],
    ['kms', 'T.Decrypt', '{"KeyId":7}', undefined],
    ['kms', 'T.Decrypt', '[', undefined],
    ['kms', 'T.Decrypt', '{"__proto__":{"KeyId":"x"}}', undefined],
  ] as const) {
    test(`in JSON: ${target} of ${body}`, async () => {
      assert.equal(await resource(call(service), { type: json, target, body }), wanted)
    })
  }

  for (const [line, wanted] of [
    [
      'lambda POST lambda.eu-west-1.amazonaws.com /2015-03-31/functions/f/invocations',
      'arn:aws:lambda:eu-west-1:123456789012:function:f',
    ],
    ['lambda GET lambda.eu-west-1.amazonaws.com /2015-03-31/functions', undefined],
    ['eks GET eks.eu-west-1.amazonaws.com /clusters/c', 'arn:aws:eks:eu-west-1:123456789012:cluster/c'],
    ['eks GET eks.cn-north-1.amazonaws.com.cn /clusters/c', 'arn:aws-cn:eks:eu-west-1:123456789012:cluster/c'],
    [
      'eks GET eks.eu-west-1.amazonaws.com /tags/arn%3Aaws%3Aeks%3Aeu-west-1%3A1%3Acluster%2Fc',
      'arn:aws:eks:eu-west-1:1:cluster/c',
    ],
    [
      'apigateway GET apigateway.eu-west-1.amazonaws.com /tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Frestapis%2Fx',
      'arn:aws:apigateway:eu-west-1::/restapis/x',
    ],
  ] as const) {
    test(`in the path: ${line}`, async () => {
      assert.equal(await resource(line), wanted)
    })
  }

  test('without an account, a mere name makes no ARN', async () => {
    assert.equal(await resource(iam, { type: form, body: 'Action=GetRole&RoleName=Reader', account: '' }), undefined)
  })

  test('any value gives one line of harmless characters, or nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('iam', 'ec2', 'sqs', 'constructor', '__proto__'),
        fc.string({ unit: 'binary' }),
        async (service, value) => {
          const fields = ['RoleName', 'InstanceId', 'QueueUrl'].map((name) => [name, value])
          const body = new URLSearchParams([['Action', 'DeleteX'], ...fields]).toString()
          assert.match((await resource(call(service), { type: form, body })) ?? '', /^[\w+=,.@:/$*# -]*$/)
        },
      ),
    )
  })
})
