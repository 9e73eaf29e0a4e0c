/**
 * What a request asks AWS to do, named as IAM policies name it: `s3:GetObject`, `sts:GetCallerIdentity`. For the audit log
 * and for policy, so nothing is guessed: a request that could mean two things is `unknown`.
 */
import { operationOfRest } from './operation-rest.ts'
import { operationOfS3 } from './operation-s3.ts'
import { headerValues, isS3 } from './sigv4.ts'

export interface AwsRequestFacts {
  /** Signing service of the credential scope. */
  readonly service: string
  readonly region: string
  /** AWS host that was called. */
  readonly host: string
  readonly method: string
  /** Path as sent. */
  readonly path: string
  /** Query as sent, without `?`. */
  readonly query: string
  /** Names and values in turns. */
  readonly headers: readonly string[]
  /** The whole body where it is small enough to be looked at; query protocols name the operation there. */
  readonly body?: Buffer
}

export interface AwsOperation {
  /** As IAM spells it: `s3`, `cloudwatch` (not `monitoring`). */
  readonly service: string
  /** `ListObjectsV2`, or `unknown`. */
  readonly operation: string
  /** ARN, where host and path show it. */
  readonly resource?: string
}

const unknownOperation = 'unknown'

/** Decodes every protocol of AWS: target headers, CBOR paths, `Action` in query or form, and paths of REST services. */
export function decodeOperation(request: AwsRequestFacts): AwsOperation {
  const service = IAM_NAMES.get(request.service) ?? request.service
  if (isS3(request.service)) return { service: 's3', ...operationOfS3(request) }
  const named = [...targets(request), ...cborPath(request), ...actions(request)]
  const [first] = named
  if (first !== undefined) {
    // Two names that differ: which one AWS would follow is not ours to guess.
    const isOne = named.every((name) => name === first) && /^[A-Za-z][A-Za-z0-9]{0,127}$/.test(first)
    return { service, operation: isOne ? first : unknownOperation }
  }
  return { service, operation: operationOfRest(request) ?? unknownOperation }
}

/** May it change something, or hand out credentials? What is unknown may. */
export function isMutating({ service, operation }: AwsOperation): boolean {
  if (CREDENTIAL_GIVING.test(operation)) return true
  if (service === 'execute-api' || service === 'apigateway') return !/^(Invoke)?(GET|HEAD|OPTIONS)$/.test(operation)
  return !READING.test(operation)
}

const READING =
  /^(Get|List|Describe|Head|BatchGet|BatchDescribe|BatchCheck|Lookup|Search|Scan$|Query$|Select|Simulate|Estimate|Preview|View|Check(?![Oo]ut|In)|Discover|Filter|Validate|Verify(Mac)?$|ESHttpGet$|ESHttpHead$)/
/** Reads in name only: what they give opens doors elsewhere. */
const CREDENTIAL_GIVING = /^Get.*(Credentials|Token|PasswordData)/

/** Signing names that IAM spells otherwise. */
const IAM_NAMES: ReadonlyMap<string, string> = new Map([
  ['monitoring', 'cloudwatch'],
  ['email', 'ses'],
  ['streams', 'dynamodb'],
  ['ingest.timestream', 'timestream'],
  ['mobile-targeting', 'mobiletargeting'],
  ['tagging', 'tag'],
])

/** `X-Amz-Target: DynamoDB_20120810.GetItem` */
function targets({ headers }: AwsRequestFacts): string[] {
  return headerValues(headers, 'x-amz-target').map((target) => target.slice(target.lastIndexOf('.') + 1))
}

/** `/service/GraniteServiceVersion20100801/operation/PutMetricData` (Smithy RPC v2 CBOR, RPC v2 JSON) */
function cborPath({ headers, path }: AwsRequestFacts): string[] {
  if (!headerValues(headers, 'smithy-protocol').some((value) => value.startsWith('rpc-v2'))) return []
  return [/^\/service\/[^/]+\/operation\/([^/]+)\/?$/.exec(path)?.[1] ?? '']
}

/** `Action=DescribeInstances` in the query and in a form body, every one of them. */
function actions({ query, headers, body, service }: AwsRequestFacts): string[] {
  const form = headerValues(headers, 'content-type').some((type) =>
    type.toLowerCase().startsWith('application/x-www-form-urlencoded'),
  )
  if (!form && !QUERY_STRING_SERVICES.has(service)) return []
  const texts = form && body !== undefined ? [query, body.toString('utf8')] : [query]
  return texts.flatMap((text) => new URLSearchParams(text).getAll('Action'))
}

/** Services of the query protocol, which also take the operation in the query of a GET. */
const QUERY_STRING_SERVICES: ReadonlySet<string> = new Set([
  'autoscaling',
  'cloudformation',
  'cloudsearch',
  'ec2',
  'elasticache',
  'elasticbeanstalk',
  'elasticloadbalancing',
  'email',
  'iam',
  'monitoring',
  'neptune-db',
  'rds',
  'redshift',
  'sdb',
  'sns',
  'sqs',
  'sts',
])
