/** AWS managed policies, as far as the lab's services go: `arn:aws:iam::aws:policy/NAME`. */
import { type Policy, parsePolicy } from './policy.ts'

const reading = (service: string, ...verbs: string[]): string[] => verbs.map((verb) => `${service}:${verb}*`)

const actions: Readonly<Record<string, readonly string[]>> = {
  AdministratorAccess: ['*'],
  ReadOnlyAccess: [
    ...reading('cloudtrail', 'Describe', 'Get', 'List', 'LookupEvents'),
    ...reading('cloudwatch', 'Describe', 'Get', 'List'),
    ...reading('dynamodb', 'BatchGet', 'Describe', 'Get', 'List', 'Query', 'Scan'),
    ...reading('ec2', 'Describe', 'Get', 'Search'),
    ...reading('ecs', 'Describe', 'List'),
    ...reading('eks', 'Describe', 'List'),
    ...reading('elasticloadbalancing', 'Describe'),
    ...reading('iam', 'Generate', 'Get', 'List', 'Simulate'),
    ...reading('kms', 'Describe', 'Get', 'List'),
    ...reading('lambda', 'Get', 'List'),
    ...reading('logs', 'Describe', 'Filter', 'Get', 'List'),
    ...reading('organizations', 'Describe', 'List'),
    ...reading('rds', 'Describe', 'List'),
    ...reading('rolesanywhere', 'Get', 'List'),
    ...reading('s3', 'Describe', 'Get', 'List'),
    ...reading('secretsmanager', 'Describe', 'GetResourcePolicy', 'List'),
    ...reading('sns', 'Get', 'List'),
    ...reading('sqs', 'Get', 'List', 'ReceiveMessage'),
    ...reading('ssm', 'Describe', 'Get', 'List'),
    'sts:GetAccessKeyInfo',
    'sts:GetCallerIdentity',
    'sts:GetSessionToken',
  ],
  AmazonS3ReadOnlyAccess: ['s3:Get*', 's3:List*', 's3:Describe*', 's3-object-lambda:Get*', 's3-object-lambda:List*'],
  AmazonS3FullAccess: ['s3:*', 's3-object-lambda:*'],
  AmazonEC2ReadOnlyAccess: ['ec2:Describe*', 'ec2:GetSecurityGroupsForVpc'],
  AmazonEC2FullAccess: ['ec2:*'],
  AmazonDynamoDBFullAccess: ['dynamodb:*', 'dax:*'],
  AmazonDynamoDBReadOnlyAccess: reading('dynamodb', 'BatchGet', 'Describe', 'Get', 'List', 'Query', 'Scan'),
  IAMFullAccess: ['iam:*'],
  IAMReadOnlyAccess: reading('iam', 'Generate', 'Get', 'List', 'Simulate'),
  SecretsManagerReadWrite: ['secretsmanager:*'],
}

const policies: ReadonlyMap<string, Policy> = new Map(
  Object.entries(actions).map(([name, Action]) => {
    const Statement = [{ Effect: 'Allow', Action, Resource: '*' }]
    return [name, parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement }), 'identity')]
  }),
)

/** The managed policy of an ARN such as `arn:aws:iam::aws:policy/ReadOnlyAccess`, in any partition. */
export function findManagedPolicy(arn: string): Policy | undefined {
  const [, name = ''] = /^arn:aws(?:-cn|-us-gov)?:iam::aws:policy\/(?:[\w-]+\/)*([\w-]+)$/.exec(arn) ?? []
  return policies.get(name)
}

/** Names of all managed policies, in alphabetical order. */
export const managedPolicyNames: readonly string[] = [...policies.keys()].sort()
