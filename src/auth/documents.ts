import { InvalidInput } from '#errors.ts'
import { findKind, type KindDefinition } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'

/** A resource as it travels. */
export interface WireDocument {
  readonly json: string
}

/** Far above any real resource; the schema of each kind has its own limits. */
const MAX_DOCUMENT_BYTES = 1024 * 1024

export function toDocument(resource: Resource): WireDocument {
  return { json: JSON.stringify(resource) }
}

/** @throws {InvalidInput} for what is no resource @throws {InvalidResource} naming the field */
export function fromDocument(document: WireDocument | undefined): Resource {
  const value = parseJson(document?.json ?? '')
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  return kindOf(typeof kind === 'string' ? kind : '').parse(value)
}

/** The kind with exactly this name, as it stands in documents. @throws {InvalidInput} */
export function kindOf(name: string): KindDefinition {
  const definition = findKind(name)
  if (definition?.kind === name) return definition
  throw new InvalidInput(`there is no resource kind ${JSON.stringify(name.slice(0, 80))}`, {
    hint: 'write the kind as in the documents, for example "role"',
  })
}

/** A name from outside. @throws {InvalidInput} */
export function checkName(name: string): string {
  if (name !== '' && Buffer.byteLength(name) <= 512) return name
  throw new InvalidInput('a name of 1 to 512 bytes is needed', { hint: 'give the name of the resource' })
}

function parseJson(json: string): unknown {
  if (Buffer.byteLength(json) > MAX_DOCUMENT_BYTES) {
    throw new InvalidInput('the document is larger than 1 MiB', { hint: 'split it' })
  }
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new InvalidInput('the document is not JSON', { hint: 'send one resource as a JSON object', cause })
  }
}
