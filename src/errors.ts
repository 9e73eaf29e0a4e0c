/**
 * The errors that leave a folder, and the closed set of their codes.
 * A subclass stands beside what fails; one table at each edge maps codes to RPC codes, HTTP statuses and exit codes.
 */

/** Kinds of failure. */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'denied'
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'exhausted'
  | 'unavailable'

/** What the reader of an error gets beside its message. */
export interface ErrorDetails {
  /** What to do next, as an imperative sentence without a final period. */
  readonly hint: string
  /** For the operator's log alone; never sent to a caller. */
  readonly cause?: unknown
}

/** Base of every error that leaves a folder. `message` says what happened and may be shown to the caller. */
export abstract class AccessError extends Error {
  abstract readonly code: ErrorCode
  readonly hint: string

  constructor(message: string, { hint, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.hint = hint
  }
}

/** Input that cannot be understood or that breaks a rule of its format. */
export class InvalidInput extends AccessError {
  override readonly code = 'invalid'
}

/** The caller has not proved who they are. */
export class Unauthenticated extends AccessError {
  override readonly code = 'unauthenticated'
}

/** The caller is known and may not do this. */
export class AccessDenied extends AccessError {
  override readonly code = 'denied'
}

/** Nothing has this name, or the caller may not know that something has. */
export class NotFound extends AccessError {
  override readonly code = 'not-found'
}

/** Something has this name already. */
export class AlreadyExists extends AccessError {
  override readonly code = 'already-exists'
}

/** The state changed since the caller read it. */
export class Conflict extends AccessError {
  override readonly code = 'conflict'
}

/** A documented limit was reached. */
export class LimitExceeded extends AccessError {
  override readonly code = 'exhausted'
}

/** A peer that is needed cannot be reached, or did not answer in time. */
export class Unavailable extends AccessError {
  override readonly code = 'unavailable'
}

/** Ends a `switch` over a closed union: the compiler refuses a member that has no case. */
export function unreachable(value: never): Error {
  return new Error(`unexpected value: ${JSON.stringify(value)}`)
}
