import type { Readable, Writable } from 'node:stream'

/** What a program reads from and writes to: the process's own streams in `bin`, plain streams in tests. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: TerminalOutput
  readonly stderr: TerminalOutput
}

/** A stream for text; `columns` is known where it is a terminal. */
export type TerminalOutput = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** The environment as a value: `{ HOME: '/home/alice' }`. Only `bin` reads the real one. */
export type Environment = Readonly<Record<string, string | undefined>>
