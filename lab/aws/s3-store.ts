/** Buckets and objects of the lab. */
import { createHash, randomUUID } from 'node:crypto'
import type { Account } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { ChecksumAlgorithm } from './checksum.ts'
import { type Content, dropContent } from './s3-content.ts'
import type { ReceivedBody, StatedChecksum } from './s3-payload.ts'

/** An object. It never changes: a new one takes its place. */
export interface StoredObject {
  readonly key: string
  readonly content: Content
  /** With its quotes. */
  readonly etag: string
  readonly lastModified: Date
  /** `content-type`, `cache-control`, `x-amz-meta-…`: what comes back with the object. */
  readonly headers: Readonly<Record<string, string>>
  readonly checksum: StatedChecksum | undefined
  /** Number of parts, for an object of a multipart upload. */
  readonly parts: number | undefined
}

/** A multipart upload that is under way, with its parts by number. */
export interface Upload {
  readonly id: string
  readonly key: string
  readonly initiated: Date
  readonly headers: Readonly<Record<string, string>>
  readonly algorithm: ChecksumAlgorithm | undefined
  readonly checksumType: 'FULL_OBJECT' | 'COMPOSITE'
  readonly parts: Map<number, ReceivedBody & { readonly at: Date }>
}

/** A bucket, in one region of one account. */
export interface Bucket {
  readonly name: string
  readonly region: string
  readonly account: Account
  readonly createdAt: Date
  readonly objects: Map<string, StoredObject>
  readonly uploads: Map<string, Upload>
}

/** All buckets: their names are unique over all accounts of a partition. */
export class S3Store {
  /** Where bytes of objects are kept. */
  readonly directory: string
  readonly #buckets = new Map<string, Bucket>()

  constructor(directory: string) {
    this.directory = directory
  }

  /** @throws {AwsError} InvalidBucketName, BucketAlreadyExists, BucketAlreadyOwnedByYou */
  createBucket(name: string, { region, account, now }: { region: string; account: Account; now: Date }): Bucket {
    if (!/^(?!xn--)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) || /\.\.|^\d+\.\d+\.\d+\.\d+$/.test(name)) {
      throw new AwsError('InvalidBucketName', 400, 'The specified bucket is not valid.', {
        fields: { BucketName: name },
      })
    }
    const found = this.#buckets.get(name)
    if (found) {
      throw found.account === account
        ? new AwsError(
            'BucketAlreadyOwnedByYou',
            409,
            'Your previous request to create the named bucket succeeded and you already own it.',
            { fields: { BucketName: name } },
          )
        : new AwsError(
            'BucketAlreadyExists',
            409,
            'The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.',
            { fields: { BucketName: name } },
          )
    }
    const bucket = { name, region, account, createdAt: now, objects: new Map(), uploads: new Map() }
    this.#buckets.set(name, bucket)
    return bucket
  }

  findBucket(name: string): Bucket | undefined {
    return this.#buckets.get(name)
  }

  /** In order of name. */
  bucketsOf(account: Account): readonly Bucket[] {
    return [...this.#buckets.values()]
      .filter((bucket) => bucket.account === account)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** @throws {AwsError} BucketNotEmpty */
  deleteBucket(bucket: Bucket): void {
    if (bucket.objects.size > 0) {
      throw new AwsError('BucketNotEmpty', 409, 'The bucket you tried to delete is not empty', {
        fields: { BucketName: bucket.name },
      })
    }
    this.#buckets.delete(bucket.name)
  }

  /** Keeps bytes that come from the lab itself. */
  async putBytes(name: string, key: string, bytes: Buffer, now: Date): Promise<void> {
    const bucket = this.#buckets.get(name)
    if (!bucket) throw new Error(`the lab has no bucket ${name}`)
    const segments = bytes.length === 0 ? [] : [{ size: bytes.length, bytes }]
    await this.put(bucket, {
      key,
      content: { size: bytes.length, segments },
      etag: `"${createHash('md5').update(bytes).digest('hex')}"`,
      lastModified: new Date(Math.floor(now.getTime() / 1000) * 1000),
      headers: { 'content-type': 'binary/octet-stream' },
      checksum: undefined,
      parts: undefined,
    })
  }

  /** Keeps an object; what had its key before goes. */
  async put(bucket: Bucket, object: StoredObject): Promise<void> {
    const before = bucket.objects.get(object.key)
    bucket.objects.set(object.key, object)
    if (before) await this.#dropUnused(before.content)
  }

  async remove(bucket: Bucket, key: string): Promise<void> {
    const object = bucket.objects.get(key)
    bucket.objects.delete(key)
    if (object) await this.#dropUnused(object.content)
  }

  startUpload(bucket: Bucket, upload: Omit<Upload, 'id' | 'parts'>): Upload {
    const started: Upload = { ...upload, id: randomUUID().replaceAll('-', ''), parts: new Map() }
    bucket.uploads.set(started.id, started)
    return started
  }

  /** @throws {AwsError} NoSuchUpload */
  upload(bucket: Bucket, key: string, id: string): Upload {
    const upload = bucket.uploads.get(id)
    if (upload?.key === key) return upload
    throw new AwsError(
      'NoSuchUpload',
      404,
      'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
      { fields: { UploadId: id } },
    )
  }

  /** A copy shares the files of what it was copied from: they go with the last object that has them. */
  async #dropUnused(content: Content): Promise<void> {
    if (!content.segments.some((segment) => 'file' in segment)) return
    const used = new Set(
      [...this.#buckets.values()].flatMap(({ objects }) =>
        [...objects.values()].flatMap((object) => object.content.segments),
      ),
    )
    await dropContent({ size: 0, segments: content.segments.filter((segment) => !used.has(segment)) })
  }
}
