import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '#log.ts'

/** How long what is under way may take to end. systemd's own limit is 90 s. */
const SHUTDOWN_LIMIT_MS = 60_000

/** Disposes, and gives up at the limit. Whether everything ended. */
export async function shutDown(parts: AsyncDisposable, log: Log, limitMs = SHUTDOWN_LIMIT_MS): Promise<boolean> {
  const limit = new AbortController()
  const late = sleep(limitMs, false, { signal: limit.signal, ref: false }).catch(() => false)
  try {
    const done = await Promise.race([parts[Symbol.asyncDispose]().then(() => true), late])
    if (!done) log.error('stopping took too long and is cut short', { limit_ms: limitMs })
    return done
  } finally {
    limit.abort()
  }
}
