/** Ends the reading with an error at the path. */
type Refuse = (path: readonly PropertyKey[], problem: string) => never

/** Deeper than any real document, and shallow enough for every recursion over one. */
const MAX_DEPTH = 32

/**
 * A YAML or JSON value without the keys whose value is `null`, which mean "not given" as in Go.
 * Refuses what nests deeper than 32 levels, and a key that would change an object's prototype.
 */
export function withoutNulls(value: unknown, refuse: Refuse, path: readonly PropertyKey[] = []): unknown {
  if (path.length > MAX_DEPTH) refuse(path, `is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) return value.map((item, index) => withoutNulls(item, refuse, [...path, index]))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined)
  for (const [key] of entries) if (key === '__proto__') refuse([...path, key], 'this name is not allowed')
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutNulls(inner, refuse, [...path, key])]))
}
