import type { Environment, Terminal } from '#cli/terminal.ts'
import type { Clock } from '#clock.ts'

/** What every command of the daemon's program gets; `bin` fills it from the process. */
export interface DaemonDeps {
  readonly terminal: Terminal
  readonly env: Environment
  readonly clock: Clock
  /** Path under which this program was started, for the unit file. */
  readonly executable: string
  readonly pid: number
  /** Aborts on SIGTERM, SIGINT and SIGQUIT: stop, and let what is under way end. */
  readonly signal: AbortSignal
  /** Calls the listener on each SIGHUP, until it is disposed. */
  onHangup(listener: () => void): Disposable
}
