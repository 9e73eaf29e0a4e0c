/** The one way in which names are matched with patterns: literal, glob or regular expression. */
import { isRegexpPattern } from '#resources/string-pattern.ts'
import { compileRegexp, quoteRegexp } from '#traits/regexp.ts'

/** Whether a text fits. */
export type Matcher = (text: string) => boolean

/**
 * A pattern that starts with `^` and ends with `$` is an RE2 regular expression with search semantics
 * (`^test|staging$` fits `testing`); in any other, `*` stands for any run of characters without a line break, and the
 * rest for itself. Case counts.
 *
 * @throws {InvalidRegexp}
 */
export function compilePattern(pattern: string): Matcher {
  if (isRegexpPattern(pattern)) {
    const regexp = compileRegexp(pattern)
    return (text) => regexp.test(text)
  }
  if (pattern === '*') return (text) => !text.includes('\n')
  if (!pattern.includes('*')) return (text) => text === pattern
  // A wildcard crosses no line break, which only the engine keeps apart from the breaks in the pattern itself.
  if (pattern.includes('\n')) return asRegexp(pattern)
  return glob(pattern.split('*'))
}

function asRegexp(pattern: string): Matcher {
  const regexp = compileRegexp(`^${pattern.split('*').map(quoteRegexp).join('(.*)')}$`)
  return (text) => regexp.test(text)
}

/** Gives each pattern's matcher once: many roles share patterns. */
export function patternCache(): (pattern: string) => Matcher {
  const compiled = new Map<string, Matcher>()
  return (pattern) => {
    const known = compiled.get(pattern)
    if (known) return known
    const matcher = compilePattern(pattern)
    compiled.set(pattern, matcher)
    return matcher
  }
}

/** By hand, because a decision tries thousands of globs and an engine for regular expressions is ten times as slow. */
function glob(pieces: readonly string[]): Matcher {
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  const middle = pieces.slice(1, -1).filter((piece) => piece !== '')
  const shortest = first.length + last.length
  return (text) => {
    if (text.length < shortest || !text.startsWith(first) || !text.endsWith(last)) return false
    if (text.includes('\n')) return false
    const end = text.length - last.length
    let from = first.length
    for (const piece of middle) {
      const at = text.indexOf(piece, from)
      if (at === -1 || at + piece.length > end) return false
      from = at + piece.length
    }
    return true
  }
}
