import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type AwsLab, startAwsLab } from './cloud.ts'
import type { LabIdentity } from './lab-environment.ts'
import { callRaw, type RawResponse } from './raw-client.ts'

let lab: AwsLab
before(async () => {
  lab = await startAwsLab()
})
after(() => lab[Symbol.asyncDispose]())

const call = (service: string, target: string, input: object, as?: LabIdentity): Promise<RawResponse> => {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN,
  } = lab.environment(as)
  const key = { accessKeyId, secretAccessKey, ...(AWS_SESSION_TOKEN ? { sessionToken: AWS_SESSION_TOKEN } : {}) }
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }
  const request = { method: 'POST', host: `${service}.us-east-1.amazonaws.com`, headers, body: JSON.stringify(input) }
  return callRaw(lab, request, { key, service })
}
const dynamodb = (operation: string, input: object, as?: LabIdentity): Promise<RawResponse> =>
  call('dynamodb', `DynamoDB_20120810.${operation}`, input, as)
const secrets = (operation: string, input: object, as?: LabIdentity): Promise<RawResponse> =>
  call('secretsmanager', `secretsmanager.${operation}`, input, as)
const reader: LabIdentity = { role: 'ExampleReadOnlyAccess' }

suite('DynamoDB', () => {
  const TableName = 'orders'
  before(() => dynamodb('CreateTable', { TableName, KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }] }))

  test('keeps items under their key', async () => {
    const Item = { id: { S: '1' }, total: { N: '5' } }
    await dynamodb('PutItem', { TableName, Item })
    assert.deepEqual(JSON.parse((await dynamodb('GetItem', { TableName, Key: { id: { S: '1' } } }, reader)).body), {
      Item,
    })
    await dynamodb('DeleteItem', { TableName, Key: { id: { S: '1' } } })
    assert.deepEqual(JSON.parse((await dynamodb('GetItem', { TableName, Key: { id: { S: '1' } } })).body), {})
  })
  for (const { says, ask, code } of [
    {
      says: 'what a role may not',
      ask: () => dynamodb('PutItem', { TableName, Item: { id: { S: '2' } } }, reader),
      code: 'AccessDeniedException',
    },
    {
      says: 'a table that there is not',
      ask: () => dynamodb('DescribeTable', { TableName: 'never' }),
      code: 'ResourceNotFoundException',
    },
    {
      says: 'a second table of a name',
      ask: () => dynamodb('CreateTable', { TableName, KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }] }),
      code: 'ResourceInUseException',
    },
    {
      says: 'an item without its key',
      ask: () => dynamodb('PutItem', { TableName, Item: { total: { N: '5' } } }),
      code: 'ValidationException',
    },
    { says: 'an operation that there is not', ask: () => dynamodb('Explode', {}), code: 'UnknownOperationException' },
    { says: 'a call without a table', ask: () => dynamodb('GetItem', {}), code: 'ValidationException' },
  ]) {
    test(`refuses ${says}`, async () => {
      const answer = await ask()
      assert.deepEqual([answer.status, answer.code], [400, code])
    })
  }
})

suite('Secrets Manager', () => {
  before(() => secrets('CreateSecret', { Name: 'db', SecretString: 'first' }))
  test('gives the newest value to who may read it', async () => {
    await secrets('PutSecretValue', { SecretId: 'db', SecretString: 'second' })
    assert.partialDeepStrictEqual(JSON.parse((await secrets('GetSecretValue', { SecretId: 'db' })).body), {
      Name: 'db',
      SecretString: 'second',
    })
  })
  test('refuses it to a role that may only look', async () => {
    assert.equal((await secrets('DescribeSecret', { SecretId: 'db' }, reader)).status, 200)
    assert.equal((await secrets('GetSecretValue', { SecretId: 'db' }, reader)).code, 'AccessDeniedException')
    assert.equal((await secrets('GetSecretValue', { SecretId: 'never' })).code, 'ResourceNotFoundException')
  })
})
