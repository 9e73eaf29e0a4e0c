import { AccessError } from '#errors.ts'

/** A command line that cannot be run as it was typed: ends the program with exit code 2. */
export class UsageError extends AccessError {
  override readonly code = 'invalid'
}

/** The person at the keyboard pressed Ctrl-C: ends the program with exit code 130 and says nothing more. */
export class Interrupted extends AccessError {
  override readonly code = 'unavailable'

  constructor() {
    super('interrupted', { hint: 'run the command again' })
  }
}

/**
 * Ends the program with `exitCode` after it has said all there is to say on its own,
 * as when a child program failed or a question is answered by the exit code.
 */
export class ExitWith extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`)
    this.exitCode = exitCode
  }
}
