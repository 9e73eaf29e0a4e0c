import type { Resource } from '#resources/resource.ts'
import { decode, encode, type Resources } from './resources.ts'

/** What a write did, as `tctl create` says it: `role "dev" has been created`. */
export function writtenText({ kind, metadata }: Resource, what: 'created' | 'updated' | 'deleted'): string {
  return `${kind} ${JSON.stringify(metadata.name)} has been ${what}\n`
}

/** Creates, or with `force` creates or replaces. `confirm` lets it replace what the configuration file owns. */
export async function writeResource(
  resources: Resources,
  resource: Resource,
  { force, confirm }: { readonly force: boolean; readonly confirm: boolean },
): Promise<{ readonly resource: Resource; readonly created: boolean }> {
  if (!force) return { resource: await resources.create(resource), created: true }
  const { document, created } = await resources.service.upsert({ document: encode(resource), confirm })
  return { resource: decode(document), created }
}
