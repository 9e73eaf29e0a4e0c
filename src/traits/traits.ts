/** A named list of values of a user: `{ aws_role_arns: ['arn:aws:iam::…'] }`. */
export type Traits = Readonly<Record<string, readonly string[]>>

/** All values of both, the first one's before the second one's, each value once. */
export function mergeTraits(first: Traits, second: Traits): Traits {
  const names = new Set([...Object.keys(first), ...Object.keys(second)])
  return Object.fromEntries(
    [...names].map((name) => [name, [...new Set([...valuesOf(first, name), ...valuesOf(second, name)])]]),
  )
}

/** The values of one trait; empty where it is missing. A trait named `constructor` is one like any other. */
export function valuesOf(traits: Traits, name: string): readonly string[] {
  return Object.hasOwn(traits, name) ? (traits[name] ?? []) : []
}
