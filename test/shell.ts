/** Runs real programs in a clean home: what a person at a terminal would do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findTool, toolFolder } from '#test/tools.ts'

/** A person's terminal: a home of its own and nothing of this process's environment but the PATH. */
export interface Shell {
  readonly home: string
  readonly env: Readonly<Record<string, string>>
  /** Runs a line of POSIX shell to its end. Rejects with what it printed unless it ends with 0 or `mayFail` is set. */
  run(line: string, options?: RunOptions): Promise<Ran>
  /** Starts a line of shell and leaves it running: a second terminal. */
  start(line: string): Running
}

interface RunOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly mayFail?: boolean
  /** Milliseconds until it is ended; 120,000 by default. */
  readonly timeoutMs?: number
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A program that runs beside the test. Disposing ends it. */
export interface Running extends AsyncDisposable {
  readonly pid: number
  /** All that it has printed so far, on both streams. */
  output(): string
  /** Types into its input. */
  write(text: string): void
  /** Resolves with the match as soon as the output holds it; rejects when the program ends first or the time is up. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>
  /** Sends a signal and waits for the end. Gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** The checkout, with its launchers in `bin`. */
export const checkout = new URL('..', import.meta.url).pathname

/** @param home made when missing; `.tsh` and the rest end up there */
export function openShell({ home, env = {} }: { home: string; env?: Readonly<Record<string, string>> }): Shell {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const shellEnv: Record<string, string> = {
    HOME: home,
    PATH: [join(checkout, 'bin'), join(home, 'bin'), join(toolFolder(process.env), 'bin'), process.env.PATH ?? ''].join(
      delimiter,
    ),
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    ...(process.env.XDG_CACHE_HOME === undefined ? {} : { XDG_CACHE_HOME: process.env.XDG_CACHE_HOME }),
    ...env,
  }
  return {
    home,
    env: shellEnv,
    run: (line, options) => runToEnd(line, home, shellEnv, options),
    start: (line) => startBeside(line, home, shellEnv),
  }
}

/** The stock AWS CLI of a major version, or whichever `aws` the machine has. */
export function findAwsCli(): string | undefined {
  return findTool('aws-v2') ?? findTool('aws-v1') ?? findTool('aws')
}

async function runToEnd(
  line: string,
  cwd: string,
  env: Record<string, string>,
  options: RunOptions = {},
): Promise<Ran> {
  const child = spawn('/bin/sh', ['-c', line], { cwd, env: { ...env, ...options.env }, stdio: 'pipe', detached: true })
  child.stdin.on('error', () => {}) // a program may end without reading its input
  child.stdin.end(options.input ?? '')
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const timer = setTimeout(() => endGroup(child, 'SIGKILL'), options.timeoutMs ?? 120_000)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null] // of the event
  clearTimeout(timer)
  const ran = { code: code ?? -1, ...output }
  if (code !== 0 && options.mayFail !== true) {
    throw new Error(`"${line}" ended with ${code ?? signal}\n${output.stdout}${output.stderr}`)
  }
  return ran
}

function startBeside(line: string, cwd: string, env: Record<string, string>): Running {
  const child = spawn('/bin/sh', ['-c', `exec ${line}`], {
    cwd,
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  child.stdin.on('error', () => {}) // it may have ended
  let output = ''
  const changed = new EventTarget()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      changed.dispatchEvent(new Event('output'))
    })
  }
  const ended = once(child, 'close').then(([code]) => {
    changed.dispatchEvent(new Event('output'))
    return code as number | null // of the event
  })
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    endGroup(child, signal)
    const timer = setTimeout(() => endGroup(child, 'SIGKILL'), 40_000)
    const code = await ended
    clearTimeout(timer)
    return code
  }
  return {
    pid: child.pid ?? -1,
    output: () => output,
    write: (text) => void child.stdin.write(text),
    async waitFor(pattern, timeoutMs = 30_000) {
      const deadline = AbortSignal.timeout(timeoutMs)
      for (;;) {
        const match = output.match(pattern)
        if (match !== null) return match
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`"${line}" ended before ${pattern}\n${output}`)
        await Promise.race([once(changed, 'output'), once(deadline, 'abort')])
        if (deadline.aborted) throw new Error(`"${line}" did not print ${pattern} within ${timeoutMs} ms\n${output}`)
      }
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
    },
  }
}

/** The child and what it started, by their process group: nothing else is touched. */
function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // ended in between
  }
}
