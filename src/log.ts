/** A log that parts write to. `log.child('proxy')` names the component; fields are plain data and never hold a secret. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  child(component: string): Log
}

/** An `error` field is written with its chain of causes; the stack only at level debug. */
export type LogFields = Readonly<Record<string, unknown>>

/** A log that keeps nothing: for tests and for programs that report errors themselves. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
