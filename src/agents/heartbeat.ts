import { createClient, type Transport } from '@connectrpc/connect'
import type { ServedApps } from '#agents/app/apps.ts'
import { JoinService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { product } from '#product.ts'
import type { App } from '#resources/app.ts'

/** Announces what an agent serves, again and again. */
export interface Heartbeat extends AsyncDisposable {
  /** Resolves after the first announcement that was taken. */
  readonly first: Promise<void>
  /** Something has changed: announces it at once. */
  soon(): void
}

const PERIOD_MS = 60_000
const RETRY_MS = 5_000
/** Changes that come together are announced together. */
const GATHER_MS = 50

export interface HeartbeatOptions {
  readonly apps: Pick<ServedApps, 'learnNames'>
  readonly hostId: string
  readonly nodeName: string
  readonly transport: Transport
  readonly log: Log
}

export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { apps, transport, log } = options
  const client = createClient(JoinService, transport)
  const ending = new AbortController()
  const { signal } = ending
  const first = Promise.withResolvers<void>()
  let changed = Promise.withResolvers<void>()

  const announce = async (): Promise<boolean> => {
    try {
      // A name is announced when its certificate is there: who is told of an app shall reach it.
      const named = await apps.learnNames()
      const documents = named.map((app) => ({ json: JSON.stringify(appServer(app, options)) }))
      await client.heartbeat({ documents }, { signal })
      first.resolve()
      return true
    } catch (error) {
      if (!signal.aborted) log.warn('cannot announce the apps of this agent; trying again', { error })
      return false
    }
  }
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      changed = Promise.withResolvers()
      const wasTaken = await announce()
      if (signal.aborted) return
      const pause = (wasTaken ? PERIOD_MS : RETRY_MS) * (0.9 + Math.random() / 5)
      const timer = setTimeout(() => changed.resolve(), pause)
      await changed.promise
      clearTimeout(timer)
    }
  }
  const running = run()
  return {
    first: first.promise,
    soon() {
      const { resolve } = changed
      setTimeout(resolve, GATHER_MS)
    },
    async [Symbol.asyncDispose]() {
      ending.abort()
      changed.resolve()
      await running
    },
  }
}

/** The document; Auth fills in the server name and sets our host id and name itself. */
function appServer(app: App, { hostId, nodeName }: HeartbeatOptions): object {
  return {
    kind: 'app_server',
    version: 'v3',
    metadata: { name: `${hostId}/${app.metadata.name}` },
    spec: { version: product.version, hostname: nodeName, host_id: hostId, app },
  }
}
