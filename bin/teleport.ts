/** Starts the daemon's program: hands the process's arguments, environment, streams and signals down, and sets the exit code. */
import { argv, env, pid, stderr, stdin, stdout } from 'node:process'
import { systemClock } from '#clock.ts'
import { runTeleport } from '#daemon/main.ts'

const stopping = new AbortController()
for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(name === 'SIGINT' ? 130 : 143) // asked twice: at once
    stopping.abort()
  })
}
process.on('SIGHUP', () => {}) // its default would end the process
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0) // the reader has seen enough, as `head` does
  throw error
})

process.exitCode = await runTeleport(
  {
    terminal: { stdin, stdout, stderr },
    env,
    clock: systemClock,
    executable: (argv[1] ?? 'teleport').replace(/\.(ts|mjs)$/, ''),
    pid,
    signal: stopping.signal,
    onHangup(listener) {
      process.on('SIGHUP', listener)
      return { [Symbol.dispose]: () => void process.off('SIGHUP', listener) }
    },
  },
  argv.slice(2),
)
