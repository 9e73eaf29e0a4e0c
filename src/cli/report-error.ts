import { inspect } from 'node:util'
import { AccessError } from '#errors.ts'
import type { TerminalOutput } from './terminal.ts'
import { ExitWith, Interrupted, UsageError } from './usage-error.ts'

/** Exit codes of all programs: 1 a failure, 2 a command line that cannot be run, 130 Ctrl-C (128 + SIGINT, as shells do). */
export const exitCodes = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const

/**
 * Writes `ERROR: …` and `hint: …` to `stderr` and gives the exit code.
 * `debug` adds the stack and the chain of causes, which may hold names that the message leaves out.
 */
export function reportError(error: unknown, { stderr, debug = false }: ReportOptions): number {
  if (error instanceof ExitWith) return error.exitCode
  if (error instanceof Interrupted) {
    stderr.write('\n')
    return exitCodes.interrupted
  }
  const { message, hint } = describe(error)
  stderr.write(`ERROR: ${printable(message)}\n`)
  stderr.write(`hint: ${printable(hint)}\n`)
  if (debug) stderr.write(`${inspect(error, { depth: 6 })}\n`)
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failure
}

export interface ReportOptions {
  readonly stderr: TerminalOutput
  readonly debug?: boolean
}

/** Replaces what could steer a terminal (ESC, C0 and C1 controls but newline and tab) by its `\xNN` form. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (char) =>
    char === '\r' ? '' : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

function describe(error: unknown): { message: string; hint: string } {
  if (error instanceof AccessError) return { message: error.message, hint: error.hint }
  if (isSystemError(error)) {
    const [advice] = systemAdvice.filter(([code]) => code === error.code)
    return { message: error.message, hint: advice?.[1] ?? 'run the command again with --debug to see where it failed' }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { message, hint: 'this should not happen: run the command again with --debug and report what it prints' }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string' // an Error of Node has it
}

const systemAdvice: readonly (readonly [code: string, hint: string])[] = [
  ['EACCES', 'check the permissions of that file'],
  ['EPERM', 'check the permissions of that file'],
  ['ENOENT', 'check the path'],
  ['EISDIR', 'name a file, not a directory'],
  ['ENOTDIR', 'check the path: a part of it is a file, not a directory'],
  ['ENOSPC', 'make room on the disk'],
  ['EROFS', 'choose a place that can be written'],
  ['ECONNREFUSED', 'check the address and that the service is running'],
  ['ENOTFOUND', 'check the spelling of the host name and your DNS'],
  ['ETIMEDOUT', 'check the network and the firewalls between you and the address'],
  ['ECONNRESET', 'try again; if it stays, check the service at that address'],
]
