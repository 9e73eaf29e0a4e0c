import { Code, ConnectError } from '@connectrpc/connect'
import {
  AccessDenied,
  AccessError,
  AlreadyExists,
  Conflict,
  type ErrorCode,
  type ErrorDetails,
  InvalidInput,
  LimitExceeded,
  NotFound,
  Unauthenticated,
  Unavailable,
} from '#errors.ts'

/** Metadata that carries the hint of an error, percent-encoded so that it fits a header field (RFC 9110 §5.5). */
export const hintHeader = 'access-hint'

/** The one table between our codes and those of the wire. @see Connect protocol, "Error Codes" */
const rows: readonly {
  readonly code: ErrorCode
  readonly wire: Code
  readonly make: new (message: string, details: ErrorDetails) => AccessError
}[] = [
  { code: 'invalid', wire: Code.InvalidArgument, make: InvalidInput },
  { code: 'unauthenticated', wire: Code.Unauthenticated, make: Unauthenticated },
  { code: 'denied', wire: Code.PermissionDenied, make: AccessDenied },
  { code: 'not-found', wire: Code.NotFound, make: NotFound },
  { code: 'already-exists', wire: Code.AlreadyExists, make: AlreadyExists },
  { code: 'conflict', wire: Code.Aborted, make: Conflict },
  { code: 'exhausted', wire: Code.ResourceExhausted, make: LimitExceeded },
  { code: 'unavailable', wire: Code.Unavailable, make: Unavailable },
]

/** A header of more than this would make some peers drop the whole answer. */
const MAX_HINT_BYTES = 2048

/**
 * What goes on the wire for `error`. An `AccessError` keeps code, message and hint; its cause stays here.
 * Everything else is a mistake of ours: the caller gets no text of it.
 */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error
  if (!(error instanceof AccessError)) return new ConnectError('the call failed on the server', Code.Internal)
  const row = rows.find(({ code }) => code === error.code)
  const hint = encodeURIComponent(error.hint.toWellFormed())
  const metadata = hint.length <= MAX_HINT_BYTES ? { [hintHeader]: hint } : {}
  return new ConnectError(error.message, row?.wire ?? Code.Internal, metadata)
}

/** The error behind an answer from the wire, with its code, message and hint. An `AccessError` is given back as it is. */
export function fromConnectError(error: unknown): AccessError {
  if (error instanceof AccessError) return error
  // What fails on the way to the peer is an error of ours that the library wrapped.
  if (error instanceof ConnectError && error.cause instanceof AccessError) return error.cause
  const { code, rawMessage, metadata } = ConnectError.from(error)
  const row = rows.find(({ wire }) => wire === code)
  if (row) {
    const hint = decodeHint(metadata.get(hintHeader)) ?? hintWithout(row.code)
    return new row.make(rawMessage || 'the call was refused', { hint, cause: error })
  }
  switch (code) {
    case Code.OutOfRange:
      return new InvalidInput(rawMessage, { hint: hintWithout('invalid'), cause: error })
    case Code.FailedPrecondition:
      return new Conflict(rawMessage, { hint: hintWithout('conflict'), cause: error })
    case Code.Unimplemented:
      return new InvalidInput('the cluster does not know this call', {
        hint: 'bring client and cluster to the same version',
        cause: error,
      })
    case Code.DeadlineExceeded:
      return new Unavailable('the Auth Service did not answer in time', {
        hint: hintWithout('unavailable'),
        cause: error,
      })
    case Code.Canceled:
      return new Unavailable('the call was cancelled', { hint: 'repeat it', cause: error })
    default:
      return new Unavailable(`the Auth Service failed: ${rawMessage}`, {
        hint: 'look at the log of the Auth Service',
        cause: error,
      })
  }
}

/** A hint from a peer of another version may be missing or broken; that must not hide the error itself. */
function decodeHint(value: string | null): string | undefined {
  if (value === null || value === '') return undefined
  try {
    return decodeURIComponent(value)
  } catch {
    return undefined
  }
}

function hintWithout(code: ErrorCode): string {
  switch (code) {
    case 'unauthenticated':
      return 'log in again'
    case 'denied':
      return 'ask an administrator for a role that allows it'
    case 'unavailable':
      return 'check that the Auth Service runs and can be reached, then try again'
    case 'conflict':
      return 'read the present state and try again'
    case 'exhausted':
      return 'wait a little and try again'
    default:
      return 'correct the request and try again'
  }
}
