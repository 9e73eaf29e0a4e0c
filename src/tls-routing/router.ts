import type { Duplex } from 'node:stream'
import { type ClientHello, InvalidClientHello, MAX_CLIENT_HELLO_BYTES, parseClientHello } from './client-hello.ts'

/** Takes a connection over, untouched: its first bytes are the ClientHello. It owns `socket`. */
export type Route = (socket: Duplex, hello: ClientHello, signal: AbortSignal) => Promise<void>

export interface RouteOptions {
  /** For the whole ClientHello, however slowly it comes. */
  readonly timeoutMs: number
  /** Chooses; `undefined` closes the connection without a word. */
  readonly route: (hello: ClientHello) => Route | undefined
  readonly signal: AbortSignal
}

/**
 * Reads the ClientHello of any stream, puts it back, and hands the stream to the route that fits.
 * Resolves when the route is done with it, or when it was closed because no route fits.
 *
 * @throws {InvalidClientHello} also when it does not come in time; the stream is destroyed then
 */
export async function routeConnection(socket: Duplex, { timeoutMs, route, signal }: RouteOptions): Promise<void> {
  let hello: ClientHello
  try {
    hello = await peekClientHello(socket, timeoutMs, signal)
  } catch (error) {
    socket.destroy()
    throw error
  }
  const chosen = route(hello)
  if (chosen === undefined) socket.destroy()
  else await chosen(socket, hello, signal)
}

/** A record header for each of the records that one may be split into. */
const MAX_PEEKED_BYTES = MAX_CLIENT_HELLO_BYTES + 1024

function peekClientHello(socket: Duplex, timeoutMs: number, signal: AbortSignal): Promise<ClientHello> {
  return new Promise((resolve, reject) => {
    let seen: Buffer = Buffer.alloc(0)
    const settle = (finish: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.removeListener('readable', onReadable)
      socket.removeListener('end', onEnd)
      socket.removeListener('error', onError)
      socket.removeListener('close', onEnd)
      finish()
    }
    const fail = (error: unknown): void => settle(() => reject(error))
    const onAbort = (): void => fail(signal.reason)
    const onError = (error: Error): void => fail(error)
    const onEnd = (): void => fail(new InvalidClientHello('the connection ended before it was complete'))
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read()
      if (chunk === null) return
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
      let hello: ClientHello | 'incomplete'
      try {
        hello = parseClientHello(seen)
      } catch (error) {
        fail(error)
        return
      }
      if (hello !== 'incomplete') {
        const complete = hello
        settle(() => {
          socket.unshift(seen)
          resolve(complete)
        })
      } else if (seen.length > MAX_PEEKED_BYTES) fail(new InvalidClientHello('too long'))
    }
    const timer = setTimeout(() => fail(new InvalidClientHello(`not complete within ${timeoutMs} ms`)), timeoutMs)
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('end', onEnd)
    socket.on('error', onError)
    socket.on('close', onEnd)
    socket.on('readable', onReadable)
  })
}
