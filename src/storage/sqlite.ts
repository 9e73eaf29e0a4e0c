import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Clock } from '#clock.ts'
import type { AccessError } from '#errors.ts'
import type { Log } from '#log.ts'
import type { Backend, Change, Item, Listing, ListOptions, Progress, Write } from './backend.ts'
import { BackendUnavailable, RevisionCompacted, RevisionConflict } from './backend-errors.ts'
import { openFailureError } from './sqlite-failure.ts'
import type {
  SqliteAnswer,
  SqliteMessage,
  SqliteRequest,
  SqliteWorkerData,
  StoredChange,
  StoredItem,
} from './sqlite-worker.ts'

export interface SqliteOptions {
  /** Example: `/var/lib/teleport/backend/sqlite.db`. Directory and file are made for their owner alone. */
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /** How many changes are kept for watchers who come back; default 10,000. */
  readonly keepChanges?: number
}

/**
 * Opens a SQLite file as the state of a cluster. One process owns the file; a write is on disk when its promise resolves.
 *
 * @throws {BackendLocked} if another process, or this one, has it open
 * @throws {UnknownFormat} if a newer version wrote it, or if it is no such file
 */
export async function openSqliteBackend(options: SqliteOptions): Promise<Backend> {
  const { path, keepChanges = KEEP_CHANGES } = options
  const data: SqliteWorkerData = { path, keepChanges, formatVersion: FORMAT }
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
    workerData: data,
    name: 'storage',
    execArgv: [],
  })
  const [first] = (await once(worker, 'message')) as [SqliteMessage] // the worker is ours
  if (first.type === 'failed') {
    await worker.terminate()
    throw openFailureError(path, first.failure, FORMAT)
  }
  if (first.type !== 'open') throw new Error('the storage worker answered before it was open')
  return new SqliteBackend(worker, options, first)
}

/** Format of the tables. A change of meaning raises it, and an older program refuses the file. */
const FORMAT = 1
/** Ticks of the one timer: expiry is looked for at each, watchers hear of progress at every second. */
const TICK_MS = 200
const SLOW_MS = 1000
const KEEP_CHANGES = 10_000
/** Changes kept in memory, so that watchers who keep up never ask the worker. */
const RECENT = 2000
const PAGE = 500

type Ask = SqliteRequest extends infer R ? (R extends SqliteRequest ? Omit<R, 'id' | 'now'> : never) : never

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: AccessError) => void
  readonly since: number
}

class SqliteBackend implements Backend {
  readonly #worker: Worker
  readonly #clock: Clock
  readonly #log: Log
  readonly #path: string
  readonly #keepRecent: number
  readonly #waiting = new Map<number, Waiting>()
  readonly #watchers = new Set<() => void>()
  readonly #timer: NodeJS.Timeout
  readonly #exited: Promise<unknown>
  /** Changes after revision `#recentFloor`, in order. */
  #recent: StoredChange[] = []
  #recentFloor: number
  #revision: number
  #nextExpiry: number | null
  #nextId = 0
  #ticks = 0
  #isClosed = false

  constructor(
    worker: Worker,
    { clock, log, path, keepChanges = KEEP_CHANGES }: SqliteOptions,
    first: { revision: number; nextExpiry: number | null },
  ) {
    this.#worker = worker
    this.#clock = clock
    this.#log = log
    this.#path = path
    this.#keepRecent = Math.min(RECENT, keepChanges / 2)
    this.#revision = first.revision
    this.#recentFloor = first.revision
    this.#nextExpiry = first.nextExpiry
    worker.on('message', (message: SqliteMessage) => this.#receive(message))
    worker.on('error', (error) =>
      this.#fail(new BackendUnavailable('the storage has failed', { hint: RESTART, cause: error })),
    )
    this.#exited = new Promise((resolve) => worker.once('exit', resolve))
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref()
  }

  async get(key: string): Promise<Item | undefined> {
    const row = (await this.#ask({ op: 'get', key })) as StoredItem | undefined // the worker's answer to `get`
    return row && itemOf(row)
  }

  async write(writes: readonly Write[]): Promise<readonly Item[]> {
    if (new Set(writes.map(({ key }) => key)).size < writes.length) throw new Error('a write names a key twice')
    for (const { key } of writes) assertKey(key)
    const rows = writes.map(({ expires, value, ...write }) => ({
      ...write,
      value: new Uint8Array(value), // a copy: a view into a pool would send the whole pool to the worker
      expires: expires?.getTime() ?? null,
    }))
    const revisions = (await this.#ask({ op: 'write', writes: rows })) as number[] // the worker's answer to `write`
    return rows.map(({ key, value, expires }, index) =>
      itemOf({ key, value, expires, revision: revisions[index] ?? 0 }),
    )
  }

  async delete(key: string, ifRevision?: string): Promise<boolean> {
    return (await this.#ask({ op: 'delete', key, ...(ifRevision === undefined ? {} : { ifRevision }) })) === true
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    const listing = await this.#ask({ op: 'list', prefix, ...options })
    const { items, revision } = listing as { items: StoredItem[]; revision: number } // the worker's answer to `list`
    return { items: items.map(itemOf), revision: String(revision) }
  }

  async *watch(prefix: string, revision: string, signal: AbortSignal): AsyncIterable<Change | Progress> {
    if (!/^\d{1,15}$/.test(revision)) throw new RevisionCompacted(revision)
    let at = Number(revision)
    let marked = -1
    let news = Promise.withResolvers<void>()
    const wake = (): void => news.resolve()
    const hasEnded = (): boolean => signal.aborted || this.#isClosed
    this.#watchers.add(wake)
    signal.addEventListener('abort', wake)
    try {
      while (!hasEnded()) {
        news = Promise.withResolvers() // made before looking, so that nothing slips between
        const page = await this.#changesAfter(prefix, at)
        for (const change of page.changes) {
          if (hasEnded()) break
          yield changeOf(change)
        }
        at = page.revision
        if (!page.isLast || hasEnded()) continue
        const mark = this.#ticks >> 1
        if (mark !== marked) yield { type: 'progress', revision: String(at) }
        marked = mark
        if (!hasEnded()) await news.promise
      }
    } finally {
      this.#watchers.delete(wake)
      signal.removeEventListener('abort', wake)
    }
    if (!signal.aborted) throw closedError(this.#path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) {
      await this.#ask({ op: 'close' }).catch(() => {})
      this.#fail(closedError(this.#path))
    }
    await this.#exited
  }

  /** From memory where possible; a reader who is far behind reads the log on disk page by page. */
  async #changesAfter(
    prefix: string,
    at: number,
  ): Promise<{ changes: readonly StoredChange[]; revision: number; isLast: boolean }> {
    if (at >= this.#recentFloor && at <= this.#revision) {
      const first = this.#recent.length - (this.#revision - at)
      const changes = at === this.#revision ? [] : this.#recent.slice(first).filter(({ key }) => key.startsWith(prefix))
      return { changes, revision: this.#revision, isLast: true }
    }
    const page = await this.#ask({ op: 'since', prefix, revision: at, limit: PAGE })
    const { changes, revision } = page as { changes: StoredChange[]; revision: number } // the worker's answer to `since`
    const last = changes.length < PAGE ? undefined : changes.at(-1)
    return { changes, revision: last?.revision ?? revision, isLast: last === undefined }
  }

  #ask(request: Ask): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(closedError(this.#path))
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject, since: performance.now() })
    this.#worker.postMessage({ ...request, id, now: this.#clock().getTime() })
    return promise
  }

  #receive(message: SqliteMessage): void {
    if (message.type !== 'done') return
    this.#revision = message.revision
    this.#nextExpiry = message.nextExpiry
    if (message.changes.length > 0) this.#announce(message.changes)
    for (const answer of message.answers) this.#settle(answer)
  }

  #announce(changes: readonly StoredChange[]): void {
    this.#recent.push(...changes)
    if (this.#recent.length > 2 * this.#keepRecent) this.#recent = this.#recent.slice(-this.#keepRecent)
    this.#recentFloor = this.#revision - this.#recent.length
    this.#wake()
  }

  #settle(answer: SqliteAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    if (waiting === undefined) return
    this.#waiting.delete(answer.id)
    const took = performance.now() - waiting.since
    if (took > SLOW_MS) this.#log.warn('storage is slow', { path: this.#path, took_ms: Math.round(took) })
    if ('ok' in answer) waiting.resolve(answer.ok)
    else if ('conflict' in answer) {
      const { key, found } = answer.conflict
      waiting.reject(new RevisionConflict(key, found === null ? undefined : String(found)))
    } else if ('compacted' in answer) waiting.reject(new RevisionCompacted(String(answer.compacted)))
    else {
      const hint = `check the free space and the health of the disk under ${this.#path}`
      waiting.reject(new BackendUnavailable('the storage could not be written', { hint, cause: answer.error }))
    }
  }

  #tick(): void {
    this.#ticks++
    if (this.#nextExpiry !== null && this.#nextExpiry <= this.#clock().getTime()) {
      this.#ask({ op: 'expire' }).catch((error: unknown) => this.#log.warn('expiry failed', { error }))
    }
    if (this.#ticks % 2 === 0) this.#wake()
  }

  #wake(): void {
    for (const wake of this.#watchers) wake()
  }

  #fail(error: AccessError): void {
    clearInterval(this.#timer)
    this.#isClosed = true
    this.#wake()
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

const RESTART = 'look at the log for the cause, then restart this service'

const closedError = (path: string): BackendUnavailable =>
  new BackendUnavailable(`the storage ${path} is closed`, { hint: 'the service is stopping: try again in a moment' })

function itemOf({ key, value, revision, expires }: StoredItem): Item {
  return { key, value, revision: String(revision), ...(expires === null ? {} : { expires: new Date(expires) }) }
}

function changeOf({ key, value, revision, expires }: StoredChange): Change {
  if (value === null) return { type: 'delete', key, revision: String(revision) }
  return { type: 'put', item: itemOf({ key, value, revision, expires }) }
}

/** Keys are our own, so a bad one is a mistake in the program. U+10FFFF ends every range; NUL ends strings in SQLite. */
function assertKey(key: string): void {
  if (key === '' || !key.isWellFormed() || /[\0\u{10ffff}]/u.test(key))
    throw new Error(`not a storage key: ${JSON.stringify(key)}`)
}
