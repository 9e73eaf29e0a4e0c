import { Readable, Writable } from 'node:stream'
import type { Terminal } from './terminal.ts'

/** A terminal in memory, for a program that is run inside another one. */
export interface MemoryTerminal extends Terminal {
  /** All that was written so far. */
  readonly written: { stdout(): string; stderr(): string }
}

/** `input` is what stdin gives, as if it were piped in. */
export function memoryTerminal(input = ''): MemoryTerminal {
  const [stdout, stderr] = [collector(), collector()]
  return {
    stdin: Readable.from(input === '' ? [] : [Buffer.from(input)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    written: { stdout: stdout.text, stderr: stderr.text },
  }
}

function collector(): { readonly stream: Writable; readonly text: () => string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') }
}
