import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Log } from '#log.ts'
import { type App, parseApp } from '#resources/app.ts'
import { durationMs } from '#resources/schema.ts'

/** Labels whose values a command prints, each asked again after its period. */
export interface DynamicLabels extends AsyncDisposable {
  /** The app with what its commands printed last. */
  apply(app: App): App
}

const TIMEOUT_MS = 10_000
const MIN_PERIOD_MS = 1_000
const MAX_BYTES = 4096

/**
 * Runs the commands of the apps of the configuration file. Commands of apps that are resources of the cluster are never
 * run: who may write a resource is not thereby let onto the agent's machine.
 */
export function startDynamicLabels({
  apps,
  onChange,
  log,
}: {
  readonly apps: readonly App[]
  readonly onChange: () => void
  readonly log: Log
}): DynamicLabels {
  const results = new Map<string, string>()
  const ending = new AbortController()
  const { signal } = ending
  const keyOf = (app: string, label: string): string => `${app}\0${label}`
  const follow = async (app: string, label: string, command: readonly string[], periodMs: number): Promise<void> => {
    while (!signal.aborted) {
      const printed = await run(command, signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn('the command of a dynamic label failed', { app, label, error })
        return undefined
      })
      if (printed !== undefined && results.get(keyOf(app, label)) !== printed) {
        results.set(keyOf(app, label), printed)
        onChange()
      }
      await sleep(periodMs, undefined, { signal, ref: false }).catch(() => {}) // aborted: the loop ends
    }
  }
  const following = apps.flatMap(({ metadata, spec }) =>
    Object.entries(spec.dynamic_labels ?? {}).map(([label, { command, period }]) =>
      follow(metadata.name, label, command, Math.max(MIN_PERIOD_MS, durationMs(period))),
    ),
  )
  return {
    apply(app) {
      const labels = Object.entries(app.spec.dynamic_labels ?? {})
      if (labels.length === 0) return app
      const filled = labels.map(([label, { result: _, ...rest }]) => {
        const result = results.get(keyOf(app.metadata.name, label))
        return [label, result === undefined ? rest : { ...rest, result }]
      })
      return parseApp({ ...app, spec: { ...app.spec, dynamic_labels: Object.fromEntries(filled) } })
    },
    async [Symbol.asyncDispose]() {
      ending.abort()
      await Promise.all(following)
    },
  }
}

async function run([program = '', ...args]: readonly string[], signal: AbortSignal): Promise<string> {
  const options = { signal, timeout: TIMEOUT_MS, maxBuffer: MAX_BYTES }
  const { stdout } = await promisify(execFile)(program, args, options)
  return stdout.trim()
}
