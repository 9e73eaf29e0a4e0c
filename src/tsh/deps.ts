import type { Environment, Terminal } from '#cli/terminal.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'

/** What every command of tsh gets: where it reads and writes, and what surrounds it. */
export interface TshDeps {
  readonly terminal: Terminal
  readonly env: Environment
  readonly clock: Clock
  /** Speaks on stderr with `--debug` alone. */
  readonly log: Log
  /** Directory of profiles, keys and certificates: `/home/alice/.tsh`. */
  readonly home: string
  /** Home directory of the user of this machine: `/home/alice`. */
  readonly userHome: string
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
}
