/** What an S3 request is about: bucket, key and operation, from host, method, path, query and headers. */
import type { Endpoint } from './endpoint.ts'
import { decodePercent, parseForm } from './percent.ts'
import { headerValues, type WireRequest } from './signature.ts'

/** Bucket and key, decoded, and the query. */
export interface S3Address {
  /** Empty for requests about no bucket. */
  readonly bucket: string
  readonly key: string
  readonly query: ReadonlyMap<string, string>
}

/** Sub-resources of S3 that the lab does not have. A request that names one is never taken for a plain one. */
const otherSubresources = new Set([
  'accelerate',
  'acl',
  'analytics',
  'attributes',
  'cors',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'logging',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'session',
  'tagging',
  'torrent',
  'versionId',
  'versions',
  'website',
])

/** Path style and virtual-host style give the same address. */
export function parseAddress(request: WireRequest, endpoint: Endpoint): S3Address {
  const query = parseForm(request.query)
  const path = request.path.startsWith('/') ? request.path.slice(1) : request.path
  if (endpoint.bucket !== undefined) return { bucket: endpoint.bucket, key: decodePercent(path, 'keep-plus'), query }
  const slash = path.indexOf('/')
  const bucket = decodePercent(slash < 0 ? path : path.slice(0, slash), 'keep-plus')
  return { bucket, key: slash < 0 ? '' : decodePercent(path.slice(slash + 1), 'keep-plus'), query }
}

/** The operation's name in the API, or `undefined` for what the lab does not have. */
export function s3OperationOf(request: WireRequest, endpoint: Endpoint): string | undefined {
  const { bucket, key, query } = parseAddress(request, endpoint)
  if ([...query.keys()].some((name) => otherSubresources.has(name))) return undefined
  if (bucket === '') return request.method === 'GET' ? 'ListBuckets' : undefined
  return key === '' ? bucketOperation(request.method, query) : objectOperation(request, query)
}

function bucketOperation(method: string, query: ReadonlyMap<string, string>): string | undefined {
  switch (method) {
    case 'GET':
      if (query.has('location')) return 'GetBucketLocation'
      if (query.has('versioning')) return 'GetBucketVersioning'
      if (query.has('uploads')) return 'ListMultipartUploads'
      return query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects'
    case 'HEAD':
      return 'HeadBucket'
    case 'PUT':
      return query.has('versioning') ? undefined : 'CreateBucket'
    case 'DELETE':
      return 'DeleteBucket'
    case 'POST':
      return query.has('delete') ? 'DeleteObjects' : undefined
    default:
      return undefined
  }
}

function objectOperation(request: WireRequest, query: ReadonlyMap<string, string>): string | undefined {
  const inUpload = query.has('uploadId')
  const isCopy = headerValues(request, 'x-amz-copy-source').length > 0
  switch (request.method) {
    case 'GET':
      return inUpload ? 'ListParts' : 'GetObject'
    case 'HEAD':
      return 'HeadObject'
    case 'PUT':
      if (inUpload) return query.has('partNumber') && !isCopy ? 'UploadPart' : undefined
      return isCopy ? 'CopyObject' : 'PutObject'
    case 'POST':
      if (query.has('uploads')) return 'CreateMultipartUpload'
      return inUpload ? 'CompleteMultipartUpload' : undefined
    case 'DELETE':
      return inUpload ? 'AbortMultipartUpload' : 'DeleteObject'
    default:
      return undefined
  }
}
