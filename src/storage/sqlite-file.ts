/** Opening a SQLite file that one process owns. Only worker threads load this file: the driver blocks. */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { OpenFailure } from './sqlite-failure.ts'

export interface SqliteFile {
  /** `:memory:` is no file: what it holds is gone with its owner. */
  readonly path: string
  /** A file of a newer format is refused. Kept in the file as `user_version`. */
  readonly formatVersion: number
  /** Makes the tables of a new file. */
  readonly schema: string
}

/**
 * Opens or makes the file, for its owner alone (0600 in a directory of 0700), with write-ahead log and a flush to disk
 * at each commit. The exclusive lock is taken before anything else: with it no other process can so much as read it.
 */
export function openSqliteFile(file: SqliteFile): { readonly db: DatabaseSync } | { readonly failure: OpenFailure } {
  let db: DatabaseSync | undefined
  try {
    const isFile = file.path !== MEMORY
    if (isFile) create(file.path)
    db = new DatabaseSync(file.path)
    prepare(db, file)
    if (isFile) writeFileSync(ownerFile(file.path), `${process.pid}\n`, { mode: 0o600 })
    return { db }
  } catch (error) {
    db?.close()
    return { failure: explain(error, file.path) }
  }
}

/** `first` and what else has arrived, but not so much that the first waits long for the last. */
export function takeBatch<Request>(port: MessagePort, first: Request): Request[] {
  const batch = [first]
  while (batch.length < MAX_BATCH) {
    const next = receiveMessageOnPort(port)
    if (next === undefined) break
    batch.push(next.message as Request) // the thread that sent `first` is the only one that sends
  }
  return batch
}

const MAX_BATCH = 1000
const MEMORY = ':memory:'

/**
 * SQLite gives its journals the mode of the file. A file that exists is not opened here: closing any descriptor of it
 * would drop the locks that this process may hold on it (fcntl(2), "Advisory record locking").
 */
function create(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if (!existsSync(path)) closeSync(openSync(path, 'ax', 0o600))
  chmodSync(path, 0o600)
}

function prepare(db: DatabaseSync, { formatVersion, schema }: SqliteFile): void {
  db.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL')
  db.exec('PRAGMA synchronous = FULL; BEGIN IMMEDIATE')
  const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number } // SQLite's own
  if (found > formatVersion) throw new NewerFormat(found)
  if (found === 0) db.exec(`${schema}; PRAGMA user_version = ${formatVersion}`)
  db.exec('COMMIT')
}

/** Names the owner for whoever is locked out. The lock itself is SQLite's and dies with its process. */
const ownerFile = (path: string): string => `${path}.owner`

class NewerFormat extends Error {
  readonly found: number
  constructor(found: number) {
    super(`format ${found}`)
    this.found = found
  }
}

function explain(error: unknown, path: string): OpenFailure {
  const detail = String(error)
  if (error instanceof NewerFormat) return { reason: 'format', found: error.found, detail }
  // SQLite's primary result codes: 5 SQLITE_BUSY, 6 SQLITE_LOCKED, 26 SQLITE_NOTADB ("Result and Error Codes").
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined
  if (code === 5 || code === 6) {
    const owner = readOwner(path)
    return { reason: 'locked', detail, ...(owner === undefined ? {} : { owner }) }
  }
  if (code === 26) return { reason: 'not-a-database', detail }
  const isPermission = code === 8 || code === 14 || /EACCES|EPERM|EROFS/.test(detail)
  return { reason: isPermission ? 'permission' : 'other', detail }
}

function readOwner(path: string): number | undefined {
  try {
    const owner = Number.parseInt(readFileSync(ownerFile(path), 'utf8'), 10)
    return Number.isSafeInteger(owner) ? owner : undefined
  } catch {
    return undefined
  }
}
