import { setTimeout as sleep } from 'node:timers/promises'
import type { Health } from './health.ts'

/** A part, and whether its work succeeds at this moment. */
export interface Check {
  readonly part: string
  readonly isWorking: () => boolean
}

export interface WatchHealthOptions {
  readonly checks: readonly Check[]
  readonly health: Health
  /** Waits until the next look; gives `false` at the end. A test passes its own. */
  readonly pause?: (signal: AbortSignal) => Promise<boolean>
}

/** Between two looks. A part that failed is ready again after two good ones. */
const PAUSE_MS = 5_000

/** Looks at the parts again and again, and tells their health. Disposing ends it. */
export function watchHealth({ checks, health, pause = pauseFor }: WatchHealthOptions): AsyncDisposable {
  const ending = new AbortController()
  const watching = (async () => {
    while (await pause(ending.signal)) {
      for (const { part, isWorking } of checks) {
        if (isWorking()) health.succeeded(part)
        else health.failed(part)
      }
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      ending.abort()
      await watching
    },
  }
}

async function pauseFor(signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(PAUSE_MS, undefined, { signal, ref: false })
    return true
  } catch {
    return false
  }
}
