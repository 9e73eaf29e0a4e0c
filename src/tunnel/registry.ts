import type { Duplex } from 'node:stream'
import { AccessError } from '#errors.ts'
import type { StreamMeta } from './session.ts'

/** One tunnel, as the proxy uses it. */
export interface TunnelSession {
  /** Opens a stream to the agent. @throws if the agent does not take it */
  open(meta: StreamMeta, signal: AbortSignal): Promise<Duplex>
}

/** None of the agents that serve a name can be reached. */
export class NoAgentConnected extends AccessError {
  override readonly code = 'unavailable'

  constructor(cause?: unknown) {
    super('no agent that serves this is connected', { hint: 'check that the agent runs and reaches this proxy', cause })
  }
}

/** The tunnels of one proxy. An agent may hold several; none is preferred. */
export interface TunnelRegistry {
  add(hostId: string, session: TunnelSession): Disposable
  has(hostId: string): boolean
  /**
   * Opens a stream to one of these agents, tried in random order; what is dead is skipped.
   *
   * @throws {NoAgentConnected}
   */
  dial(hostIds: readonly string[], meta: StreamMeta, signal: AbortSignal): Promise<Duplex>
  /** Host ids of the agents that are connected, in the order of their first tunnel. */
  connected(): string[]
  /** Resolves at the next change of `connected()`. */
  changed(): Promise<void>
}

export function createTunnelRegistry(): TunnelRegistry {
  const tunnels = new Map<string, Set<TunnelSession>>()
  let change = Promise.withResolvers<void>()
  const tell = (): void => {
    change.resolve()
    change = Promise.withResolvers()
  }
  return {
    add(hostId, session) {
      const sessions = tunnels.get(hostId) ?? new Set()
      sessions.add(session)
      tunnels.set(hostId, sessions)
      tell()
      return {
        [Symbol.dispose]() {
          sessions.delete(session)
          if (sessions.size === 0 && tunnels.get(hostId) === sessions) tunnels.delete(hostId)
          tell()
        },
      }
    },
    has: (hostId) => tunnels.has(hostId),
    connected: () => [...tunnels.keys()],
    changed: () => change.promise,
    async dial(hostIds, meta, signal) {
      const candidates = shuffled([...new Set(hostIds)].flatMap((hostId) => [...(tunnels.get(hostId) ?? [])]))
      let failure: unknown
      for (const session of candidates) {
        try {
          return await session.open(meta, signal)
        } catch (error) {
          signal.throwIfAborted()
          failure = error
        }
      }
      throw new NoAgentConnected(failure)
    },
  }
}

/** Fisher and Yates. */
function shuffled<T>(items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const pick = Math.floor(Math.random() * (last + 1))
    const [a, b] = [items[last], items[pick]]
    if (a !== undefined && b !== undefined) [items[last], items[pick]] = [b, a]
  }
  return items
}
