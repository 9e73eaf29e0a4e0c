import { findKind, type KindDefinition } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import type { Backend, Item } from './backend.ts'
import { RevisionCompacted, RevisionConflict } from './backend-errors.ts'
import { ResourceChanged, ResourceExists, ResourceNotFound } from './resource-errors.ts'

/**
 * Resources over a backend, by kind and name. Their JSON is what is stored; each is checked by its kind when it is
 * written and again when it is read, so that nothing acts on a document that it cannot understand.
 * `R` is the type that the kind's parser gives: `store.get<Role>('role', 'access')`.
 */
export interface ResourceStore {
  /** @throws {ResourceNotFound} */
  get<R extends Resource = Resource>(kind: R['kind'], name: string): Promise<R>
  find<R extends Resource = Resource>(kind: R['kind'], name: string): Promise<R | undefined>
  /** In the order of their names; with a `limit` go on with `after` the last name. */
  list<R extends Resource = Resource>(kind: R['kind'], page?: ResourcePage): Promise<readonly R[]>
  /** @throws {ResourceExists} */
  create<R extends Resource>(resource: R): Promise<R>
  /**
   * Replaces what exists. Conditional when `resource` carries a revision.
   * @throws {ResourceNotFound} @throws {ResourceChanged}
   */
  update<R extends Resource>(resource: R): Promise<R>
  /** Creates or replaces, whatever was there. */
  upsert<R extends Resource>(resource: R): Promise<{ readonly resource: R; readonly created: boolean }>
  /** @throws {ResourceNotFound} @throws {ResourceChanged} if it is not at `revision` */
  delete(kind: string, name: string, revision?: string): Promise<void>
  /**
   * The resources of `kinds` as they are, then every change; from `revision` only the changes after it.
   * Where that revision is no longer kept a new snapshot begins.
   * A change that falls into the making of a snapshot may be reported twice, and the last report is right.
   */
  watch(kinds: readonly string[], revision: string | undefined, signal: AbortSignal): AsyncIterable<StoreEvent>
}

interface ResourcePage {
  readonly after?: string
  readonly limit?: number
}

/** What a watch reports. A snapshot is what stands between its start and its end; what it does not name is gone. */
export type StoreEvent =
  | { readonly type: 'snapshot-start' }
  | { readonly type: 'snapshot-end'; readonly revision: string }
  | { readonly type: 'put'; readonly resource: Resource; readonly revision: string }
  | { readonly type: 'deleted'; readonly kind: string; readonly name: string; readonly revision: string }
  /** Everything up to `revision` has been reported. */
  | { readonly type: 'progress'; readonly revision: string }

/** Opens the resources of a backend, which stays its owner's. */
export function openResourceStore({ backend }: { readonly backend: Backend }): ResourceStore {
  const find = async <R extends Resource>(kind: R['kind'], name: string): Promise<R | undefined> => {
    const item = await backend.get(keyOf(kind, name))
    return item && decode<R>(kind, item)
  }
  const get = async <R extends Resource>(kind: R['kind'], name: string): Promise<R> => {
    const resource = await find<R>(kind, name)
    if (resource === undefined) throw new ResourceNotFound(kind, name)
    return resource
  }
  const put = async <R extends Resource>(resource: R, ifRevision: string): Promise<R> => {
    const [item] = await backend.write([{ ...encode(resource), ifRevision }])
    if (item === undefined) throw new Error('the backend did not answer for the item written')
    return decode<R>(resource.kind, item)
  }
  /** Runs `attempt` until nobody changes the item between its read and its write. */
  const unconditionally = async <T>(attempt: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof RevisionConflict)) throw error
      }
    }
  }

  return {
    find,
    get,
    async list<R extends Resource>(kind: R['kind'], { after, limit }: ResourcePage = {}) {
      const { items } = await backend.list(prefixOf(kind), {
        ...(after === undefined ? {} : { after: keyOf(kind, after) }),
        ...(limit === undefined ? {} : { limit }),
      })
      return items.map((item) => decode<R>(kind, item))
    },
    async create(resource) {
      const { kind, metadata } = resource
      return put(resource, 'absent').catch((error: unknown) => {
        throw error instanceof RevisionConflict ? new ResourceExists(kind, metadata.name) : error
      })
    },
    async update(resource) {
      const { kind, metadata } = resource
      if (metadata.revision === undefined) {
        return unconditionally(async () => put(resource, revisionOf(await get(kind, metadata.name))))
      }
      return put(resource, metadata.revision).catch((error: unknown) => {
        if (!(error instanceof RevisionConflict)) throw error
        throw error.found === undefined
          ? new ResourceNotFound(kind, metadata.name)
          : new ResourceChanged(kind, metadata.name, error)
      })
    },
    async upsert(resource) {
      return unconditionally(async () => {
        const present = await backend.get(keyOf(resource.kind, resource.metadata.name))
        return { resource: await put(resource, present?.revision ?? 'absent'), created: present === undefined }
      })
    },
    async delete(kind, name, revision) {
      const deleted = await backend.delete(keyOf(kind, name), revision).catch((error: unknown) => {
        if (!(error instanceof RevisionConflict)) throw error
        if (error.found !== undefined) throw new ResourceChanged(kind, name, error)
        return false
      })
      if (!deleted) throw new ResourceNotFound(kind, name)
    },
    watch: (kinds, revision, signal) => watch(backend, { kinds, revision, signal }),
  }
}

interface WatchOptions {
  readonly kinds: readonly string[]
  readonly revision: string | undefined
  readonly signal: AbortSignal
}

async function* watch(backend: Backend, { kinds, revision, signal }: WatchOptions): AsyncIterable<StoreEvent> {
  const wanted = new Set(kinds)
  let from = revision
  while (!signal.aborted) {
    from ??= yield* snapshot(backend, kinds)
    try {
      for await (const event of backend.watch(PREFIX, from, signal)) {
        if (event.type === 'progress') {
          yield event
          continue
        }
        const { kind, name } = parseKey(event.type === 'put' ? event.item.key : event.key)
        if (!wanted.has(kind)) continue
        yield event.type === 'put'
          ? { type: 'put', resource: decode(kind, event.item), revision: event.item.revision }
          : { type: 'deleted', kind, name, revision: event.revision }
      }
    } catch (error) {
      if (!(error instanceof RevisionCompacted)) throw error
      from = undefined
    }
  }
}

/** Gives the revision of the first listing: what changed after it is reported by the watch that follows. */
async function* snapshot(backend: Backend, kinds: readonly string[]): AsyncGenerator<StoreEvent, string> {
  yield { type: 'snapshot-start' }
  let first: string | undefined
  for (const kind of kinds) {
    const { items, revision } = await backend.list(prefixOf(kind))
    first ??= revision
    for (const item of items) yield { type: 'put', resource: decode(kind, item), revision: item.revision }
  }
  first ??= (await backend.list(PREFIX, { limit: 1 })).revision
  yield { type: 'snapshot-end', revision: first }
  return first
}

const PREFIX = '/resources/'
const prefixOf = (kind: string): string => `${PREFIX}${kind}/`
/** Names are escaped, since a user's name may hold a slash. */
const keyOf = (kind: string, name: string): string => prefixOf(kind) + encodeURIComponent(name)

function parseKey(key: string): { kind: string; name: string } {
  const [kind = '', name = ''] = key.slice(PREFIX.length).split('/')
  return { kind, name: decodeURIComponent(name) }
}

function encode(resource: Resource): { key: string; value: Uint8Array; expires?: Date } {
  const { revision: _, ...metadata } = resource.metadata
  const checked = definitionOf(resource.kind).parse({ ...resource, metadata })
  const { expires } = checked.metadata
  return {
    key: keyOf(checked.kind, checked.metadata.name),
    value: Buffer.from(JSON.stringify(checked)),
    ...(expires === undefined ? {} : { expires: new Date(expires) }),
  }
}

/** Many watchers get the same item, which is parsed for the first of them. */
const decoded = new WeakMap<Uint8Array, Resource>()

function decode<R extends Resource>(kind: string, { value, revision }: Item): R {
  let resource = decoded.get(value)
  if (resource === undefined) {
    const parsed = definitionOf(kind).read(JSON.parse(Buffer.from(value).toString()))
    resource = Object.freeze({ ...parsed, metadata: Object.freeze({ ...parsed.metadata, revision }) })
    decoded.set(value, resource)
  }
  return resource as R // the parser of this kind made it
}

function definitionOf(kind: string): KindDefinition {
  const definition = findKind(kind)
  if (definition === undefined) throw new Error(`no resource kind "${kind}"`)
  return definition
}

function revisionOf({ kind, metadata }: Resource): string {
  if (metadata.revision === undefined) throw new Error(`${kind} "${metadata.name}" was read without a revision`)
  return metadata.revision
}
