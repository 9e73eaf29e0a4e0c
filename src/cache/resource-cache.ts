import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '#clock.ts'
import type { Document, WatchEvent } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import { readSnapshot, type Snapshot, writeSnapshot } from './snapshot-file.ts'

/**
 * A live copy of the resources that a member decides with. It goes on answering while Auth is away and says how fresh
 * it is. What Auth sends to a member is free of secrets, and so is the copy.
 */
export interface ResourceCache extends AsyncDisposable {
  /** `R` is the type that the kind's parser gives. */
  get<R extends Resource = Resource>(kind: R['kind'], name: string): R | undefined
  list<R extends Resource = Resource>(kind: R['kind']): readonly R[]
  /** Whether a resource is there that this version cannot read: nothing may be allowed by its absence. */
  isUnreadable(kind: string, name: string): boolean
  /** Calls `listener` after each change has been made, until disposed. */
  onChange(listener: (change: CacheChange) => void): Disposable
  /** Everything that Auth knew at this instant of our clock is in the copy. The epoch while nothing is known. */
  asOf(): Date
  /** Resolves when there is something to decide with: a kept copy, or the first snapshot. */
  readonly ready: Promise<void>
}

/** What is at a name now; `resource` is undefined when it is gone or cannot be read. */
export interface CacheChange {
  readonly kind: string
  readonly name: string
  readonly resource: Resource | undefined
}

export interface ResourceCacheOptions {
  /** `ResourceService.Watch`. The stream begins with a snapshot where `revision` is undefined. */
  readonly watch: (
    kinds: readonly string[],
    revision: string | undefined,
    signal: AbortSignal,
  ) => AsyncIterable<WatchEvent>
  readonly kinds: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** Keeps a copy there, so that a member which restarts while Auth is away can serve. */
  readonly snapshotFile?: string
}

/** Opens the copy; it follows Auth until it is disposed, and comes back by itself. */
export async function openResourceCache(options: ResourceCacheOptions): Promise<ResourceCache> {
  const { snapshotFile, log } = options
  const kept = snapshotFile === undefined ? undefined : await readSnapshot(snapshotFile, log)
  return new LiveCache(options, kept)
}

/** Marks come every 500 ms; a stream that is silent for this long is dead. */
const SILENCE_MS = 5_000
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
const SAVE_MS = 1_000
/** The kept copy says how fresh it is, within this much. */
const SAVE_FRESHNESS_MS = 30_000

/** A resource as it came, and as it could be read. */
interface Entry {
  readonly json: string
  readonly resource: Resource | undefined
}
type Entries = Map<string, Entry>

class LiveCache implements ResourceCache {
  readonly ready: Promise<void>
  readonly #options: ResourceCacheOptions
  readonly #listeners = new Set<(change: CacheChange) => void>()
  readonly #stop = new AbortController()
  readonly #isReady = Promise.withResolvers<void>()
  readonly #following: Promise<void>
  readonly #saveTimer: NodeJS.Timeout | undefined
  /** By kind, then by name. */
  #kinds: Map<string, Entries>
  /** A snapshot that has not ended; it replaces everything when it has. */
  #staging: Map<string, Entries> | undefined
  #revision: string | undefined
  #asOf = new Date(0)
  #isDirty = false
  #savedAsOf = 0
  #saysStale = false
  #saving = Promise.resolve()

  constructor(options: ResourceCacheOptions, kept: Snapshot | undefined) {
    this.#options = options
    this.#kinds = emptyKinds(options.kinds)
    this.ready = this.#isReady.promise
    if (kept !== undefined) this.#load(kept)
    this.#following = this.#follow(this.#stop.signal)
    if (options.snapshotFile !== undefined) this.#saveTimer = setInterval(() => this.#save(), SAVE_MS).unref()
  }

  get<R extends Resource>(kind: R['kind'], name: string): R | undefined {
    return this.#kinds.get(kind)?.get(name)?.resource as R | undefined // the parser of this kind made it
  }

  list<R extends Resource>(kind: R['kind']): readonly R[] {
    const entries = [...(this.#kinds.get(kind)?.values() ?? [])]
    return entries.flatMap(({ resource }) => (resource === undefined ? [] : [resource as R])) // as in `get`
  }

  isUnreadable(kind: string, name: string): boolean {
    const entry = this.#kinds.get(kind)?.get(name)
    return entry !== undefined && entry.resource === undefined
  }

  onChange(listener: (change: CacheChange) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  asOf(): Date {
    return this.#asOf
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#saveTimer)
    this.#stop.abort()
    await this.#following
    this.#save()
    await this.#saving
  }

  /** Follows one stream after the other. The pause grows while none of them brings anything, and is never the same for two members. */
  async #follow(signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#followOnce(signal, () => {
          failures = 0
        })
      } catch (error) {
        if (!signal.aborted)
          this.#options.log.warn('lost the watch on the auth service', { error, attempt: failures + 1 })
      }
      this.#sayStale()
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++)
      await sleep(Math.random() * longest, undefined, { signal }).catch(() => {}) // aborted: the loop ends
    }
  }

  async #followOnce(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { kinds, watch } = this.#options
    const silent = new AbortController()
    const timer = setTimeout(() => silent.abort(new Error(`no word for ${SILENCE_MS} ms`)), SILENCE_MS)
    this.#staging = this.#revision === undefined ? emptyKinds(kinds) : undefined
    try {
      for await (const event of watch(kinds, this.#revision, AbortSignal.any([signal, silent.signal]))) {
        timer.refresh()
        if (signal.aborted) return
        this.#apply(event)
        if (event.event.case === 'progress') onProgress()
      }
    } finally {
      clearTimeout(timer)
      this.#staging = undefined
    }
  }

  #apply({ event, revision }: WatchEvent): void {
    switch (event.case) {
      case 'snapshotStart':
        this.#staging = emptyKinds(this.#options.kinds)
        return
      case 'snapshotEnd':
        if (this.#staging !== undefined) this.#replace(this.#staging)
        this.#staging = undefined
        break
      case 'put':
        this.#put(event.value)
        break
      case 'deleted':
        this.#delete(event.value)
        break
      case 'progress':
        if (this.#staging === undefined) this.#freshen()
        break
      default: // an event of a newer version: what it reports is unknown, so the copy is no longer known to be right
        this.#revision = undefined
        throw new Error('the auth service sent an event that this version does not know')
    }
    // Inside a snapshot there is no revision to come back to.
    if (this.#staging === undefined && revision !== '') this.#revision = revision
  }

  #put({ json }: Document): void {
    const { kind, name, entry } = this.#read(json)
    const entries = (this.#staging ?? this.#kinds).get(kind)
    if (entries === undefined) return
    entries.set(name, entry)
    if (this.#staging === undefined) this.#notify({ kind, name, resource: entry.resource })
  }

  #delete({ kind, name }: { kind: string; name: string }): void {
    const wasThere = (this.#staging ?? this.#kinds).get(kind)?.delete(name)
    if (wasThere === true && this.#staging === undefined) this.#notify({ kind, name, resource: undefined })
  }

  #replace(next: Map<string, Entries>): void {
    const before = this.#kinds
    this.#kinds = next
    this.#freshen()
    this.#isReady.resolve()
    this.#isDirty = true
    for (const [kind, entries] of next) {
      for (const [name, { json, resource }] of entries) {
        if (before.get(kind)?.get(name)?.json !== json) this.#notify({ kind, name, resource })
      }
      for (const name of before.get(kind)?.keys() ?? []) {
        if (!entries.has(name)) this.#notify({ kind, name, resource: undefined })
      }
    }
  }

  #freshen(): void {
    this.#asOf = this.#options.clock()
    if (!this.#saysStale) return
    this.#saysStale = false
    this.#options.log.info('the copy of the cluster state is current again')
  }

  /** Once for each time that Auth is away for longer than a moment. */
  #sayStale(): void {
    const { log, clock } = this.#options
    const asOf = this.#asOf.getTime()
    if (this.#saysStale || asOf === 0 || clock().getTime() - asOf < SILENCE_MS) return
    this.#saysStale = true
    log.warn('the copy of the cluster state is stale: changes such as new locks are not known here', {
      as_of: this.#asOf.toISOString(),
    })
  }

  #notify(change: CacheChange): void {
    this.#isDirty = true
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        this.#options.log.error('a listener of the live copy failed', { error, kind: change.kind, name: change.name })
      }
    }
  }

  /** @throws if not even kind and name can be read: then it is unknown what has changed */
  #read(json: string): { kind: string; name: string; entry: Entry } {
    const document: unknown = JSON.parse(json)
    const { kind, name } = refOf(document)
    try {
      const resource = findKind(kind)?.read(document)
      return { kind, name, entry: { json, resource } }
    } catch (error) {
      this.#options.log.error('cannot read a resource of the cluster', { kind, name, error })
      return { kind, name, entry: { json, resource: undefined } }
    }
  }

  #load(kept: Snapshot): void {
    const { kinds, log } = this.#options
    const loaded = emptyKinds(kinds)
    try {
      for (const json of kept.documents) {
        const { kind, name, entry } = this.#read(json)
        loaded.get(kind)?.set(name, entry)
      }
    } catch (error) {
      log.warn('the kept copy of the cluster state cannot be used', { error })
      return
    }
    this.#kinds = loaded
    // A copy of other kinds than these lacks some of them: it is good to start with, but not to go on from.
    if (kept.kinds.join() === kinds.join()) this.#revision = kept.revision
    this.#asOf = kept.asOf
    this.#isReady.resolve()
  }

  #save(): void {
    const { snapshotFile, kinds, log } = this.#options
    if (this.#asOf.getTime() - this.#savedAsOf >= SAVE_FRESHNESS_MS) this.#isDirty = true
    if (!this.#isDirty || snapshotFile === undefined || this.#revision === undefined) return
    this.#isDirty = false
    this.#savedAsOf = this.#asOf.getTime()
    const documents = [...this.#kinds.values()].flatMap((entries) => [...entries.values()].map(({ json }) => json))
    const snapshot = { kinds, revision: this.#revision, asOf: this.#asOf, documents }
    this.#saving = this.#saving
      .then(() => writeSnapshot(snapshotFile, snapshot))
      .catch((error: unknown) => log.warn('cannot keep a copy of the cluster state', { file: snapshotFile, error }))
  }
}

const emptyKinds = (kinds: readonly string[]): Map<string, Entries> => new Map(kinds.map((kind) => [kind, new Map()]))

function refOf(document: unknown): { kind: string; name: string } {
  if (typeof document === 'object' && document !== null && 'kind' in document && 'metadata' in document) {
    const { kind, metadata } = document
    if (typeof kind === 'string' && typeof metadata === 'object' && metadata !== null && 'name' in metadata) {
      if (typeof metadata.name === 'string') return { kind, name: metadata.name }
    }
  }
  throw new Error('a document has no kind and name')
}
