/** S3 operations on objects. */
import type { IncomingHttpHeaders } from 'node:http'
import { AwsError } from './aws-error.ts'
import type { Answer } from './call.ts'
import { decodePercent } from './percent.ts'
import { openBucket, refusalFor, type S3Call, type S3Operation, xmlAnswer } from './s3-call.ts'
import { readContent } from './s3-content.ts'
import { malformedXml, readDocument } from './s3-document.ts'
import { receiveBody } from './s3-payload.ts'
import type { Bucket, StoredObject } from './s3-store.ts'
import { childText } from './xml.ts'

/** GetObject, HeadObject, PutObject, CopyObject, DeleteObject, DeleteObjects. */
export const objectOperations: Readonly<Record<string, S3Operation>> = {
  GetObject: (s3) => readObject(s3, true),
  HeadObject: (s3) => readObject(s3, false),

  async PutObject(s3) {
    const bucket = openBucket(s3, 's3:PutObject', s3.key)
    checkKey(s3.key)
    checkWriteConditions(s3, bucket)
    const { content, md5, checksum } = await receiveBody(s3.call, s3.store.directory)
    const object: StoredObject = {
      key: s3.key,
      content,
      etag: `"${md5}"`,
      lastModified: wholeSeconds(s3.call.now),
      headers: keptHeaders(s3.call.headers),
      checksum,
      parts: undefined,
    }
    await s3.store.put(bucket, object)
    return { status: 200, headers: { etag: object.etag, ...checksumHeaders(object) } }
  },

  async CopyObject(s3) {
    const bucket = openBucket(s3, 's3:PutObject', s3.key)
    checkKey(s3.key)
    const header = decodePercent(String(s3.call.headers['x-amz-copy-source']), 'keep-plus')
    const [, from = '', key = ''] = /^\/?([^/]+)\/(.+?)$/.exec(header) ?? []
    if (key === '')
      throw invalidArgument(
        'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
        'x-amz-copy-source',
      )
    const source = findObject({ ...s3, bucket: from, key }, 'anywhere')
    const replace = s3.call.headers['x-amz-metadata-directive'] === 'REPLACE'
    if (!replace && from === s3.bucket && key === s3.key) {
      throw new AwsError(
        'InvalidRequest',
        400,
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
      )
    }
    const headers = replace ? keptHeaders(s3.call.headers) : source.headers
    const lastModified = wholeSeconds(s3.call.now)
    await s3.store.put(bucket, { ...source, key: s3.key, headers, lastModified })
    return xmlAnswer('CopyObjectResult', { LastModified: lastModified, ETag: source.etag })
  },

  async DeleteObject(s3) {
    const bucket = openBucket(s3, 's3:DeleteObject', s3.key)
    await s3.store.remove(bucket, s3.key)
    return { status: 204 }
  },

  async DeleteObjects(s3) {
    const bucket = openBucket(s3, 's3:ListBucket')
    const document = await readDocument(s3)
    const { 'content-md5': md5 } = s3.call.headers
    if (md5 === undefined && !Object.keys(s3.call.headers).some((name) => /^x-amz-(?:checksum-|trailer)/.test(name))) {
      throw new AwsError(
        'InvalidRequest',
        400,
        'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
      )
    }
    const objects = document?.name === 'Delete' ? document.children.filter(({ name }) => name === 'Object') : []
    if (!document || objects.length === 0 || objects.length > 1000) throw malformedXml()
    const quiet = childText(document, 'Quiet') === 'true'
    const deleted: { Key: string }[] = []
    const errors: { Key: string; Code: string; Message: string }[] = []
    for (const entry of objects) {
      const key = childText(entry, 'Key')
      if (!key) throw malformedXml()
      const refusal = refusalFor(s3, bucket, 's3:DeleteObject', key)
      if (refusal) errors.push({ Key: key, Code: refusal.code, Message: refusal.message })
      else {
        await s3.store.remove(bucket, key)
        deleted.push({ Key: key })
      }
    }
    return xmlAnswer('DeleteResult', { Deleted: quiet ? [] : deleted, Error: errors })
  },
}

/** Headers of an upload that come back with the object. */
export function keptHeaders(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  const kept: Record<string, string> = { 'content-type': headers['content-type'] ?? 'binary/octet-stream' }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') continue
    if (/^(?:cache-control|content-disposition|content-language|expires|x-amz-meta-.+)$/.test(name)) kept[name] = value
    if (name === 'content-encoding') {
      // `aws-chunked` names the framing of the request, which is gone.
      const rest = value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== 'aws-chunked')
      if (rest.length > 0) kept[name] = rest.join(',')
    }
  }
  return kept
}

/** @throws {AwsError} KeyTooLongError */
export function checkKey(key: string): void {
  if (Buffer.byteLength(key) > 1024) {
    throw new AwsError('KeyTooLongError', 400, 'Your key is too long', {
      fields: { MaxSizeAllowed: '1024', Size: String(Buffer.byteLength(key)) },
    })
  }
}

/** `If-None-Match: *` and `If-Match` on writes. @throws {AwsError} PreconditionFailed */
export function checkWriteConditions({ call, key }: S3Call, bucket: Bucket): void {
  const existing = bucket.objects.get(key)
  const noneMatch = call.headers['if-none-match']
  if (noneMatch !== undefined && noneMatch !== '*') {
    throw new AwsError('NotImplemented', 501, 'A header you provided implies functionality that is not implemented', {
      fields: { Header: 'If-None-Match' },
    })
  }
  if (noneMatch === '*' && existing) throw precondition('If-None-Match')
  const match = call.headers['if-match']
  if (match === undefined) return
  if (!existing) throw new AwsError('NoSuchKey', 404, 'The specified key does not exist.', { fields: { Key: key } })
  if (!lists(match, existing.etag)) throw precondition('If-Match')
}

/** S3 tells times to the second. */
export function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000)
}

function readObject(s3: S3Call, withBody: boolean): Answer {
  const object = findObject(s3)
  const { headers } = s3.call
  const { content, etag, lastModified } = object
  const conditions = checkReadConditions(headers, object)
  const common = { etag, 'last-modified': lastModified.toUTCString(), 'accept-ranges': 'bytes', ...object.headers }
  if (conditions === 'not-modified') return { status: 304, headers: common }
  const range = parseRange(headers.range, content.size)
  const [start, end] = range ?? [0, content.size - 1]
  const withChecksum = headers['x-amz-checksum-mode'] === 'ENABLED' && range === undefined
  const answer: Answer = {
    status: range ? 206 : 200,
    headers: {
      ...common,
      ...(object.parts === undefined
        ? {}
        : s3.query.has('partNumber')
          ? { 'x-amz-mp-parts-count': String(object.parts) }
          : {}),
      ...(withChecksum ? checksumHeaders(object) : {}),
      ...responseOverrides(s3),
      ...(range ? { 'content-range': `bytes ${start}-${end}/${content.size}` } : {}),
      'content-length': String(end - start + 1),
    },
  }
  return withBody ? { ...answer, body: readContent(content, start, end) } : answer
}

/** Who may not list the bucket is not told whether a key exists. */
function findObject(s3: S3Call, where: 'here' | 'anywhere' = 'here'): StoredObject {
  const bucket = openBucket(s3, 's3:GetObject', s3.key, where)
  const object = bucket.objects.get(s3.key)
  if (object) return object
  throw (
    refusalFor(s3, bucket, 's3:ListBucket') ??
    new AwsError('NoSuchKey', 404, 'The specified key does not exist.', { fields: { Key: s3.key } })
  )
}

/** RFC 9110 §13.2.2: If-Match before If-Unmodified-Since, If-None-Match before If-Modified-Since. */
function checkReadConditions(
  headers: IncomingHttpHeaders,
  { etag, lastModified }: StoredObject,
): 'go-on' | 'not-modified' {
  const after = (date: string | undefined): boolean => date !== undefined && lastModified.getTime() > Date.parse(date)
  if (headers['if-match'] !== undefined) {
    if (!lists(headers['if-match'], etag)) throw precondition('If-Match')
  } else if (after(headers['if-unmodified-since'])) throw precondition('If-Unmodified-Since')
  if (headers['if-none-match'] !== undefined) return lists(headers['if-none-match'], etag) ? 'not-modified' : 'go-on'
  const since = headers['if-modified-since']
  return since !== undefined && !Number.isNaN(Date.parse(since)) && !after(since) ? 'not-modified' : 'go-on'
}

function lists(header: string, etag: string): boolean {
  const bare = (text: string): string => text.trim().replace(/^W\//, '').replaceAll('"', '')
  return header.split(',').some((item) => item.trim() === '*' || bare(item) === bare(etag))
}

/** One range of bytes. What is not one is ignored, as RFC 9110 §14.2 says; one past the end is refused. */
function parseRange(header: string | undefined, size: number): readonly [start: number, end: number] | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const [, from = '', to = ''] = match
  const start = from === '' ? Math.max(size - Number(to), 0) : Number(from)
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  if (start >= size || start > end) {
    throw new AwsError('InvalidRange', 416, 'The requested range is not satisfiable', {
      fields: { RangeRequested: header ?? '', ActualObjectSize: String(size) },
      headers: { 'content-range': `bytes */${size}` },
    })
  }
  return [start, end]
}

function responseOverrides({ query }: S3Call): Readonly<Record<string, string>> {
  const names = [
    'cache-control',
    'content-disposition',
    'content-encoding',
    'content-language',
    'content-type',
    'expires',
  ]
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = query.get(`response-${name}`)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

function checksumHeaders({ checksum }: StoredObject): Readonly<Record<string, string>> {
  if (!checksum) return {}
  return { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value, 'x-amz-checksum-type': checksum.type }
}

const precondition = (Condition: string): AwsError =>
  new AwsError('PreconditionFailed', 412, 'At least one of the pre-conditions you specified did not hold', {
    fields: { Condition },
  })
const invalidArgument = (message: string, ArgumentName: string): AwsError =>
  new AwsError('InvalidArgument', 400, message, { fields: { ArgumentName } })
