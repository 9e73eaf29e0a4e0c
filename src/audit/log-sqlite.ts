import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { type AccessError, Unavailable } from '#errors.ts'
import type { Log } from '#log.ts'
import { openFailureError } from '#storage/sqlite-failure.ts'
import type { AuditEvent } from './event.ts'
import { type AuditLog, type AuditPage, type AuditQuery, defaultPage, InvalidCursor, maxPage } from './log.ts'
import type { LogAnswer, LogHit, LogMessage, LogRequest, LogWorkerData } from './log-sqlite-worker.ts'
import { trimEvent } from './trim.ts'

export interface SqliteAuditLogOptions {
  /** Example: `/var/lib/teleport/log/events.db`. */
  readonly path: string
  readonly log: Log
}

/**
 * Opens the audit log in a SQLite file of its own, which one process owns.
 *
 * @throws {BackendLocked} if it is open already
 * @throws {UnknownFormat} if a newer version wrote it, or if it is no such file
 */
export async function openSqliteAuditLog({ path, log }: SqliteAuditLogOptions): Promise<AuditLog> {
  const data: LogWorkerData = { path, formatVersion: FORMAT }
  const url = new URL('./log-sqlite-worker.ts', import.meta.url)
  const worker = new Worker(url, { workerData: data, name: 'audit log', execArgv: [] })
  const [first] = (await once(worker, 'message')) as [LogMessage] // the worker is ours
  if (first.type === 'failed') {
    await worker.terminate()
    throw openFailureError(path, first.failure, FORMAT)
  }
  return new SqliteAuditLog(worker, path, log)
}

const FORMAT = 1

type Ask = LogRequest extends infer R ? (R extends LogRequest ? Omit<R, 'id'> : never) : never

interface Waiting {
  readonly resolve: (hits: readonly LogHit[]) => void
  readonly reject: (error: AccessError) => void
}

class SqliteAuditLog implements AuditLog {
  readonly #worker: Worker
  readonly #path: string
  readonly #exited: Promise<unknown>
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 0
  #closed: AccessError | undefined

  constructor(worker: Worker, path: string, log: Log) {
    this.#worker = worker
    this.#path = path
    this.#exited = new Promise((resolve) => worker.once('exit', resolve))
    worker.on('message', (message: LogMessage) => {
      if (message.type === 'done') for (const answer of message.answers) this.#settle(answer)
    })
    worker.on('error', (error) => {
      log.error('the audit log has failed', { path, error })
      this.#close(new Unavailable('the audit log has failed', { hint: RESTART, cause: error }))
    })
  }

  async append(events: readonly AuditEvent[]): Promise<void> {
    if (events.length === 0) return
    const rows = events.map((event) => {
      const kept = trimEvent(event)
      const user = typeof kept.user === 'string' ? kept.user : null
      return { time: Date.parse(kept.time), uid: kept.uid, type: kept.event, user, json: JSON.stringify(kept) }
    })
    await this.#ask({ op: 'append', events: rows })
  }

  async search(query: AuditQuery): Promise<AuditPage> {
    const { from, to, types = [], user = null, text = null, descending = false, after } = query
    const limit = Math.max(1, Math.min(maxPage, query.limit ?? defaultPage))
    const hits = await this.#ask({
      op: 'search',
      search: {
        from: from?.getTime() ?? 0,
        to: to?.getTime() ?? Number.MAX_SAFE_INTEGER,
        types,
        user,
        text,
        limit: limit + 1, // one more says whether there is a next page
        descending,
        after: after === undefined ? null : parseCursor(after),
      },
    })
    const page = hits.slice(0, limit)
    const events = page.map(({ json }) => JSON.parse(json) as AuditEvent) // `append` wrote it
    const last = page.at(-1)
    return hits.length > limit && last !== undefined ? { events, next: `${last.time}-${last.id}` } : { events }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed === undefined) {
      await this.#ask({ op: 'close' }).catch(() => {}) // it failed, and that is logged
      this.#close(
        new Unavailable('the audit log is closed', { hint: 'the service is stopping: try again in a moment' }),
      )
    }
    await this.#exited
  }

  #ask(request: Ask): Promise<readonly LogHit[]> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<readonly LogHit[]>()
    this.#waiting.set(id, { resolve, reject })
    this.#worker.postMessage({ ...request, id })
    return promise
  }

  #settle(answer: LogAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('ok' in answer) waiting?.resolve(answer.ok)
    else {
      const hint = `check the free space and the health of the disk under ${this.#path}`
      waiting?.reject(new Unavailable('the audit log could not be written', { hint, cause: answer.error }))
    }
  }

  #close(reason: AccessError): void {
    this.#closed = reason
    for (const { reject } of this.#waiting.values()) reject(reason)
    this.#waiting.clear()
  }
}

const RESTART = 'look at the log for the cause, then restart this service'

function parseCursor(cursor: string): { time: number; id: number } {
  const [, time, id] = /^(\d{1,15})-(\d{1,15})$/.exec(cursor) ?? []
  if (time === undefined || id === undefined) throw new InvalidCursor(cursor)
  return { time: Number(time), id: Number(id) }
}
