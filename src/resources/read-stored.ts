import { InvalidResource } from './invalid-resource.ts'

/** More than the fields that any newer version will have added. */
const MAX_UNKNOWN = 100

/**
 * A parser for what is stored already, perhaps by a newer version: fields that ours does not know are left out, as the
 * rest still binds. Only for kinds where a field can not be what limits the others: a role or a join token without its
 * newest field might allow more than was meant.
 */
export function withoutUnknownFields<Kind>(parse: (document: unknown) => Kind): (document: unknown) => Kind {
  return (document) => {
    let rest = document
    for (let attempt = 0; ; attempt++) {
      try {
        return parse(rest)
      } catch (error) {
        if (!(error instanceof InvalidResource) || attempt === MAX_UNKNOWN) throw error
        const fewer = withoutUnknownField(rest, error)
        if (fewer === undefined) throw error
        rest = fewer
      }
    }
  }
}

/** The document without the unknown field that the error is about; `undefined` where it is about something else. */
export function withoutUnknownField(document: unknown, { path, problem }: InvalidResource): unknown {
  return problem.startsWith('unknown field') ? removed(document, path) : undefined
}

function removed(value: unknown, [key, ...rest]: readonly PropertyKey[]): unknown {
  if (key === undefined || typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  if (Array.isArray(value)) {
    const changed = removed(value[Number(key)], rest)
    return changed === undefined ? undefined : value.with(Number(key), changed)
  }
  const { [String(key)]: inner, ...others } = value as Record<string, unknown> // an object that has the key
  if (rest.length === 0) return others
  const changed = removed(inner, rest)
  return changed === undefined ? undefined : { ...others, [String(key)]: changed }
}
