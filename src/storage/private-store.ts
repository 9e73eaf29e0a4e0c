import type { Backend, Item } from './backend.ts'

/**
 * JSON values that are no resources and never leave the auth service: password hashes, second factors, user tokens,
 * counters of failed attempts. Paths look like `users/alice/password`; a part that comes from outside goes through
 * `privatePath`.
 */
export interface PrivateStore {
  get<T>(path: string): Promise<PrivateValue<T> | undefined>
  /** Those under `prefix` (`users/alice/`), in the order of their paths. */
  list<T>(prefix: string): Promise<readonly PrivateValue<T>[]>
  put<T>(path: string, value: T, options?: PrivateOptions): Promise<PrivateValue<T>>
  /**
   * Puts only where the value is still at `revision`, or, with `'absent'`, where there is none.
   * @throws {RevisionConflict}
   */
  compareAndSwap<T>(path: string, revision: string, value: T, options?: PrivateOptions): Promise<PrivateValue<T>>
  /** Whether there was something. @throws {RevisionConflict} if it is not at `revision` */
  delete(path: string, revision?: string): Promise<boolean>
}

export interface PrivateValue<T> {
  readonly path: string
  readonly value: T
  readonly revision: string
}

export interface PrivateOptions {
  /** The value is gone from this instant on. */
  readonly expires?: Date
}

/** Joins parts to a path and escapes each: `privatePath('users', 'a/b', 'password')` is `users/a%2Fb/password`. */
export function privatePath(...parts: readonly string[]): string {
  return parts.map(encodeURIComponent).join('/')
}

/** Opens the private values of a backend, which stays its owner's. */
export function openPrivateStore({ backend }: { readonly backend: Backend }): PrivateStore {
  const write = async <T>(
    path: string,
    value: T,
    { expires, ifRevision }: PrivateOptions & { ifRevision?: string },
  ) => {
    const [item] = await backend.write([
      {
        key: PREFIX + path,
        value: Buffer.from(JSON.stringify(value)),
        ...(expires === undefined ? {} : { expires }),
        ...(ifRevision === undefined ? {} : { ifRevision }),
      },
    ])
    if (item === undefined) throw new Error('the backend did not answer for the item written')
    return decode<T>(item)
  }
  return {
    async get<T>(path: string) {
      const item = await backend.get(PREFIX + path)
      return item && decode<T>(item)
    },
    async list<T>(prefix: string) {
      return (await backend.list(PREFIX + prefix)).items.map((item) => decode<T>(item))
    },
    put: (path, value, options = {}) => write(path, value, options),
    compareAndSwap: (path, ifRevision, value, options = {}) => write(path, value, { ...options, ifRevision }),
    delete: (path, revision) => backend.delete(PREFIX + path, revision),
  }
}

const PREFIX = '/private/'

function decode<T>({ key, value, revision }: Item): PrivateValue<T> {
  const parsed = JSON.parse(Buffer.from(value).toString()) as T // only this store writes under this prefix
  return { path: key.slice(PREFIX.length), value: parsed, revision }
}
