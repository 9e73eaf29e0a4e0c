import { once } from 'node:events'
import net from 'node:net'
import { AccessError, type ErrorDetails } from '#errors.ts'
import type { Log } from '#log.ts'

export interface ListenOptions {
  /** Address of the interface: `127.0.0.1`, `0.0.0.0`, `::`. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly log: Log
}

/** A port that is open. Disposing closes it and ends what it serves. */
export interface Listener extends AsyncDisposable {
  readonly host: string
  readonly port: number
}

/** The port can not be opened. */
export class ListenFailed extends AccessError {
  override readonly code = 'unavailable'

  constructor(address: string, { hint, cause }: ErrorDetails) {
    super(`cannot listen on ${address}`, { hint, cause })
  }
}

/**
 * Gives every socket that arrives on `host:port` (port 0: any free one) to `serve`, which owns it.
 * Sockets are half-open: the end of what the peer sends does not end what we send.
 * Disposing stops accepting, aborts the signal of each `serve` and waits for all of them to end.
 *
 * @throws {ListenFailed}
 */
export async function listen(
  { host, port, log }: ListenOptions,
  serve: (socket: net.Socket, signal: AbortSignal) => Promise<void>,
): Promise<Listener> {
  const closing = new AbortController()
  const serving = new Set<Promise<void>>()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {}) // `serve` sees it through its reads and writes
    const served: Promise<void> = serve(socket, closing.signal)
      .catch((error: unknown) => log.debug('connection failed', { error, peer: socket.remoteAddress }))
      .finally(() => {
        socket.destroy()
        serving.delete(served)
      })
    serving.add(served)
  })
  await openPort(server, host, port)
  server.on('error', (error) => log.warn('listener failed', { error })) // such as: no file descriptors left
  return {
    host,
    port: boundPort(server),
    async [Symbol.asyncDispose]() {
      server.close()
      closing.abort()
      await Promise.all(serving)
    },
  }
}

/**
 * Opens the port of a server that is not listening yet.
 *
 * @throws {ListenFailed} that names the address and the usual way out
 */
export async function openPort(server: net.Server, host: string, port: number): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    const hint =
      code === 'EADDRINUSE'
        ? 'stop the program that holds the port, or choose another port'
        : code === 'EACCES'
          ? 'choose a port above 1023, or grant CAP_NET_BIND_SERVICE'
          : 'check that the address belongs to this machine'
    throw new ListenFailed(`${host}:${port}`, { hint, cause })
  }
}

/** The port of a TCP server that is listening. */
export function boundPort(server: net.Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on TCP')
  return address.port
}
