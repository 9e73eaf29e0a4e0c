import { compileRegexp, type Regexp } from '#traits/regexp.ts'

/** Whether a pattern is used as a regular expression: it starts with `^` and ends with `$`. */
export function isRegexpPattern(pattern: string): boolean {
  return pattern.startsWith('^') && pattern.endsWith('$') && pattern.length > 1
}

/** The expression of a pattern that is one, with search semantics: `^test|staging$` finds whatever starts with `test`. @throws {InvalidRegexp} */
export function patternRegexp(pattern: string): Regexp | undefined {
  return isRegexpPattern(pattern) ? compileRegexp(pattern) : undefined
}
