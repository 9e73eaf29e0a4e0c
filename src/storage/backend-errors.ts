import { AccessError } from '#errors.ts'

/** The item is not at the revision that the write asked for; nothing of the write was kept. */
export class RevisionConflict extends AccessError {
  override readonly code = 'conflict'
  readonly key: string
  /** Revision of the live item; undefined when there is none. */
  readonly found: string | undefined

  constructor(key: string, found: string | undefined) {
    super(`the stored item "${key}" was changed by someone else`, { hint: 'read it again and repeat the change' })
    this.key = key
    this.found = found
  }
}

/** Changes after this revision are no longer kept: the reader has to list again. */
export class RevisionCompacted extends AccessError {
  override readonly code = 'conflict'
  readonly revision: string

  constructor(revision: string) {
    super(`changes since revision ${revision} are no longer kept`, {
      hint: 'list everything again and watch from the revision of that list',
    })
    this.revision = revision
  }
}

/** Another process owns the file. */
export class BackendLocked extends AccessError {
  override readonly code = 'unavailable'

  /** @param owner process id of the owner, when it is known */
  constructor(path: string, owner: number | undefined, cause?: unknown) {
    super(`the storage file ${path} is in use by ${owner === undefined ? 'another process' : `process ${owner}`}`, {
      hint: `stop ${owner === undefined ? 'the other process' : `process ${owner}`} or give this one a data directory of its own; two cannot share a SQLite file`,
      cause,
    })
  }
}

/** The file was written in a form that this version does not know, or is no storage file at all. */
export class UnknownFormat extends AccessError {
  override readonly code = 'invalid'

  /** @param found format version in the file; undefined when the file is something else */
  constructor(path: string, found: number | undefined, known: number, cause?: unknown) {
    super(
      found === undefined
        ? `${path} is not a storage file`
        : `the storage file ${path} has format ${found}, and this version knows formats up to ${known}`,
      {
        hint:
          found === undefined
            ? 'move the file away, or restore it from a backup'
            : 'start the version that wrote it, or a newer one; going back to an older version needs a backup from before the upgrade',
        cause,
      },
    )
  }
}

/** The storage is closed, or the disk under it failed. */
export class BackendUnavailable extends AccessError {
  override readonly code = 'unavailable'
}
