import { inspect } from 'node:util'
import type { Log, LogFields } from '#log.ts'
import { printable } from './report-error.ts'
import type { TerminalOutput } from './terminal.ts'

/** A log on stderr that speaks only while `isDebug()` holds: a command line's own words are its output and its errors. */
export function terminalLog(stderr: TerminalOutput, isDebug: () => boolean, component = ''): Log {
  const write =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      if (!isDebug()) return
      const details = Object.entries(fields).map(
        ([key, value]) => ` ${key}=${inspect(value, { breakLength: Infinity })}`,
      )
      const name = component === '' ? '' : `[${component}] `
      stderr.write(printable(`${level} ${name}${message}${details.join('')}\n`))
    }
  return {
    debug: write('DEBUG'),
    info: write('INFO '),
    warn: write('WARN '),
    error: write('ERROR'),
    child: (name) => terminalLog(stderr, isDebug, component === '' ? name : `${component}:${name}`),
  }
}
