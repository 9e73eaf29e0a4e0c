import type { z } from 'zod'
import type { Backend, Write } from '#storage/backend.ts'

/** A record as it was read. */
export interface StoredRecord<T> {
  readonly name: string
  readonly value: T
  readonly revision: string
}

interface RecordOptions {
  /** The record is gone after this instant. */
  readonly expires?: Date
  /** Revision that the record must still have; `'absent'`: there must be none. */
  readonly ifRevision?: string
}

/**
 * What the Auth Service keeps beside the resources and never shows as one: credentials, user tokens, failed logins,
 * what a host may serve. One kind of record to a prefix, each a JSON document that its schema accepts.
 */
export interface Records<T> {
  find(name: string): Promise<StoredRecord<T> | undefined>
  /** @throws {RevisionConflict} */
  put(name: string, value: T, options?: RecordOptions): Promise<void>
  /** The same as a part of a list of writes that is kept whole or not at all. */
  write(name: string, value: T, options?: RecordOptions): Write
  delete(name: string): Promise<boolean>
  list(): Promise<readonly StoredRecord<T>[]>
}

/** Opens the records under `/auth/PREFIX/`. */
export function openRecords<T>(backend: Backend, prefix: string, schema: z.ZodType<T>): Records<T> {
  const base = `/auth/${prefix}/`
  const keyOf = (name: string): string => base + encodeURIComponent(name)
  const write = (name: string, value: T, options: RecordOptions = {}): Write => ({
    key: keyOf(name),
    value: Buffer.from(JSON.stringify(value)),
    ...options,
  })
  const read = ({ key, value, revision }: { key: string; value: Uint8Array; revision: string }): StoredRecord<T> => ({
    name: decodeURIComponent(key.slice(base.length)),
    value: schema.parse(JSON.parse(Buffer.from(value).toString())),
    revision,
  })
  return {
    async find(name) {
      const item = await backend.get(keyOf(name))
      return item && read(item)
    },
    async put(name, value, options) {
      await backend.write([write(name, value, options)])
    },
    write,
    delete: (name) => backend.delete(keyOf(name)),
    async list() {
      return (await backend.list(base)).items.map(read)
    },
  }
}
