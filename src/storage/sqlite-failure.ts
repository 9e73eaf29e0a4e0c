import type { AccessError } from '#errors.ts'
import { product } from '#product.ts'
import { BackendLocked, BackendUnavailable, UnknownFormat } from './backend-errors.ts'

/** Why a SQLite file could not be opened, as plain data that crosses from the worker's thread. */
export interface OpenFailure {
  readonly reason: 'locked' | 'format' | 'not-a-database' | 'permission' | 'other'
  /** For the operator's log. */
  readonly detail: string
  /** Format version in the file. */
  readonly found?: number
  /** Process id of the owner. */
  readonly owner?: number
}

/** The error for it. `known` is the newest format version that this program reads. */
export function openFailureError(
  path: string,
  { reason, detail, found, owner }: OpenFailure,
  known: number,
): AccessError {
  switch (reason) {
    case 'locked':
      return new BackendLocked(path, owner, detail)
    case 'format':
      return new UnknownFormat(path, found, known, detail)
    case 'not-a-database':
      return new UnknownFormat(path, undefined, known, detail)
    case 'permission':
      return new BackendUnavailable(`${product.name} does not have permission to write to ${path}`, {
        hint: 'run it as the owner of the directory, or give that user the directory with "chown"',
        cause: detail,
      })
    case 'other':
      return new BackendUnavailable(`the storage file ${path} cannot be opened`, {
        hint: 'check that the path is a local file and that the disk is sound and has free space',
        cause: detail,
      })
  }
}
