/**
 * The thread that owns a SQLite file. It takes requests in order and answers them in order.
 * All requests that have arrived by the time one transaction is done share the next, so that one flush to disk
 * serves many writers (group commit). Nothing is answered or announced before its transaction is on disk.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { OpenFailure } from './sqlite-failure.ts'
import { openSqliteFile, takeBatch } from './sqlite-file.ts'

/** What `sqlite.ts` asks; `now` is its clock, in ms. */
export type SqliteRequest =
  | { readonly id: number; readonly now: number; readonly op: 'get'; readonly key: string }
  | { readonly id: number; readonly now: number; readonly op: 'write'; readonly writes: readonly StoredWrite[] }
  | {
      readonly id: number
      readonly now: number
      readonly op: 'delete'
      readonly key: string
      readonly ifRevision?: string
    }
  | {
      readonly id: number
      readonly now: number
      readonly op: 'list'
      readonly prefix: string
      readonly after?: string
      readonly limit?: number
    }
  | {
      readonly id: number
      readonly now: number
      readonly op: 'since'
      readonly prefix: string
      readonly revision: number
      readonly limit: number
    }
  | { readonly id: number; readonly now: number; readonly op: 'expire' }
  | { readonly id: number; readonly now: number; readonly op: 'close' }

/** A put; `expires` in ms. */
export interface StoredWrite {
  readonly key: string
  readonly value: Uint8Array
  readonly expires: number | null
  readonly ifRevision?: string
}

/** A row: `revision` counts all changes of the file, `expires` in ms. */
export interface StoredItem {
  readonly key: string
  readonly value: Uint8Array
  readonly revision: number
  readonly expires: number | null
}

/** A line of the change log; `value` is null for a delete. */
export interface StoredChange {
  readonly key: string
  readonly value: Uint8Array | null
  readonly revision: number
  readonly expires: number | null
}

/** What the worker sends: once when it is open or cannot be, then one message per transaction. */
export type SqliteMessage =
  | { readonly type: 'open'; readonly revision: number; readonly nextExpiry: number | null }
  | { readonly type: 'failed'; readonly failure: OpenFailure }
  | {
      readonly type: 'done'
      readonly answers: readonly SqliteAnswer[]
      readonly changes: readonly StoredChange[]
      readonly revision: number
      readonly nextExpiry: number | null
    }

/** The result of one request; `conflict` names the key and the revision found. */
export type SqliteAnswer =
  | { readonly id: number; readonly ok: unknown }
  | { readonly id: number; readonly conflict: { readonly key: string; readonly found: number | null } }
  | { readonly id: number; readonly compacted: number }
  | { readonly id: number; readonly error: string }

/** @property keepChanges lines of the change log that are kept for watchers who come back */
export interface SqliteWorkerData {
  readonly path: string
  readonly formatVersion: number
  readonly keepChanges: number
}

/** One open file. Only this thread touches it. */
class Store {
  readonly #db: DatabaseSync
  readonly #keepChanges: number
  readonly #statements: Statements
  #revision: number
  #compacted: number
  #nextExpiry: number | null = null
  /** Changes of the transaction that is being made. */
  #changes: StoredChange[] = []

  constructor(db: DatabaseSync, keepChanges: number) {
    this.#db = db
    this.#keepChanges = keepChanges
    this.#statements = prepare(db)
    const meta = this.#statements.meta.get() as { revision: number; compacted: number } // our own table
    this.#revision = meta.revision
    this.#compacted = meta.compacted
    this.#findNextExpiry()
  }

  get state(): { revision: number; nextExpiry: number | null } {
    return { revision: this.#revision, nextExpiry: this.#nextExpiry }
  }

  /** Answers all requests in one transaction. When that fails, none of them has happened. */
  run(requests: readonly SqliteRequest[]): SqliteMessage {
    const before = { revision: this.#revision, compacted: this.#compacted, nextExpiry: this.#nextExpiry }
    this.#changes = []
    let answers: SqliteAnswer[]
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      this.#expire(Math.max(...requests.map(({ now }) => now)))
      answers = requests.map((request) => this.#answer(request))
      this.#compact()
      if (this.#changes.length > 0) this.#statements.setMeta.run(this.#revision, this.#compacted)
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#revision = before.revision
      this.#compacted = before.compacted
      this.#nextExpiry = before.nextExpiry
      this.#changes = []
      answers = requests.map(({ id }) => ({ id, error: String(error) }))
    }
    return { type: 'done', answers, changes: this.#changes, ...this.state }
  }

  #answer(request: SqliteRequest): SqliteAnswer {
    const { id, now } = request
    switch (request.op) {
      case 'get':
        return { id, ok: this.#live(request.key, now) }
      case 'write':
        return this.#write(id, request.writes, now)
      case 'delete': {
        const item = this.#live(request.key, now)
        if (request.ifRevision !== undefined && String(item?.revision) !== request.ifRevision) {
          return { id, conflict: { key: request.key, found: item?.revision ?? null } }
        }
        if (item !== undefined) this.#delete(request.key)
        return { id, ok: item !== undefined }
      }
      case 'list': {
        const { prefix, after, limit = -1 } = request
        // The worker is the only writer, so what it reads inside a transaction is true at the present revision.
        const from = after !== undefined && after >= prefix ? after : undefined
        const statement = from === undefined ? this.#statements.list : this.#statements.listAfter
        const items = statement.all(from ?? prefix, prefix + LAST, now, limit)
        return { id, ok: { items, revision: this.#revision } }
      }
      case 'since': {
        if (request.revision < this.#compacted || request.revision > this.#revision)
          return { id, compacted: request.revision }
        const { prefix, revision, limit } = request
        const changes = this.#statements.since.all(revision, prefix, prefix + LAST, limit)
        return { id, ok: { changes, revision: this.#revision } }
      }
      case 'expire':
      case 'close':
        return { id, ok: true }
    }
  }

  #write(id: number, writes: readonly StoredWrite[], now: number): SqliteAnswer {
    for (const { key, ifRevision } of writes) {
      if (ifRevision === undefined) continue
      const found = this.#live(key, now)?.revision
      if ((found === undefined ? 'absent' : String(found)) !== ifRevision) {
        return { id, conflict: { key, found: found ?? null } }
      }
    }
    return {
      id,
      ok: writes.map(({ key, value, expires }) => {
        const revision = ++this.#revision
        this.#statements.put.run(key, value, expires, revision)
        this.#log({ key, value, revision, expires })
        if (expires !== null && expires < (this.#nextExpiry ?? Number.POSITIVE_INFINITY)) this.#nextExpiry = expires
        return revision
      }),
    }
  }

  #live(key: string, now: number): StoredItem | undefined {
    return this.#statements.get.get(key, now) as StoredItem | undefined // our own table
  }

  #delete(key: string): void {
    this.#statements.delete.run(key)
    this.#log({ key, value: null, revision: ++this.#revision, expires: null })
  }

  #log(change: StoredChange): void {
    this.#statements.log.run(change.revision, change.key, change.value, change.expires)
    this.#changes.push(change)
  }

  #expire(now: number): void {
    if (this.#nextExpiry === null || this.#nextExpiry > now) return
    for (const { key } of this.#statements.expired.all(now)) this.#delete(String(key))
    this.#findNextExpiry()
  }

  #findNextExpiry(): void {
    const row = this.#statements.nextExpiry.get() as { expires: number | null } | undefined // our own table
    this.#nextExpiry = row?.expires ?? null
  }

  /** In steps of a tenth, so that not every write also deletes. */
  #compact(): void {
    const floor = this.#revision - this.#keepChanges
    if (floor - this.#compacted < this.#keepChanges / 10) return
    this.#statements.compact.run(floor)
    this.#compacted = floor
  }

  close(): void {
    this.#db.close()
  }
}

/** Sorts behind every key; keys may not hold it. */
const LAST = '\u{10ffff}'

type Statements = Readonly<Record<keyof typeof sql, StatementSync>>

const sql = {
  meta: 'SELECT revision, compacted FROM meta',
  setMeta: 'UPDATE meta SET revision = ?, compacted = ?',
  get: 'SELECT key, value, revision, expires FROM items WHERE key = ? AND (expires IS NULL OR expires > ?)',
  put: 'INSERT OR REPLACE INTO items (key, value, expires, revision) VALUES (?, ?, ?, ?)',
  delete: 'DELETE FROM items WHERE key = ?',
  list: 'SELECT key, value, revision, expires FROM items WHERE key >= ? AND key < ? AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?',
  listAfter:
    'SELECT key, value, revision, expires FROM items WHERE key > ? AND key < ? AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?',
  log: 'INSERT INTO changes (revision, key, value, expires) VALUES (?, ?, ?, ?)',
  since:
    'SELECT revision, key, value, expires FROM changes WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision LIMIT ?',
  expired: 'SELECT key FROM items WHERE expires <= ? ORDER BY expires',
  nextExpiry: 'SELECT MIN(expires) AS expires FROM items',
  compact: 'DELETE FROM changes WHERE revision <= ?',
} as const

function prepare(db: DatabaseSync): Statements {
  const entries = Object.entries(sql).map(([name, text]) => [name, db.prepare(text)])
  return Object.fromEntries(entries) as Statements // same keys as `sql`
}

const schema = `
  CREATE TABLE items (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires INTEGER, revision INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX items_by_expiry ON items (expires) WHERE expires IS NOT NULL;
  CREATE TABLE changes (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, expires INTEGER);
  CREATE TABLE meta (revision INTEGER NOT NULL, compacted INTEGER NOT NULL);
  INSERT INTO meta VALUES (0, 0);
`

function serve(port: MessagePort, store: Store): void {
  port.on('message', (first: SqliteRequest) => {
    const batch = takeBatch(port, first)
    port.postMessage(store.run(batch))
    if (batch.some(({ op }) => op === 'close')) {
      store.close()
      port.close()
    }
  })
}

if (parentPort !== null) {
  const { keepChanges, ...file } = workerData as SqliteWorkerData // only sqlite.ts starts this thread
  const opened = openSqliteFile({ ...file, schema })
  if ('failure' in opened) parentPort.postMessage({ type: 'failed', failure: opened.failure } satisfies SqliteMessage)
  else {
    const store = new Store(opened.db, keepChanges)
    parentPort.postMessage({ type: 'open', ...store.state } satisfies SqliteMessage)
    serve(parentPort, store)
  }
}
