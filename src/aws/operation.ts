/**
 * What a request asks AWS to do, named as IAM policies name it: `s3:GetObject`, `sts:GetCallerIdentity`. For the audit log
 * and for policy, so nothing is guessed: a request that could mean two things is `unknown`.
 */
import { type AwsEndpoint, parseAwsHost } from './endpoint.ts'
import { resourceOf } from './operation-resource.ts'
import { operationOfS3 } from './operation-s3.ts'
import { findServiceOperations, type ServiceOperations } from './operation-table.ts'
import { headerValues, isS3 } from './sigv4.ts'

export interface AwsRequestFacts {
  /** Signing service of the credential scope. */
  readonly service: string
  readonly region: string
  /** Account of the role that signs: resources that the request names without an account are in it. */
  readonly account?: string
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
  /** ARN, where the request shows it; several with `, ` between them. */
  readonly resource?: string
  /** What it may be, where it is `unknown` because the request holds several names; as sent. */
  readonly mayBe?: readonly string[]
}

const unknownOperation = 'unknown'

/**
 * Decodes every protocol of AWS: target headers, CBOR paths, `Action` in query or form, and paths of REST services.
 * Only the first call reads the table of operations; later ones wait for nothing.
 */
export async function decodeOperation(request: AwsRequestFacts): Promise<AwsOperation> {
  const endpoint = parseAwsHost(request.host)
  const service = ownValue(IAM_NAMES, request.service) ?? request.service
  if (isS3(request.service) && !isS3Control(request, endpoint)) return { service, ...operationOfS3(request) }
  const dataOperation = dataPlane(request, endpoint)
  const names = dataOperation === undefined ? await namesOf(request, endpoint) : [dataOperation]
  const [name] = names
  // Names that differ: which one AWS would follow is not ours to guess.
  if (name === undefined || names.length > 1 || !OPERATION.test(name)) {
    return { service, operation: unknownOperation, ...(names.length === 0 ? {} : { mayBe: names }) }
  }
  const operation = ownValue(IAM_ACTIONS, `${service}:${name}`) ?? name
  const resource = resourceOf(request, service, operation)
  return resource === undefined ? { service, operation } : { service, operation, resource }
}

const OPERATION = /^[A-Za-z][A-Za-z0-9]{0,127}$/

/** May it change something, or hand out credentials? What is unknown may. */
export function isMutating({ service, operation }: AwsOperation): boolean {
  if (READS_IN_NAME_ONLY.test(operation)) return true
  if (service === 'execute-api') return !/^(Invoke(GET|HEAD|OPTIONS)|GetConnection)$/.test(operation)
  return !READING.test(operation)
}

const READING =
  /^(Get|List|Describe|Head|BatchGet|BatchDescribe|BatchCheck|Lookup|Search|Scan$|Query$|Select|Simulate|Estimate|Preview|View|Check(?![Oo]ut|In|point)|Discover|Filter|Validate|Verify(Mac)?$|ESHttpGet$|ESHttpHead$)/
/** What they give opens doors elsewhere, or is given once: an activity's next task, an identity made on the way. */
const READS_IN_NAME_ONLY =
  /^Get(.*(Credentials|Token|PasswordData|UserPassword|ChallengePassword|DataAccess|ComputeAccess|InstanceAccess|LoginUrl|EmbedUrl|UploadUrl|PresignedURL|ResourceApiKey)|ActivityTask$|Id$)/

/** What stands in the table itself: a service called `constructor` is none. */
const ownValue = (table: Readonly<Record<string, string>>, key: string): string | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined

/** Signing names that IAM spells otherwise. */
const IAM_NAMES: Readonly<Record<string, string>> = {
  AWSMobileHubService: 'mobilehub',
  IoTSecuredTunneling: 'iot',
  cloudcontrolapi: 'cloudformation',
  email: 'ses',
  'ingest.timestream': 'timestream',
  'iot-jobs-data': 'iotjobsdata',
  iotdata: 'iot',
  ioteventsdata: 'iotevents',
  'mobile-targeting': 'mobiletargeting',
  monitoring: 'cloudwatch',
  'mturk-requester': 'mechanicalturk',
  s3express: 's3',
  streams: 'dynamodb',
  tagging: 'tag',
}

/** Actions of IAM that are not called as the operation is. */
const IAM_ACTIONS: Readonly<Record<string, string>> = {
  'lambda:Invoke': 'InvokeFunction',
  'bedrock:Converse': 'InvokeModel',
  'bedrock:ConverseStream': 'InvokeModelWithResponseStream',
}

/** S3 Control, which other hosts have below its own path: no bucket of theirs can be called so. */
function isS3Control({ path }: AwsRequestFacts, endpoint: AwsEndpoint | undefined): boolean {
  const host = endpoint?.service
  if (host === 's3-outposts') return endpoint?.prefix === undefined
  return host === 's3-control' || (host === 's3express-control' && path.startsWith(S3_CONTROL_PATH))
}

const S3_CONTROL_PATH = '/v20180820/'

/** Hosts of one customer's own API, domain or collection: what is called there, AWS does not define. */
function dataPlane({ service, method, path }: AwsRequestFacts, endpoint: AwsEndpoint | undefined): string | undefined {
  if (service === 'cloudsearch') return DOCUMENT_PATHS[path]
  if (endpoint?.prefix === undefined || !/^[A-Z]{1,16}$/.test(method)) return undefined
  if (service === 'execute-api' && endpoint.service === 'execute-api') {
    return CONNECTIONS.test(path) ? undefined : `Invoke${method}`
  }
  const isSearch = (service === 'es' || service === 'aoss') && endpoint.service === service
  return isSearch ? `ESHttp${method.charAt(0)}${method.slice(1).toLowerCase()}` : undefined
}

/** Of a CloudSearch domain, which takes a query in a form as well. */
const DOCUMENT_PATHS: Readonly<Record<string, string>> = {
  '/2013-01-01/documents/batch': 'UploadDocuments',
  '/2013-01-01/search': 'Search',
  '/2013-01-01/suggest': 'Suggest',
}

/** Of an API Gateway WebSocket API, below its stage. */
const CONNECTIONS = /^\/(?:[^/]+\/)?(?=(@|%40)connections\/[^/]+$)/

/** Every name that the request gives its operation, each once. */
async function namesOf(request: AwsRequestFacts, endpoint: AwsEndpoint | undefined): Promise<readonly string[]> {
  const hostName = [endpoint?.prefix, endpoint?.service].filter((part) => part !== undefined).join('.')
  const { method, query } = request
  const isControl = isS3(request.service) && request.path.startsWith(S3_CONTROL_PATH)
  const service = await (isControl
    ? findServiceOperations('s3', 's3-control')
    : findServiceOperations(request.service, hostName))
  const path = request.service === 'execute-api' ? request.path.replace(CONNECTIONS, '/') : request.path
  const route = service?.find({ method, path, query })
  return [...new Set([...wireNames(request, service), ...(route === undefined ? [] : [route])])]
}

/** Names in the request itself, of services that look there; of one that is not in the table, it is not known. */
function wireNames(request: AwsRequestFacts, service: ServiceOperations | undefined): string[] {
  if (service !== undefined && !service.isRpc) return []
  return [...targets(request), ...cborPath(request), ...actions(request)]
}

/** `X-Amz-Target: DynamoDB_20120810.GetItem` */
function targets({ headers }: AwsRequestFacts): string[] {
  return headerValues(headers, 'x-amz-target').map((target) => target.slice(target.lastIndexOf('.') + 1))
}

/** `/service/GraniteServiceVersion20100801/operation/PutMetricData` (Smithy RPC v2 CBOR, RPC v2 JSON) */
function cborPath({ headers, path }: AwsRequestFacts): string[] {
  if (!headerValues(headers, 'smithy-protocol').some((value) => value.startsWith('rpc-v2'))) return []
  return [/\/service\/[^/]+\/operation\/([^/]+)\/?$/.exec(path)?.[1] ?? '']
}

/** `Action=DescribeInstances` in the query and in a form body, every one of them. */
function actions({ method, query, headers, body }: AwsRequestFacts): string[] {
  const form = headerValues(headers, 'content-type').some((type) =>
    type.toLowerCase().startsWith('application/x-www-form-urlencoded'),
  )
  const inQuery = new URLSearchParams(query).getAll('Action')
  if (form && body !== undefined) return [...inQuery, ...new URLSearchParams(body.toString('utf8')).getAll('Action')]
  // A body that is not looked at may name another one.
  const isUnseen = method !== 'GET' && !headerValues(headers, 'content-length').includes('0')
  return isUnseen && (form || inQuery.length > 0) ? [...inQuery, ''] : inQuery
}
