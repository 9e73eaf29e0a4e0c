/** Regular expressions that people write into roles and tokens: RE2 syntax, linear time, no look-around and no back-references. */
import { RE2JS } from 're2js'
import { AccessError } from '#errors.ts'

const MAX_PATTERN = 2048
/** A replacement that repeats itself at every character is an attack, not a rule. */
const MAX_RESULT = 65_536

/** A regular expression that cannot be used, with the engine's own explanation. */
class InvalidRegexp extends AccessError {
  override readonly code = 'invalid'

  constructor(pattern: string, problem: string, cause?: unknown) {
    super(`failed to parse regexp ${JSON.stringify(pattern.slice(0, 200))}: ${problem}`, {
      hint: 'regular expressions follow RE2: https://github.com/google/re2/wiki/Syntax',
      cause,
    })
  }
}

/** A compiled RE2 regular expression. */
export interface Regexp {
  /** Whether it is found anywhere in the text: anchors are the pattern's own business. */
  test(text: string): boolean
  /**
   * All matches replaced as Go's `ReplaceAllString` does: `$1`, `${1}`, `$name`, `${name}` and `$$`; `$1x` is the group
   * named `1x`, so it is empty. `undefined` where nothing matches, or where the result exceeds 65,536 characters.
   * @see Go package regexp, method Expand
   */
  replaceAll(text: string, replacement: string): string | undefined
}

/** @throws {InvalidRegexp} */
export function compileRegexp(pattern: string): Regexp {
  if (pattern.length > MAX_PATTERN) throw new InvalidRegexp(pattern, `it is longer than ${MAX_PATTERN} characters`)
  const compiled = compile(pattern)
  const names = compiled.namedGroups()
  return {
    test: (text) => compiled.test(text),
    replaceAll(text, replacement) {
      const pieces = parseReplacement(replacement)
      const matcher = compiled.matcher(text)
      let result = ''
      let from = 0
      let found = false
      while (matcher.find()) {
        found = true
        result += text.slice(from, matcher.start())
        for (const piece of pieces) {
          if (typeof piece === 'string') {
            result += piece
            continue
          }
          const group = /^\d+$/.test(piece.group) ? Number(piece.group) : names[piece.group]
          if (group !== undefined && group <= matcher.groupCount()) result += matcher.group(group) ?? ''
        }
        from = matcher.end()
        if (result.length > MAX_RESULT) return undefined
      }
      return found ? result + text.slice(from) : undefined
    },
  }
}

/** The pattern that fits this text and nothing else. */
export function quoteRegexp(text: string): string {
  return RE2JS.quote(text)
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern)
  } catch (cause) {
    throw new InvalidRegexp(pattern, cause instanceof Error ? cause.message : 'it does not compile', cause)
  }
}

/** Literal pieces and references to groups. */
function parseReplacement(text: string): readonly (string | { readonly group: string })[] {
  const pieces: (string | { readonly group: string })[] = []
  let from = 0
  for (const match of text.matchAll(/\$(?:(\$)|\{(\w+)\}|(\w+))/g)) {
    pieces.push(text.slice(from, match.index))
    pieces.push(match[1] === '$' ? '$' : { group: match[2] ?? match[3] ?? '' })
    from = match.index + match[0].length
  }
  pieces.push(text.slice(from))
  return pieces
}
