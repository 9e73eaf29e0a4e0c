import { UsageError } from '#cli/usage-error.ts'
import { findKind, type KindDefinition, kinds } from '#resources/kinds.ts'
import { nearest } from '#resources/nearest.ts'

/** What a person means by `role/dev`, `users` or `cap`: one resource, or all of a kind. */
export interface ResourceRef {
  readonly kind: KindDefinition
  /** Left out: all of the kind. The one name of a singleton is filled in. */
  readonly name?: string
}

/**
 * Parses `KIND[/NAME][,KIND[/NAME]…]`; `all` stands for every kind.
 *
 * @throws {UsageError} for an unknown kind, with the nearest
 */
export function parseRefs(text: string): readonly ResourceRef[] {
  const parts = text.split(',').map((part) => part.trim())
  if (parts.includes('all')) return kinds.map((kind) => ({ kind }))
  return parts.map(parseRef)
}

/** As `parseRefs`, for one resource that must have a name. @throws {UsageError} */
export function parseNamedRef(text: string): Required<ResourceRef> {
  const { kind, name } = parseRef(text.trim())
  if (name === undefined) {
    throw new UsageError(`${JSON.stringify(text)} names no resource`, {
      hint: `write KIND/NAME, such as ${kind.kind}/NAME`,
    })
  }
  return { kind, name }
}

function parseRef(text: string): ResourceRef {
  const slash = text.indexOf('/')
  const word = slash < 0 ? text : text.slice(0, slash)
  const name = slash < 0 ? '' : text.slice(slash + 1)
  const kind = findKind(word)
  if (kind === undefined) {
    const suggestion = nearest(
      word.toLowerCase(),
      kinds.flatMap((each) => [each.kind, each.plural]),
    )
    throw new UsageError(`there is no kind of resource ${JSON.stringify(word)}`, {
      hint:
        suggestion === undefined
          ? `use one of ${kinds.map((each) => each.kind).join(', ')}`
          : `did you mean ${suggestion}?`,
    })
  }
  const full = name === '' ? kind.singletonName : name
  return full === undefined ? { kind } : { kind, name: full }
}
