/** The thread that owns the audit log's file. Appends that have arrived together share one transaction. */
import type { DatabaseSync } from 'node:sqlite'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { OpenFailure } from '#storage/sqlite-failure.ts'
import { openSqliteFile, takeBatch } from '#storage/sqlite-file.ts'

export type LogRequest =
  | { readonly id: number; readonly op: 'append'; readonly events: readonly LogRow[] }
  | { readonly id: number; readonly op: 'search'; readonly search: LogSearch }
  | { readonly id: number; readonly op: 'close' }

/** `time` in ms. */
export interface LogRow {
  readonly time: number
  readonly uid: string
  readonly type: string
  readonly user: string | null
  readonly json: string
}

/** `from` and `to` in ms; `after` is the place of the last row of the page before. */
export interface LogSearch {
  readonly from: number
  readonly to: number
  readonly types: readonly string[]
  readonly user: string | null
  readonly text: string | null
  readonly limit: number
  readonly descending: boolean
  readonly after: { readonly time: number; readonly id: number } | null
}

/** What a search finds: `id` orders events of the same ms as they came. */
export interface LogHit {
  readonly time: number
  readonly id: number
  readonly json: string
}

export type LogMessage =
  | { readonly type: 'open' }
  | { readonly type: 'failed'; readonly failure: OpenFailure }
  | { readonly type: 'done'; readonly answers: readonly LogAnswer[] }

export type LogAnswer =
  | { readonly id: number; readonly ok: readonly LogHit[] }
  | { readonly id: number; readonly error: string }

export interface LogWorkerData {
  readonly path: string
  readonly formatVersion: number
}

const schema = `
  CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, uid TEXT NOT NULL, type TEXT NOT NULL, user TEXT, json TEXT NOT NULL);
  CREATE UNIQUE INDEX events_once ON events (time, uid);
  CREATE INDEX events_by_time ON events (time, id);
  CREATE INDEX events_by_type ON events (type, time, id);
  CREATE INDEX events_by_user ON events (user, time, id) WHERE user IS NOT NULL;
`

function run(db: DatabaseSync, batch: readonly LogRequest[]): LogAnswer[] {
  try {
    db.exec('BEGIN IMMEDIATE')
    const answers = batch.map((request) => ({ id: request.id, ok: answer(db, request) }))
    db.exec('COMMIT')
    return answers
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    return batch.map(({ id }) => ({ id, error: String(error) }))
  }
}

function answer(db: DatabaseSync, request: LogRequest): readonly LogHit[] {
  if (request.op === 'append') {
    const insert = db.prepare('INSERT OR IGNORE INTO events (time, uid, type, user, json) VALUES (?, ?, ?, ?, ?)')
    for (const { time, uid, type, user, json } of request.events) insert.run(time, uid, type, user, json)
  }
  return request.op === 'search' ? search(db, request.search) : []
}

function search(db: DatabaseSync, { from, to, types, user, text, limit, descending, after }: LogSearch): LogHit[] {
  const conditions = ['time >= ?', 'time < ?']
  const values: (string | number)[] = [from, to]
  const add = (condition: string, ...more: (string | number)[]): void => {
    conditions.push(condition)
    values.push(...more)
  }
  if (types.length > 0) add(`type IN (${types.map(() => '?').join(', ')})`, ...types)
  if (user !== null) add('user = ?', user)
  if (text !== null) add('instr(lower(json), lower(?)) > 0', text)
  if (after !== null) add(`(time, id) ${descending ? '<' : '>'} (?, ?)`, after.time, after.id)
  const order = descending ? 'DESC' : 'ASC'
  const rows = db
    .prepare(
      `SELECT time, id, json FROM events WHERE ${conditions.join(' AND ')} ORDER BY time ${order}, id ${order} LIMIT ?`,
    )
    .all(...values, limit)
  return rows.map(({ time, id, json }) => ({ time: Number(time), id: Number(id), json: String(json) }))
}

function serve(port: MessagePort, db: DatabaseSync): void {
  port.on('message', (first: LogRequest) => {
    const batch = takeBatch(port, first)
    port.postMessage({ type: 'done', answers: run(db, batch) } satisfies LogMessage)
    if (batch.some(({ op }) => op === 'close')) {
      db.close()
      port.close()
    }
  })
}

if (parentPort !== null) {
  const opened = openSqliteFile({ ...(workerData as LogWorkerData), schema }) // only log-sqlite.ts starts this thread
  if ('failure' in opened) parentPort.postMessage({ type: 'failed', failure: opened.failure } satisfies LogMessage)
  else {
    parentPort.postMessage({ type: 'open' } satisfies LogMessage)
    serve(parentPort, opened.db)
  }
}
