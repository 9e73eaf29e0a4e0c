import { setTimeout as wait } from 'node:timers/promises'
import type { Log } from '#log.ts'
import type { Resource } from '#resources/resource.ts'
import type { ResourceStore } from '#storage/resource-store.ts'

/** Resources of some kinds in memory, parsed once: for what is asked at every call. */
export interface LiveResources extends AsyncDisposable {
  find<R extends Resource>(kind: R['kind'], name: string): R | undefined
  list<R extends Resource>(kind: R['kind']): readonly R[]
  /**
   * Resolves once this write is known here, so that whoever made it sees it. A kind that is not followed is known at once.
   * @param revision left out: a delete
   */
  known(kind: string, name: string, revision?: string): Promise<void>
}

export interface LiveResourcesOptions {
  readonly store: ResourceStore
  readonly kinds: readonly string[]
  readonly log: Log
  /** Called with each change, before `known` resolves. `resource` is left out when it is gone. */
  readonly onChange?: (kind: string, name: string, resource: Resource | undefined) => void
}

const RETRY_MS = 200
/** Longer than any write takes to come back; a later write of the same name may have hidden this one. */
const KNOWN_MS = 2_000

/** Follows the store. Resolves when everything that exists is known. */
export async function openLiveResources(options: LiveResourcesOptions): Promise<LiveResources> {
  const { kinds, log } = options
  const closing = new AbortController()
  const ready = Promise.withResolvers<void>()
  let isReady = false
  let changed = Promise.withResolvers<void>()
  const byKind = new Map(kinds.map((kind) => [kind, new Map<string, Resource>()]))

  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      try {
        for await (const step of follow(options, byKind, closing.signal)) {
          if (step === 'complete') {
            isReady = true
            ready.resolve()
          }
          changed.resolve()
          changed = Promise.withResolvers()
        }
      } catch (error) {
        if (closing.signal.aborted) return
        // A state that cannot be read at the start would be no better later.
        if (!isReady) {
          ready.reject(error)
          return
        }
        log.warn('the state cannot be followed; trying again', { error })
        await wait(RETRY_MS, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
  }
  const running = run()
  await ready.promise

  return {
    find: <R extends Resource>(kind: R['kind'], name: string) => byKind.get(kind)?.get(name) as R | undefined, // parsed by its kind
    list: <R extends Resource>(kind: R['kind']) => [...(byKind.get(kind)?.values() ?? [])] as R[], // parsed by their kind
    async known(kind, name, revision) {
      const resources = byKind.get(kind)
      if (!resources || resources.get(name)?.metadata.revision === revision) return
      const limit = AbortSignal.any([AbortSignal.timeout(KNOWN_MS), closing.signal])
      const over = new Promise<void>((resolve) => limit.addEventListener('abort', () => resolve(), { once: true }))
      while (resources.get(name)?.metadata.revision !== revision && !limit.aborted) {
        await Promise.race([changed.promise, over])
      }
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await running
    },
  }
}

/** Keeps `byKind` current; yields after each change, and `complete` when a snapshot is. */
async function* follow(
  { store, kinds, onChange = () => {} }: LiveResourcesOptions,
  byKind: ReadonlyMap<string, Map<string, Resource>>,
  signal: AbortSignal,
): AsyncGenerator<'change' | 'complete'> {
  const present = new Set<string>()
  const remove = (kind: string, name: string): void => {
    if (byKind.get(kind)?.delete(name)) onChange(kind, name, undefined)
  }
  for await (const event of store.watch(kinds, undefined, signal)) {
    switch (event.type) {
      case 'snapshot-start':
        present.clear()
        break
      case 'put': {
        const { kind, metadata } = event.resource
        present.add(`${kind}/${metadata.name}`)
        byKind.get(kind)?.set(metadata.name, event.resource)
        onChange(kind, metadata.name, event.resource)
        yield 'change'
        break
      }
      case 'deleted':
        present.delete(`${event.kind}/${event.name}`)
        remove(event.kind, event.name)
        yield 'change'
        break
      case 'snapshot-end':
        // What an earlier stream knew and this snapshot does not name is gone.
        for (const [kind, resources] of byKind) {
          for (const name of [...resources.keys()]) if (!present.has(`${kind}/${name}`)) remove(kind, name)
        }
        yield 'complete'
        break
      case 'progress':
        break
    }
  }
}
