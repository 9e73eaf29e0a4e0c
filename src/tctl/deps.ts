import type { Environment, Terminal } from '#cli/terminal.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'

/** What every command of tctl gets. */
export interface TctlDeps {
  readonly terminal: Terminal
  readonly env: Environment
  readonly clock: Clock
  /** Speaks on stderr with `--debug` alone. */
  readonly log: Log
  /** Directory of the caller's profiles: `/home/alice/.tsh`. */
  readonly home: string
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
}
