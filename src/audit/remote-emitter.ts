import { createClient, type Transport } from '@connectrpc/connect'
import type { Clock } from '#clock.ts'
import { AuditService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { openSpool, type Spool } from './spool.ts'

export interface RemoteEmitterOptions {
  /** The spool's file, for example `/var/lib/teleport/audit/spool`. */
  readonly path: string
  /** Connection to the auth service with the member's certificate. */
  readonly transport: Transport
  readonly maxBytes?: number
  readonly clock: Clock
  readonly log: Log
}

/** Longest wait for one batch to be kept by the auth service. */
const TIMEOUT_MS = 15_000

/** The audit log as a member of the cluster sees it: a spool on its own disk that delivers to the auth service. */
export function openRemoteEmitter({ transport, ...options }: RemoteEmitterOptions): Promise<Spool> {
  const client = createClient(AuditService, transport)
  return openSpool({
    ...options,
    async deliver(events, signal) {
      const eventsJson = events.map((event) => JSON.stringify(event))
      const { refused } = await client.emit({ eventsJson }, { signal, timeoutMs: TIMEOUT_MS })
      return { refused }
    },
  })
}
