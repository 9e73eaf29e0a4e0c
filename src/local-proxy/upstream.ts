import http from 'node:http'
import type { Duplex } from 'node:stream'

/** A connection to the agent of an app, and until when its certificate opens it. */
export interface AppConnection {
  readonly socket: Duplex
  readonly expires: Date
}

/** Keeps connections to the agent of one app for the next request, but never beyond the certificate that they were made with. */
export class AppConnections extends http.Agent {
  readonly #dial: () => Promise<AppConnection>
  readonly #usable = new WeakMap<Duplex, number>()

  constructor(dial: () => Promise<AppConnection>) {
    super({ keepAlive: true, maxSockets: 256, maxFreeSockets: 32, timeout: FREE_MS })
    this.#dial = dial
  }

  override createConnection(
    _options: http.ClientRequestArgs,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    this.#dial().then(
      ({ socket, expires }) => {
        this.#usable.set(socket, expires.getTime())
        callback?.(null, socket)
      },
      // Node reads only the error then; its type asks for a socket all the same.
      (error: unknown) => (callback as ((error: Error) => void) | undefined)?.(asError(error)),
    )
    return undefined
  }

  /** Called by Node before a connection is kept: `false` closes it. */
  override keepSocketAlive(socket: Duplex): boolean {
    if ((this.#usable.get(socket) ?? 0) - FREE_MS < Date.now()) return false
    super.keepSocketAlive(socket)
    return true
  }
}

/** Shorter than the agent keeps idle connections, so that none is used while it closes. */
const FREE_MS = 30_000

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
