/** A process of a benchmark that is started by it, spoken to in lines of JSON, and ended with it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface Part extends AsyncDisposable {
  readonly pid: number
  /** The next line that it prints. @throws when it ends instead */
  read<T>(): Promise<T>
  write(value: object): void
}

/** Starts `bench/FILE`, which writes a line of JSON when it is ready. */
export function startPart(file: string): Part {
  const script = new URL(file, import.meta.url).pathname
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    pid: child.pid ?? -1,
    async read<T>() {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${file} ended`)
      return JSON.parse(value) as T // written by that file
    },
    write: (value) => void child.stdin.write(`${JSON.stringify(value)}\n`),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.stdin.end() // it ends with its input
      await exited
    },
  }
}
