/** Amazon DynamoDB, the least that is a table. @see Amazon DynamoDB API Reference */
import { AwsError } from './aws-error.ts'
import type { AwsService } from './call.ts'
import { type JsonCall, type JsonObject, jsonService, objectField, textField } from './json-service.ts'

interface Table {
  readonly name: string
  readonly arn: string
  readonly keySchema: readonly JsonObject[]
  readonly attributes: unknown
  readonly createdAt: Date
  /** Items by their key as JSON. */
  readonly items: Map<string, JsonObject>
}

/** CreateTable, DescribeTable, ListTables, DeleteTable, PutItem, GetItem, DeleteItem, Scan. */
export function dynamodb(): AwsService {
  const tables = new Map<string, Table>()
  const arnOf = ({ call, accountId }: JsonCall, name: string): string =>
    `arn:${call.endpoint.partition}:dynamodb:${call.endpoint.region}:${accountId}:table/${name}`
  const resource = (json: JsonCall): string => arnOf(json, textField(json.input, 'TableName'))
  const find = (json: JsonCall): Table => {
    const table = tables.get(resource(json))
    if (table) return table
    throw new AwsError(
      'ResourceNotFoundException',
      400,
      `Requested resource not found: Table: ${textField(json.input, 'TableName')} not found`,
    )
  }
  return jsonService({
    name: 'dynamodb',
    target: 'DynamoDB_20120810',
    version: '1.0',
    namespace: 'com.amazonaws.dynamodb.v20120810',
    operations: {
      CreateTable: {
        resource,
        run(json) {
          const { input, call } = json
          const arn = resource(json)
          const name = textField(input, 'TableName')
          if (tables.has(arn)) throw new AwsError('ResourceInUseException', 400, `Table already exists: ${name}`)
          const keySchema = Array.isArray(input.KeySchema) ? input.KeySchema.filter(isObject) : []
          if (!keySchema.some(({ KeyType }) => KeyType === 'HASH'))
            throw validation('No Hash Key specified in schema. All Dynamo DB tables must have exactly one hash key')
          const table = {
            name,
            arn,
            keySchema,
            attributes: input.AttributeDefinitions,
            createdAt: call.now,
            items: new Map(),
          }
          tables.set(arn, table)
          return { TableDescription: description(table) }
        },
      },
      DescribeTable: { resource, run: (json) => ({ Table: description(find(json)) }) },
      ListTables: {
        resource: (json) => arnOf(json, '*'),
        run(json) {
          const limit = typeof json.input.Limit === 'number' ? json.input.Limit : 100
          const after = typeof json.input.ExclusiveStartTableName === 'string' ? json.input.ExclusiveStartTableName : ''
          const prefix = arnOf(json, '')
          const names = [...tables.values()]
            .filter(({ arn, name }) => arn.startsWith(prefix) && name > after)
            .map(({ name }) => name)
            .sort()
          const page = names.slice(0, limit)
          return { TableNames: page, ...(names.length > page.length ? { LastEvaluatedTableName: page.at(-1) } : {}) }
        },
      },
      DeleteTable: {
        resource,
        run(json) {
          const table = find(json)
          tables.delete(table.arn)
          return { TableDescription: { ...description(table), TableStatus: 'DELETING' } }
        },
      },
      PutItem: {
        resource,
        run(json) {
          const table = find(json)
          const item = objectField(json.input, 'Item')
          table.items.set(keyOf(table, item), item)
          return {}
        },
      },
      GetItem: {
        resource,
        run(json) {
          const table = find(json)
          const Item = table.items.get(keyOf(table, objectField(json.input, 'Key')))
          return Item ? { Item } : {}
        },
      },
      DeleteItem: {
        resource,
        run(json) {
          const table = find(json)
          table.items.delete(keyOf(table, objectField(json.input, 'Key')))
          return {}
        },
      },
      Scan: {
        resource,
        run(json) {
          const Items = [...find(json).items.values()]
          return { Items, Count: Items.length, ScannedCount: Items.length }
        },
      },
    },
  })
}

function description({ name, arn, keySchema, attributes, createdAt, items }: Table): JsonObject {
  return {
    TableName: name,
    TableArn: arn,
    TableStatus: 'ACTIVE',
    KeySchema: keySchema,
    AttributeDefinitions: attributes,
    CreationDateTime: createdAt.getTime() / 1000,
    ItemCount: items.size,
    TableSizeBytes: 0,
    BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
  }
}

function keyOf({ keySchema }: Table, item: JsonObject): string {
  const parts = keySchema.map(({ AttributeName }) => item[String(AttributeName)])
  if (parts.some((part) => part === undefined)) throw validation('The provided key element does not match the schema')
  return JSON.stringify(parts)
}

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null
const validation = (message: string): AwsError => new AwsError('ValidationException', 400, message)
