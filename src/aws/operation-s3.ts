/** S3 requests: the operation stands in method, path and the one sub-resource of the query. */
import { parseAwsHost } from './endpoint.ts'
import type { AwsOperation, AwsRequestFacts } from './operation.ts'
import { headerValues } from './sigv4.ts'

/**
 * Names the operation and the bucket or object.
 *
 * @see Amazon S3 API reference "Actions", "Amazon S3 Simple Storage Service" request syntax of each
 */
export function operationOfS3(request: AwsRequestFacts): Omit<AwsOperation, 'service'> {
  if (request.service === 's3-object-lambda' && request.path === '/WriteGetObjectResponse')
    return { operation: request.method === 'POST' ? 'WriteGetObjectResponse' : 'unknown' }
  const target = targetOf(request)
  if (target === undefined) return { operation: 'unknown' }
  const { bucket, key, resource } = target
  const operation = nameOf(request, bucket, key) ?? 'unknown'
  return resource === undefined ? { operation } : { operation, resource }
}

interface Target {
  readonly bucket: string
  readonly key: string
  readonly resource?: string
}

/** Virtual-host style has the bucket in the host, path style in the path; access points are hosts of their own. */
function targetOf({ host, path, service }: AwsRequestFacts): Target | undefined {
  const endpoint = parseAwsHost(host)
  const decoded = decodePath(path)
  if (endpoint === undefined || decoded === undefined) return undefined
  const name = endpoint.service ?? ''
  if (name === 's3-control' || service === 's3-outposts') return undefined
  const isAccessPoint = name === 's3-accesspoint' || name === 's3-object-lambda'
  if (isAccessPoint) return accessPoint(endpoint.partition, endpoint.region ?? '', endpoint.prefix ?? '', decoded)
  if (name !== 's3' && !name.startsWith('s3express-')) return undefined
  const slash = decoded.indexOf('/', 1)
  const bucket = endpoint.prefix ?? decoded.slice(1, slash === -1 ? undefined : slash)
  const key = endpoint.prefix !== undefined ? decoded.slice(1) : slash === -1 ? '' : decoded.slice(slash + 1)
  if (bucket === '') return { bucket: '', key: '' }
  if (bucket.startsWith('arn:'))
    return { bucket, key: key === '' ? '' : 'object', resource: `${bucket}${key === '' ? '' : `/${key}`}` }
  const resource = `arn:${endpoint.partition}:s3:::${bucket}${key === '' ? '' : `/${key}`}`
  return { bucket, key, resource }
}

function accessPoint(partition: string, region: string, prefix: string, path: string): Target | undefined {
  const [, name = '', account = ''] = /^(.+)-(\d{12})$/.exec(prefix) ?? []
  if (name === '') return undefined
  const key = path.slice(1)
  const arn = `arn:${partition}:s3:${region}:${account}:accesspoint/${name}`
  return { bucket: prefix, key, resource: key === '' ? arn : `${arn}/object/${key}` }
}

function nameOf(request: AwsRequestFacts, bucket: string, key: string): string | undefined {
  const query = new URLSearchParams(request.query)
  const subresources = [...new Set(query.keys())].filter((name) => !PARAMETERS.test(name))
  const [sub = '', ...more] = subresources
  if (more.length > 0 || subresources.some((name) => query.getAll(name).length > 1)) return undefined
  if (bucket === '') return request.method === 'GET' && sub === '' ? listing(request) : undefined
  return key === '' ? bucketOperation(request, sub, query) : objectOperation(request, sub, query)
}

/** Directory buckets are listed at a host of their own. */
function listing({ host }: AwsRequestFacts): string {
  return parseAwsHost(host)?.service === 's3express-control' ? 'ListDirectoryBuckets' : 'ListBuckets'
}

function bucketOperation(
  { method, headers }: AwsRequestFacts,
  sub: string,
  query: URLSearchParams,
): string | undefined {
  const plain = BUCKET[`${method} ${sub}`]
  if (plain !== undefined) return plain
  const property = Object.hasOwn(BUCKET_PROPERTIES, sub) ? BUCKET_PROPERTIES[sub] : undefined
  if (property !== undefined) return propertyOperation(method, property, query.has('id'))
  if (sub !== '') return undefined
  switch (method) {
    case 'GET':
      return query.get('list-type') === '2' ? 'ListObjectsV2' : query.has('list-type') ? undefined : 'ListObjects'
    case 'POST':
      return (headerValues(headers, 'content-type')[0] ?? '').startsWith('multipart/form-data')
        ? 'PostObject'
        : undefined
    default:
      return undefined
  }
}

function propertyOperation(method: string, { name, many }: Property, hasId: boolean): string | undefined {
  switch (method) {
    case 'GET':
      return many && !hasId ? `List${name}s` : `Get${name}`
    case 'PUT':
      return `Put${name}`
    case 'DELETE':
      return `Delete${name}`
    default:
      return undefined
  }
}

function objectOperation(
  { method, headers }: AwsRequestFacts,
  sub: string,
  query: URLSearchParams,
): string | undefined {
  const isCopy = headerValues(headers, 'x-amz-copy-source').length > 0
  if (sub === 'uploadId') {
    if (method === 'PUT') return query.has('partNumber') ? (isCopy ? 'UploadPartCopy' : 'UploadPart') : undefined
    return OBJECT_UPLOAD[method]
  }
  if (method === 'PUT' && sub === '') return isCopy ? 'CopyObject' : 'PutObject'
  if (method === 'GET' && sub === 'annotation' && !query.has('annotationName')) return 'ListObjectAnnotations'
  return OBJECT[`${method} ${sub}`]
}

/** `undefined` for a path that is not well-formed percent-encoded UTF-8. */
function decodePath(path: string): string | undefined {
  try {
    return decodeURIComponent(path.startsWith('/') ? path : `/${path}`)
  } catch {
    return undefined
  }
}

/** Query fields that refine an operation and never choose another one. */
const PARAMETERS =
  /^(X-Amz-.*|x-amz-.*|x-id|response-.*|list-type|prefix|delimiter|marker|max-keys|encoding-type|continuation-token|start-after|fetch-owner|versionId|partNumber|key-marker|version-id-marker|upload-id-marker|max-uploads|part-number-marker|max-parts|id|max-buckets|bucket-region|max-directory-buckets|select-type|optionalObjectAttributes|annotationName|annotation-prefix|max-annotation-results)$/i

const OBJECT_UPLOAD: Readonly<Record<string, string>> = {
  GET: 'ListParts',
  POST: 'CompleteMultipartUpload',
  DELETE: 'AbortMultipartUpload',
}

const OBJECT: Readonly<Record<string, string>> = {
  'GET ': 'GetObject',
  'HEAD ': 'HeadObject',
  'DELETE ': 'DeleteObject',
  'GET acl': 'GetObjectAcl',
  'PUT acl': 'PutObjectAcl',
  'GET tagging': 'GetObjectTagging',
  'PUT tagging': 'PutObjectTagging',
  'DELETE tagging': 'DeleteObjectTagging',
  'GET retention': 'GetObjectRetention',
  'PUT retention': 'PutObjectRetention',
  'GET legal-hold': 'GetObjectLegalHold',
  'PUT legal-hold': 'PutObjectLegalHold',
  'GET attributes': 'GetObjectAttributes',
  'GET torrent': 'GetObjectTorrent',
  'POST uploads': 'CreateMultipartUpload',
  'POST restore': 'RestoreObject',
  'POST select': 'SelectObjectContent',
  'GET annotation': 'GetObjectAnnotation',
  'PUT annotation': 'PutObjectAnnotation',
  'DELETE annotation': 'DeleteObjectAnnotation',
  'PUT renameObject': 'RenameObject',
  'PUT encryption': 'UpdateObjectEncryption',
}

const BUCKET: Readonly<Record<string, string>> = {
  'HEAD ': 'HeadBucket',
  'PUT ': 'CreateBucket',
  'DELETE ': 'DeleteBucket',
  'POST delete': 'DeleteObjects',
  'GET versions': 'ListObjectVersions',
  'GET uploads': 'ListMultipartUploads',
  'GET location': 'GetBucketLocation',
  'GET policyStatus': 'GetBucketPolicyStatus',
  'GET session': 'CreateSession',
  'GET object-lock': 'GetObjectLockConfiguration',
  'PUT object-lock': 'PutObjectLockConfiguration',
  'GET publicAccessBlock': 'GetPublicAccessBlock',
  'PUT publicAccessBlock': 'PutPublicAccessBlock',
  'DELETE publicAccessBlock': 'DeletePublicAccessBlock',
  'GET lifecycle': 'GetBucketLifecycleConfiguration',
  'PUT lifecycle': 'PutBucketLifecycleConfiguration',
  'DELETE lifecycle': 'DeleteBucketLifecycle',
  'GET notification': 'GetBucketNotificationConfiguration',
  'PUT notification': 'PutBucketNotificationConfiguration',
  'POST metadataTable': 'CreateBucketMetadataTableConfiguration',
  'POST metadataConfiguration': 'CreateBucketMetadataConfiguration',
  'PUT metadataAnnotationTable': 'UpdateBucketMetadataAnnotationTableConfiguration',
  'PUT metadataInventoryTable': 'UpdateBucketMetadataInventoryTableConfiguration',
  'PUT metadataJournalTable': 'UpdateBucketMetadataJournalTableConfiguration',
}

interface Property {
  readonly name: string
  /** Several of them, each with an id, and a list of all. */
  readonly many?: boolean
}

const BUCKET_PROPERTIES: Readonly<Record<string, Property>> = {
  abac: { name: 'BucketAbac' },
  accelerate: { name: 'BucketAccelerateConfiguration' },
  acl: { name: 'BucketAcl' },
  analytics: { name: 'BucketAnalyticsConfiguration', many: true },
  cors: { name: 'BucketCors' },
  encryption: { name: 'BucketEncryption' },
  'intelligent-tiering': { name: 'BucketIntelligentTieringConfiguration', many: true },
  inventory: { name: 'BucketInventoryConfiguration', many: true },
  logging: { name: 'BucketLogging' },
  metadataConfiguration: { name: 'BucketMetadataConfiguration' },
  metadataTable: { name: 'BucketMetadataTableConfiguration' },
  metrics: { name: 'BucketMetricsConfiguration', many: true },
  ownershipControls: { name: 'BucketOwnershipControls' },
  policy: { name: 'BucketPolicy' },
  replication: { name: 'BucketReplication' },
  requestPayment: { name: 'BucketRequestPayment' },
  tagging: { name: 'BucketTagging' },
  versioning: { name: 'BucketVersioning' },
  website: { name: 'BucketWebsite' },
}
