/**
 * Which resource a request is about, where path, query, form or JSON body show it. Only fields that name resources are
 * looked at, and only values that have the form of a name: the log must not get what may be a secret.
 */
import { parseAwsHost } from './endpoint.ts'
import type { AwsRequestFacts } from './operation.ts'
import { headerValues } from './sigv4.ts'

/**
 * The ARN, or a few with `, ` between them; `undefined` where the request shows none.
 *
 * @param service as IAM spells it
 * @see the "Resource types" of each service in the AWS Service Authorization Reference
 */
export function resourceOf(request: AwsRequestFacts, service: string, operation: string): string | undefined {
  const place: Place = {
    partition: parseAwsHost(request.host)?.partition ?? 'aws',
    service,
    region: GLOBAL.has(service) ? '' : request.region,
    account: request.account,
  }
  // What is made does not exist yet, and what is named beside it is not what the call is about.
  const isAboutNew = service === 'ec2' && /^(Create|Run)/.test(operation)
  return isAboutNew ? undefined : (inPath(request, place) ?? inFields(request, place, operation))
}

interface Place {
  readonly partition: string
  readonly service: string
  readonly region: string
  readonly account: string | undefined
}

const GLOBAL: ReadonlySet<string> = new Set(['iam', 'sts', 'cloudfront', 'route53', 'organizations'])
const NAME = /^[\w+=,.@:/$-]{1,1024}$/
const ARN = /^arn:[a-z][a-z0-9-]*:[A-Za-z0-9-]+:[a-z0-9-]*:[A-Za-z0-9-]*:[\w+=,.@:/$*#-]{1,1024}$/
const MAX_RESOURCES = 20
const MAX_JSON_BYTES = 256 * 1024

/** `*` in `kind` is where the name goes; without a kind, only an ARN will do. */
function arn({ partition, service, region, account }: Place, kind: string, name: string): string | undefined {
  if (ARN.test(name)) return name
  if (kind === '' || account === undefined || name.startsWith('arn:') || !NAME.test(name)) return undefined
  return `arn:${partition}:${service}:${region}:${account}:${kind.replace('*', () => name)}`
}

/** Resources of REST services: what stands after a word of the path. */
function inPath({ path }: AwsRequestFacts, place: Place): string | undefined {
  const parts = decodeParts(path)
  if (parts === undefined) return undefined
  const [whole, ...more] = parts.filter((part) => part.startsWith('arn:'))
  if (whole !== undefined && more.length === 0 && ARN.test(whole)) return withRest(parts, whole)
  const [, word, kind] = PATHS.find(([service]) => service === place.service) ?? []
  const at = word === undefined ? -1 : parts.indexOf(word)
  const name = at === -1 ? undefined : parts[at + 1]
  return name === undefined || name === '' || kind === undefined ? undefined : arn(place, kind, name)
}

/** `/tags/arn:aws:eks:…:cluster/x`: a path that ends in an ARN may have its slashes as they are. */
function withRest(parts: readonly string[], whole: string): string | undefined {
  const at = parts.indexOf(whole)
  const rest = parts[at - 1] === 'tags' ? parts.slice(at).join('/') : whole
  return ARN.test(rest) ? rest : undefined
}

function decodeParts(path: string): readonly string[] | undefined {
  try {
    return path.split('/').map(decodeURIComponent)
  } catch {
    return undefined
  }
}

const PATHS: readonly (readonly [service: string, word: string, kind: string])[] = [
  ['lambda', 'functions', 'function:*'],
  ['eks', 'clusters', 'cluster/*'],
  ['cloudfront', 'distribution', 'distribution/*'],
  ['elasticfilesystem', 'file-systems', 'file-system/*'],
]

/** Resources that a field names; the first field that is there counts, in the order of each list. */
function inFields(request: AwsRequestFacts, place: Place, operation: string): string | undefined {
  const own = Object.hasOwn(FIELDS, place.service) ? FIELDS[place.service] : undefined // the service is the caller's word
  const rules = [...(own ?? []), ...ARN_FIELDS]
  const fields = fieldsOf(request)
  for (const [field, kind, only] of rules) {
    if (only !== undefined && !only.test(operation)) continue
    const values = fields(field)
    if (values.length === 0) continue
    const arns = values.map((value) =>
      field === 'QueueUrl' ? ofQueue(place, value) : arn(place, kindOf(kind, value), value),
    )
    if (values.length > MAX_RESOURCES || arns.includes(undefined)) return undefined
    return arns.join(', ')
  }
  return undefined
}

type Rule = readonly [field: string, kind: string, only?: RegExp]

const ARN_FIELDS: readonly Rule[] = ['ResourceArn', 'ResourceARN', 'resourceArn'].map((field) => [field, ''] as const)

const FIELDS: Readonly<Record<string, readonly Rule[]>> = {
  cloudwatch: [['AlarmName', 'alarm:*']],
  dynamodb: [
    ['TableName', 'table/*'],
    ['StreamArn', ''],
  ],
  ec2: [
    ['InstanceId', 'instance/*'],
    ['VolumeId', 'volume/*'],
    ['SnapshotId', 'snapshot/*'],
    ['GroupId', 'security-group/*'],
    ['NetworkInterfaceId', 'network-interface/*'],
    ['SubnetId', 'subnet/*'],
    ['VpcId', 'vpc/*'],
    ['KeyName', 'key-pair/*'],
  ],
  ecr: [['repositoryName', 'repository/*']],
  ecs: [['cluster', 'cluster/*']],
  elasticloadbalancing: [
    ['LoadBalancerArn', ''],
    ['TargetGroupArn', ''],
    ['ListenerArn', ''],
  ],
  iam: [
    ['InstanceProfileName', 'instance-profile/*'],
    ['RoleName', 'role/*'],
    ['GroupName', 'group/*'],
    ['UserName', 'user/*'],
    ['PolicyArn', ''],
  ],
  kinesis: [
    ['StreamARN', ''],
    ['StreamName', 'stream/*'],
  ],
  kms: [['KeyId', 'key/*']],
  logs: [
    ['logGroupName', 'log-group:*'],
    ['logGroupIdentifier', 'log-group:*'],
  ],
  rds: [
    ['DBInstanceIdentifier', 'db:*'],
    ['DBClusterIdentifier', 'cluster:*'],
  ],
  secretsmanager: [
    ['SecretId', 'secret:*'],
    ['Name', 'secret:*', /^CreateSecret$/],
  ],
  sns: [
    ['TopicArn', ''],
    ['TargetArn', ''],
    ['Name', '*', /^CreateTopic$/],
  ],
  sqs: [
    ['QueueUrl', ''],
    ['QueueName', '*'],
  ],
  ssm: [['Name', 'parameter/*', /Parameter/]],
  states: [
    ['stateMachineArn', ''],
    ['executionArn', ''],
    ['activityArn', ''],
  ],
  sts: [['RoleArn', '']],
}

/** An alias of a key and the leading slash of a parameter stand in the ARN as they are. */
function kindOf(kind: string, value: string): string {
  if (kind === 'key/*' && value.startsWith('alias/')) return '*'
  if (kind === 'parameter/*' && value.startsWith('/')) return 'parameter*'
  return kind
}

/** `https://sqs.eu-west-1.amazonaws.com/123456789012/orders` */
function ofQueue({ partition, region, service }: Place, url: string): string | undefined {
  const [, account = '', name = ''] = /^https:\/\/[^/]+\/(\d{12})\/([\w.-]{1,80})$/.exec(url) ?? []
  return name === '' ? undefined : `arn:${partition}:${service}:${region}:${account}:${name}`
}

/** How to get the values of a field: of query and form, where `Field.1`, `Field.2` make a list, or of a JSON body. */
function fieldsOf({ query, headers, body }: AwsRequestFacts): (name: string) => readonly string[] {
  const [type = ''] = headerValues(headers, 'content-type')
  if (/^application\/(x-amz-)?json/i.test(type)) {
    const document = body === undefined || body.length > MAX_JSON_BYTES ? undefined : parseObject(body)
    return (name) => {
      const value = document !== undefined && Object.hasOwn(document, name) ? document[name] : undefined
      return typeof value === 'string' ? [value] : []
    }
  }
  const isForm = /^application\/x-www-form-urlencoded/i.test(type)
  const pairs = [...new URLSearchParams(isForm && body !== undefined ? body.toString('utf8') : query)]
  return (name) =>
    pairs
      .filter(
        ([field]) => field === name || (field.startsWith(`${name}.`) && /^\d+$/.test(field.slice(name.length + 1))),
      )
      .map(([, value]) => value)
}

function parseObject(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}
