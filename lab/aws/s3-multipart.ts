/** S3 multipart uploads. @see Amazon S3 User Guide, "Uploading and copying objects using multipart upload" */
import { createHash } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import { type ChecksumAlgorithm, checksumAlgorithms, startChecksum } from './checksum.ts'
import { openBucket, type S3Call, type S3Operation, xmlAnswer } from './s3-call.ts'
import { dropContent, joinContents, readContent } from './s3-content.ts'
import { malformedXml, readDocument } from './s3-document.ts'
import { checkKey, checkWriteConditions, keptHeaders, wholeSeconds } from './s3-objects.ts'
import { type ReceivedBody, receiveBody, type StatedChecksum } from './s3-payload.ts'
import type { Bucket, Upload } from './s3-store.ts'
import { childText, type XmlElement } from './xml.ts'

/** All parts but the last have at least 5 MiB. */
const minPartBytes = 5 * 1024 ** 2

/** CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload, ListParts, ListMultipartUploads. */
export const multipartOperations: Readonly<Record<string, S3Operation>> = {
  CreateMultipartUpload(s3) {
    const bucket = openBucket(s3, 's3:PutObject', s3.key)
    checkKey(s3.key)
    const { headers } = s3.call
    const algorithm = algorithmOf(headers['x-amz-checksum-algorithm'])
    const stated = headers['x-amz-checksum-type']
    const checksumType =
      stated === 'FULL_OBJECT' || (stated === undefined && algorithm === 'crc64nvme') ? 'FULL_OBJECT' : 'COMPOSITE'
    const initiated = wholeSeconds(s3.call.now)
    const upload = s3.store.startUpload(bucket, {
      key: s3.key,
      initiated,
      headers: keptHeaders(headers),
      algorithm,
      checksumType,
    })
    const answer = xmlAnswer('InitiateMultipartUploadResult', { Bucket: bucket.name, Key: s3.key, UploadId: upload.id })
    if (!algorithm) return answer
    const checksum = { 'x-amz-checksum-algorithm': algorithm.toUpperCase(), 'x-amz-checksum-type': checksumType }
    return { ...answer, headers: { ...answer.headers, ...checksum } }
  },

  async UploadPart(s3) {
    const { upload } = openUpload(s3, 's3:PutObject')
    const number = partNumber(s3.query.get('partNumber') ?? '')
    const received = await receiveBody(s3.call, s3.store.directory)
    const { checksum, content, md5 } = received
    if (upload.algorithm && checksum && upload.algorithm !== checksum.algorithm) {
      await dropContent(content)
      throw new AwsError(
        'InvalidRequest',
        400,
        `Checksum Type mismatch occurred, expected checksum Type: ${upload.algorithm}, actual checksum Type: ${checksum.algorithm}`,
      )
    }
    const before = upload.parts.get(number)
    upload.parts.set(number, { ...received, at: wholeSeconds(s3.call.now) })
    if (before) await dropContent(before.content)
    const sum = checksum && { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value }
    return { status: 200, headers: { etag: `"${md5}"`, ...sum } }
  },

  async CompleteMultipartUpload(s3) {
    const { bucket, upload } = openUpload(s3, 's3:PutObject')
    const document = await readDocument(s3)
    if (document?.name !== 'CompleteMultipartUpload') throw malformedXml()
    checkWriteConditions(s3, bucket)
    const parts = listedParts(document, upload)
    const content = joinContents(parts.map((part) => part.content))
    const checksum = upload.algorithm && (await wholeChecksum(upload, upload.algorithm, parts))
    const stated = upload.algorithm && s3.call.headers[`x-amz-checksum-${upload.algorithm}`]
    if (
      typeof stated === 'string' &&
      checksum &&
      stated !== checksum.value &&
      stated !== checksum.value.replace(/-\d+$/, '')
    ) {
      throw new AwsError(
        'BadDigest',
        400,
        `The ${upload.algorithm} you specified did not match the calculated checksum.`,
      )
    }
    const md5 = createHash('md5')
    for (const part of parts) md5.update(Buffer.from(part.md5, 'hex'))
    const etag = `"${md5.digest('hex')}-${parts.length}"`
    const lastModified = wholeSeconds(s3.call.now)
    const { headers, key } = upload
    await s3.store.put(bucket, { key, content, etag, lastModified, headers, checksum, parts: parts.length })
    bucket.uploads.delete(upload.id)
    for (const part of upload.parts.values()) if (!parts.includes(part)) await dropContent(part.content)
    return xmlAnswer('CompleteMultipartUploadResult', {
      Location: `https://${s3.call.endpoint.host}${s3.call.request.path}`,
      Bucket: bucket.name,
      Key: key,
      ETag: etag,
      ...(checksum
        ? { [`Checksum${checksum.algorithm.toUpperCase()}`]: checksum.value, ChecksumType: checksum.type }
        : {}),
    })
  },

  async AbortMultipartUpload(s3) {
    const { bucket, upload } = openUpload(s3, 's3:AbortMultipartUpload')
    bucket.uploads.delete(upload.id)
    for (const { content } of upload.parts.values()) await dropContent(content)
    return { status: 204 }
  },

  ListParts(s3) {
    const { bucket, upload } = openUpload(s3, 's3:ListMultipartUploadParts')
    const marker = Number(s3.query.get('part-number-marker') ?? 0)
    const limit = Math.min(Number(s3.query.get('max-parts') ?? 1000), 1000)
    const all = [...upload.parts].sort(([a], [b]) => a - b).filter(([number]) => number > marker)
    const page = all.slice(0, limit)
    return xmlAnswer('ListPartsResult', {
      Bucket: bucket.name,
      Key: upload.key,
      UploadId: upload.id,
      StorageClass: 'STANDARD',
      PartNumberMarker: marker,
      NextPartNumberMarker: page.at(-1)?.[0] ?? 0,
      MaxParts: limit,
      IsTruncated: all.length > page.length,
      ChecksumAlgorithm: upload.algorithm?.toUpperCase(),
      Part: page.map(([PartNumber, { at, md5, content, checksum }]) => ({
        PartNumber,
        LastModified: at,
        ETag: `"${md5}"`,
        Size: content.size,
        ...(checksum ? { [`Checksum${checksum.algorithm.toUpperCase()}`]: checksum.value } : {}),
      })),
    })
  },

  ListMultipartUploads(s3) {
    const bucket = openBucket(s3, 's3:ListBucketMultipartUploads')
    const prefix = s3.query.get('prefix') ?? ''
    const uploads = [...bucket.uploads.values()].filter(({ key }) => key.startsWith(prefix))
    return xmlAnswer('ListMultipartUploadsResult', {
      Bucket: bucket.name,
      MaxUploads: 1000,
      IsTruncated: false,
      Upload: uploads.map(({ key, id, initiated }) => ({
        Key: key,
        UploadId: id,
        Initiated: initiated,
        StorageClass: 'STANDARD',
      })),
    })
  },
}

function openUpload(s3: S3Call, action: string): { readonly bucket: Bucket; readonly upload: Upload } {
  const bucket = openBucket(s3, action, s3.key)
  return { bucket, upload: s3.store.upload(bucket, s3.key, s3.query.get('uploadId') ?? '') }
}

function partNumber(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= 10_000) return number
  throw new AwsError('InvalidArgument', 400, 'Part number must be an integer between 1 and 10000, inclusive', {
    fields: { ArgumentName: 'partNumber', ArgumentValue: text },
  })
}

/** The parts that the document lists: in order, there, with the ETags that were given, and large enough. */
function listedParts(document: XmlElement, upload: Upload): readonly ReceivedBody[] {
  const entries = document.children.filter(({ name }) => name === 'Part')
  if (entries.length === 0) throw malformedXml()
  const numbers = entries.map((entry) => partNumber(childText(entry, 'PartNumber') ?? ''))
  if (numbers.some((number, index) => index > 0 && number <= (numbers[index - 1] ?? 0))) {
    throw new AwsError(
      'InvalidPartOrder',
      400,
      'The list of parts was not in ascending order. The parts list must be specified in order by part number.',
    )
  }
  return entries.map((entry, index) => {
    const number = numbers[index] ?? 0
    const part = upload.parts.get(number)
    const etag = (childText(entry, 'ETag') ?? '').replaceAll('"', '')
    const stated = upload.algorithm && childText(entry, `Checksum${upload.algorithm.toUpperCase()}`)
    if (!part || part.md5 !== etag || (stated !== undefined && stated !== part.checksum?.value)) {
      throw new AwsError(
        'InvalidPart',
        400,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
        { fields: { UploadId: upload.id, PartNumber: String(number) } },
      )
    }
    if (index < entries.length - 1 && part.content.size < minPartBytes) {
      throw new AwsError('EntityTooSmall', 400, 'Your proposed upload is smaller than the minimum allowed size', {
        fields: {
          ProposedSize: String(part.content.size),
          MinSizeAllowed: String(minPartBytes),
          PartNumber: String(number),
        },
      })
    }
    return part
  })
}

/** Of the parts' checksums (`COMPOSITE`), or of all bytes. */
async function wholeChecksum(
  upload: Upload,
  algorithm: ChecksumAlgorithm,
  parts: readonly ReceivedBody[],
): Promise<StatedChecksum> {
  const sum = startChecksum(algorithm)
  if (upload.checksumType === 'FULL_OBJECT') {
    for (const { content } of parts) for await (const chunk of readContent(content)) sum.update(chunk)
    return { algorithm, value: sum.digest().toString('base64'), type: 'FULL_OBJECT' }
  }
  for (const { checksum } of parts) {
    if (!checksum)
      throw new AwsError(
        'InvalidRequest',
        400,
        `The upload was created using a ${algorithm} checksum. The complete request must include the checksum for each part.`,
      )
    sum.update(Buffer.from(checksum.value, 'base64'))
  }
  return { algorithm, value: `${sum.digest().toString('base64')}-${parts.length}`, type: 'COMPOSITE' }
}

function algorithmOf(header: string | string[] | undefined): ChecksumAlgorithm | undefined {
  if (header === undefined) return undefined
  const found = checksumAlgorithms.find((algorithm) => algorithm === String(header).toLowerCase())
  if (!found)
    throw new AwsError(
      'InvalidRequest',
      400,
      'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
    )
  return found
}
