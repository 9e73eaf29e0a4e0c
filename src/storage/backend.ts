/**
 * Ordered key-value storage with revisions: all that the auth service needs of a database.
 * Implementation: `sqlite.ts`. Every implementation must pass `backend.conformance.ts`.
 */
export interface Backend extends AsyncDisposable {
  get(key: string): Promise<Item | undefined>
  /**
   * Makes all writes durable or none.
   * @throws {RevisionConflict} if an `ifRevision` does not hold; no write of the list is kept.
   */
  write(writes: readonly Write[]): Promise<readonly Item[]>
  /** Whether something was deleted. @throws {RevisionConflict} */
  delete(key: string, ifRevision?: string): Promise<boolean>
  /** Items whose key starts with `prefix`, in key order, and the revision at which they were all true. */
  list(prefix: string, options?: ListOptions): Promise<Listing>
  /**
   * Every put and delete under `prefix` after `revision`, in order, and a progress mark at least every 500 ms,
   * so that a reader knows how fresh it is. List, then watch from its revision: nothing is missed.
   * An item that expires is reported as a delete.
   * @throws {RevisionCompacted} if that revision is no longer kept: list again.
   */
  watch(prefix: string, revision: string, signal: AbortSignal): AsyncIterable<Change | Progress>
}

/** A stored value, for example `{ key: '/roles/access', value: bytes, revision: '42' }`. */
export interface Item {
  readonly key: string
  readonly value: Uint8Array
  /** Opaque outside the backend. */
  readonly revision: string
  readonly expires?: Date
}

/** One put of a list that is kept whole or not at all. */
export interface Write {
  readonly key: string
  readonly value: Uint8Array
  readonly expires?: Date
  /** Must be the item's revision; `'absent'`: there must be no live item; left out: whatever is there. */
  readonly ifRevision?: string
}

export interface ListOptions {
  /** Only keys greater than this one. */
  readonly after?: string
  readonly limit?: number
}

export interface Listing {
  readonly items: readonly Item[]
  readonly revision: string
}

export type Change =
  | { readonly type: 'put'; readonly item: Item }
  | { readonly type: 'delete'; readonly key: string; readonly revision: string }

/** Everything up to `revision` has been reported. */
export interface Progress {
  readonly type: 'progress'
  readonly revision: string
}
