import { once } from 'node:events'
import net from 'node:net'
import { Unavailable } from '#errors.ts'
import { type Address, addressText } from './address.ts'

/** A connection to a part of this very process, or to the Auth Service beside it. @throws {Unavailable} */
export async function dialTcp({ host, port }: Address, signal: AbortSignal): Promise<net.Socket> {
  const socket = net.connect({ host: reachable(host), port, signal })
  try {
    await once(socket, 'connect', { signal })
    return socket
  } catch (cause) {
    socket.destroy()
    throw new Unavailable(`cannot connect to ${addressText({ host, port })}`, {
      hint: 'check that the service is running',
      cause,
    })
  }
}

/** What listens on every interface is reached on loopback. */
export function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
