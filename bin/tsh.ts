/** Starts tsh: hands the process's arguments, environment and streams down, and sets the exit code. */
import { homedir } from 'node:os'
import { systemClock } from '#clock.ts'
import { runTsh } from '#tsh/main.ts'

const interruption = new AbortController()
process.on('SIGINT', () => interruption.abort())
process.on('SIGTERM', () => interruption.abort())
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0) // the reader has seen enough, as `head` does
  throw error
})

process.exitCode = await runTsh({
  argv: process.argv.slice(2),
  env: process.env,
  terminal: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
  clock: systemClock,
  userHome: homedir(),
  signal: interruption.signal,
})
if (interruption.signal.aborted) process.exit() // what is still open waits for nobody
