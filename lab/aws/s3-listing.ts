/** S3 listings of objects: ListObjects and ListObjectsV2. */
import { AwsError } from './aws-error.ts'
import { encodePercent } from './percent.ts'
import { openBucket, type S3Call, type S3Operation, xmlAnswer } from './s3-call.ts'
import type { Bucket, StoredObject } from './s3-store.ts'
import type { XmlValue } from './xml.ts'

/** One page: keys and common prefixes together count towards its size. */
interface Page {
  readonly objects: readonly StoredObject[]
  readonly prefixes: readonly string[]
  /** The last key or prefix of a page that others follow. */
  readonly last: string | undefined
}

/** ListObjects and ListObjectsV2. */
export const listingOperations: Readonly<Record<string, S3Operation>> = {
  ListObjectsV2(s3) {
    const { query } = s3
    const bucket = openBucket(s3, 's3:ListBucket')
    const token = query.get('continuation-token')
    const after = token === undefined ? (query.get('start-after') ?? '') : fromToken(token)
    const { maxKeys, delimiter, prefix, shown } = readListing(s3)
    const page = pageOf(bucket, { prefix, delimiter, after, maxKeys })
    return xmlAnswer('ListBucketResult', {
      Name: bucket.name,
      Prefix: shown(prefix),
      Delimiter: delimiter === undefined ? undefined : shown(delimiter),
      MaxKeys: maxKeys,
      EncodingType: query.get('encoding-type'),
      KeyCount: page.objects.length + page.prefixes.length,
      IsTruncated: page.last !== undefined,
      ContinuationToken: token,
      StartAfter: query.has('start-after') ? shown(query.get('start-after') ?? '') : undefined,
      NextContinuationToken: page.last === undefined ? undefined : toToken(page.last),
      Contents: page.objects.map((object) =>
        objectXml(object, shown, query.get('fetch-owner') === 'true' ? bucket : undefined),
      ),
      CommonPrefixes: page.prefixes.map((Prefix) => ({ Prefix: shown(Prefix) })),
    })
  },

  ListObjects(s3) {
    const { query } = s3
    const bucket = openBucket(s3, 's3:ListBucket')
    const marker = query.get('marker') ?? ''
    const { maxKeys, delimiter, prefix, shown } = readListing(s3)
    const page = pageOf(bucket, { prefix, delimiter, after: marker, maxKeys })
    return xmlAnswer('ListBucketResult', {
      Name: bucket.name,
      Prefix: shown(prefix),
      Marker: shown(marker),
      NextMarker: page.last !== undefined && delimiter !== undefined ? shown(page.last) : undefined,
      Delimiter: delimiter === undefined ? undefined : shown(delimiter),
      MaxKeys: maxKeys,
      EncodingType: query.get('encoding-type'),
      IsTruncated: page.last !== undefined,
      Contents: page.objects.map((object) => objectXml(object, shown, bucket)),
      CommonPrefixes: page.prefixes.map((Prefix) => ({ Prefix: shown(Prefix) })),
    })
  },
}

interface Listing {
  readonly maxKeys: number
  readonly delimiter: string | undefined
  readonly prefix: string
  /** How names are written: as they are, or percent-encoded. */
  readonly shown: (name: string) => string
}

function readListing({ query }: S3Call): Listing {
  const encoding = query.get('encoding-type')
  if (encoding !== undefined && encoding !== 'url') {
    throw new AwsError('InvalidArgument', 400, 'Invalid Encoding Method specified in Request', {
      fields: { ArgumentName: 'encoding-type', ArgumentValue: encoding },
    })
  }
  const text = query.get('max-keys') ?? '1000'
  if (!/^\d{1,9}$/.test(text)) {
    throw new AwsError('InvalidArgument', 400, 'Provided max-keys not an integer or within integer range', {
      fields: { ArgumentName: 'max-keys', ArgumentValue: text },
    })
  }
  return {
    maxKeys: Math.min(Number(text), 1000),
    delimiter: query.get('delimiter') || undefined,
    prefix: query.get('prefix') ?? '',
    shown: encoding === 'url' ? (name) => encodePercent(name).replaceAll('%2F', '/') : (name) => name,
  }
}

function pageOf(
  bucket: Bucket,
  { prefix, delimiter, after, maxKeys }: Omit<Listing, 'shown'> & { after: string },
): Page {
  const objects: StoredObject[] = []
  const prefixes: string[] = []
  let last = ''
  for (const object of sortedObjects(bucket, prefix)) {
    const { key } = object
    if (byBytes(key, after) <= 0) continue
    const cut = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length)
    const common = cut < 0 ? undefined : key.slice(0, cut + (delimiter?.length ?? 0))
    // Keys under a prefix that was given already, on this page or the one before.
    if (common !== undefined && (common === prefixes.at(-1) || common === after)) continue
    if (objects.length + prefixes.length >= maxKeys)
      return { objects, prefixes, last: maxKeys === 0 ? undefined : last }
    if (common === undefined) objects.push(object)
    else prefixes.push(common)
    last = common ?? key
  }
  return { objects, prefixes, last: undefined }
}

/** Keys sort by their UTF-8 bytes. */
function sortedObjects(bucket: Bucket, prefix: string): readonly StoredObject[] {
  const found = [...bucket.objects.values()].filter(({ key }) => key.startsWith(prefix))
  return found.sort((a, b) => byBytes(a.key, b.key))
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const toToken = (last: string): string => `1${Buffer.from(last).toString('base64url')}`

function fromToken(token: string): string {
  const text = Buffer.from(token.slice(1), 'base64url').toString('utf8')
  if (token[0] !== '1' || toToken(text) !== token) {
    throw new AwsError('InvalidArgument', 400, 'The continuation token provided is incorrect', {
      fields: { ArgumentName: 'continuation-token' },
    })
  }
  return text
}

function objectXml(object: StoredObject, shown: (name: string) => string, owner: Bucket | undefined): XmlValue {
  return {
    Key: shown(object.key),
    LastModified: object.lastModified,
    ETag: object.etag,
    ChecksumAlgorithm: object.checksum?.algorithm.toUpperCase(),
    ChecksumType: object.checksum?.type,
    Size: object.content.size,
    Owner: owner && { ID: owner.account.id },
    StorageClass: 'STANDARD',
  }
}
