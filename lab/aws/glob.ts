/** The pattern language of IAM policies: `*`, `?` and `${variables}`. Used for actions, resources and string conditions. */

const ANY = Symbol('any run of characters')
const ONE = Symbol('any one character')

/** A pattern taken apart: literal characters and wildcards. What a variable gives is always literal. */
export type Glob = readonly (string | typeof ANY | typeof ONE)[]

/** Gives the value of a policy variable such as `aws:username`, or `undefined` where the request has none. */
export type VariableLookup = (name: string) => string | undefined

/**
 * Takes a pattern apart. `undefined` when it names a variable that has no value and no default: such a pattern
 * matches nothing.
 *
 * @see IAM User Guide, "IAM policy elements: Variables and tags"
 */
export function parseGlob(pattern: string, lookup: VariableLookup | undefined): Glob | undefined {
  const glob: (string | typeof ANY | typeof ONE)[] = []
  for (let at = 0; at < pattern.length; at++) {
    const end = pattern[at] === '$' && pattern[at + 1] === '{' && lookup ? pattern.indexOf('}', at) : -1
    if (end > 0 && lookup) {
      const value = expand(pattern.slice(at + 2, end), lookup)
      if (value === undefined) return undefined
      glob.push(...value)
      at = end
    } else if (pattern[at] === '*') {
      if (glob.at(-1) !== ANY) glob.push(ANY)
    } else {
      glob.push(pattern[at] === '?' ? ONE : (pattern[at] ?? ''))
    }
  }
  return glob
}

/** `*`, `?` and `$` are written `${*}`, `${?}` and `${$}`; a default follows a comma: `${aws:PrincipalTag/team, 'none'}`. */
function expand(variable: string, lookup: VariableLookup): string | undefined {
  if (variable === '*' || variable === '?' || variable === '$') return variable
  const [name = '', fallback] = variable.split(',')
  return lookup(name.trim()) ?? fallback?.trim().replace(/^'(.*)'$/, '$1')
}

/** Does the whole of `text` match? Linear in practice: it goes back at most to the last `*`. */
export function matchesGlob(glob: Glob, text: string): boolean {
  let at = 0
  let inGlob = 0
  let star = -1
  let afterStar = 0
  while (at < text.length) {
    const part = glob[inGlob]
    if (part === ANY) {
      star = inGlob++
      afterStar = at
    } else if (part !== undefined && (part === ONE || part === text[at])) {
      inGlob++
      at++
    } else if (star >= 0) {
      inGlob = star + 1
      at = ++afterStar
    } else return false
  }
  while (glob[inGlob] === ANY) inGlob++
  return inGlob === glob.length
}

/** One call for the common case: a pattern without variables. */
export function globMatches(pattern: string, text: string): boolean {
  const glob = parseGlob(pattern, undefined)
  return glob !== undefined && matchesGlob(glob, text)
}
