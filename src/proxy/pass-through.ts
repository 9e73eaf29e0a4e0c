import type { Duplex } from 'node:stream'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import { splice } from '#net/splice.ts'
import type { TunnelRegistry } from '#tunnel/registry.ts'
import type { AuthLink } from './auth-link.ts'
import type { ProxyLimits } from './config.ts'
import { limitKey, TokenBuckets } from './token-buckets.ts'

/** A connection that has come in. */
interface Incoming {
  readonly socket: Duplex
  /** IP address. */
  readonly clientAddress: string
  readonly signal: AbortSignal
}

/** The blind part: bytes that this process cannot read, between a client and who ends its TLS. */
export interface PassThrough {
  /** To the Auth Service. Rejects when it cannot be reached; the connection is closed without a word. */
  toAuth(incoming: Incoming): Promise<void>
  /** To one of the agents that serve this name; a name that none serves is closed the same way. */
  toAgent(incoming: Incoming, serverName: string): Promise<void>
}

/** Splices, and counts what a client cuts. */
export function createPassThrough({
  link,
  registry,
  clients,
  log,
}: {
  readonly link: Pick<AuthLink, 'dial' | 'agentsFor'>
  readonly registry: TunnelRegistry
  readonly clients: ClientLimits
  readonly log: Log
}): PassThrough {
  const relay = async ({ socket, clientAddress, signal }: Incoming, far: Duplex): Promise<void> => {
    far.on('error', () => {}) // `splice` sees it
    try {
      await splice(socket, far, { signal })
    } catch (error) {
      clients.countAbort(clientAddress)
      log.debug('a relayed connection was cut', { client: clientAddress, error })
    }
  }
  return {
    async toAuth(incoming) {
      await relay(incoming, await link.dial(incoming.signal))
    },
    async toAgent(incoming, serverName) {
      const { clientAddress, signal } = incoming
      await relay(incoming, await registry.dial(link.agentsFor(serverName), { serverName, clientAddress }, signal))
    },
  }
}

/** What one client address may do at one time. */
export interface ClientLimits {
  /** Counts a connection until it is disposed; `undefined` when there are too many already. */
  admit(clientAddress: string): Disposable | undefined
  countAbort(clientAddress: string): void
}

export function createClientLimits(limits: Pick<ProxyLimits, 'connections' | 'aborts'>, clock: Clock): ClientLimits {
  const open = new Map<string, number>()
  const aborts = new TokenBuckets(limits.aborts, clock)
  return {
    admit(address) {
      const clientAddress = limitKey(address)
      const count = open.get(clientAddress) ?? 0
      if (count >= limits.connections || aborts.isEmpty(clientAddress)) return undefined
      open.set(clientAddress, count + 1)
      return {
        [Symbol.dispose]() {
          const left = (open.get(clientAddress) ?? 1) - 1
          if (left > 0) open.set(clientAddress, left)
          else open.delete(clientAddress)
        },
      }
    },
    countAbort: (clientAddress) => void aborts.take(limitKey(clientAddress)),
  }
}
