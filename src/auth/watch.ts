import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import type { WatchEventSchema } from '#gen/access/v1/access_pb.ts'
import type { Resource } from '#resources/resource.ts'
import type { ResourceStore, StoreEvent } from '#storage/resource-store.ts'
import { toDocument } from './documents.ts'

type WireEvent = MessageInitShape<typeof WatchEventSchema>

export interface WatchRequest {
  readonly store: ResourceStore
  readonly kinds: readonly string[]
  /** Where an earlier watch ended; left out: begin with a snapshot. */
  readonly revision: string | undefined
  readonly signal: AbortSignal
  readonly clock: () => Date
  /** The resource as this caller is shown it; `undefined`: not at all. */
  readonly show: (resource: Resource) => Resource | undefined
  /** Asked at every progress mark: a caller who is locked or whose certificate expired stops watching. */
  readonly stillAllowed: () => void
}

/**
 * What a caller sees of changes. A resource that they are no longer shown is a delete for them, and nothing is ever
 * said about one that they were never shown.
 */
export async function* watchResources(request: WatchRequest): AsyncGenerator<WireEvent> {
  const { store, kinds, revision, signal, clock, show, stillAllowed } = request
  /** Known to the caller; after a resumption this is unknown, and only callers with a fixed view resume. */
  const shown = new Set<string>()
  const isResumed = revision !== undefined
  const keyOf = (kind: string, name: string): string => `${kind}/${name}`
  const forward = (event: StoreEvent): WireEvent | undefined => {
    switch (event.type) {
      case 'snapshot-start':
        shown.clear()
        return { event: { case: 'snapshotStart', value: {} } }
      case 'snapshot-end':
        return { revision: event.revision, event: { case: 'snapshotEnd', value: {} } }
      case 'progress':
        return {
          revision: event.revision,
          event: { case: 'progress', value: { at: timestampFromDate(clock()) } },
        }
      case 'deleted': {
        const isKnown = shown.delete(keyOf(event.kind, event.name))
        return isKnown || isResumed ? deleted(event.kind, event.name, event.revision) : undefined
      }
      case 'put': {
        const { kind, metadata } = event.resource
        const key = keyOf(kind, metadata.name)
        const view = show(event.resource)
        if (view) {
          shown.add(key)
          return { revision: event.revision, event: { case: 'put', value: toDocument(view) } }
        }
        return shown.delete(key) ? deleted(kind, metadata.name, event.revision) : undefined
      }
    }
  }
  for await (const event of store.watch(kinds, revision, signal)) {
    if (event.type === 'progress') stillAllowed()
    const wire = forward(event)
    if (wire) yield wire
  }
}

function deleted(kind: string, name: string, revision: string): WireEvent {
  return { revision, event: { case: 'deleted', value: { kind, name } } }
}
