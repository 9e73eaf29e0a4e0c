/**
 * The small expression language inside templates, `…_labels_expression` and `where`:
 * `!contains(user.spec.traits["team"], labels["team"]) && labels["env"] == "dev"`.
 *
 *   or    = and { "||" and }          and  = not { "&&" not }
 *   not   = "!" not | comparison      comparison = term [ ("==" | "!=") term ]
 *   term  = literal | "(" or ")" | path [ "(" [ or { "," or } ] ")" ]
 *   path  = name { "." name | "[" string "]" }
 *
 * Operators bind as in Go; strings are Go's: "double quoted" with escapes, or `raw`.
 */
import { AccessError } from '#errors.ts'

/** A parsed expression. A variable is its path: `user.spec.traits["team"]` is `['user', 'spec', 'traits', 'team']`. */
export type Expression =
  | { readonly type: 'literal'; readonly value: string | boolean }
  | { readonly type: 'variable'; readonly path: readonly string[] }
  | { readonly type: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly type: 'not'; readonly operand: Expression }
  | {
      readonly type: 'and' | 'or' | 'equal' | 'not-equal'
      readonly left: Expression
      readonly right: Expression
    }

/** An expression that does not parse. */
export class InvalidExpression extends AccessError {
  override readonly code = 'invalid'

  constructor(
    problem: string,
    hint = 'strings stand in double quotes or backticks, functions are written name(argument, …)',
  ) {
    super(problem, { hint })
  }
}

const MAX_LENGTH = 8192
const MAX_DEPTH = 32

/** @throws {InvalidExpression} */
export function parseExpression(text: string): Expression {
  const parser = new Parser(text)
  const expression = parser.or(0)
  parser.end()
  return expression
}

/** Parses the expression at the beginning of `text` and says where it ends. @throws {InvalidExpression} */
export function parseExpressionPrefix(text: string): { readonly expression: Expression; readonly end: number } {
  const parser = new Parser(text)
  const expression = parser.or(0)
  return { expression, end: parser.position() }
}

/** How a path is written: `external["team name"]`, `user.spec.roles`. */
export function pathText(path: readonly string[]): string {
  return path
    .map((name, index) => (index === 0 ? name : /^[A-Za-z_]\w*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`))
    .join('')
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    if (text.length > MAX_LENGTH) throw new InvalidExpression(`an expression is longer than ${MAX_LENGTH} characters`)
    this.#text = text
  }

  position(): number {
    this.#space()
    return this.#at
  }

  end(): void {
    if (this.position() < this.#text.length) throw this.#unexpected()
  }

  or(depth: number): Expression {
    if (depth > MAX_DEPTH) throw new InvalidExpression(`an expression is nested deeper than ${MAX_DEPTH} levels`)
    return this.#chain('||', 'or', () => this.#chain('&&', 'and', () => this.#not(depth)))
  }

  #chain(operator: string, type: 'and' | 'or', operand: () => Expression): Expression {
    let left = operand()
    while (this.#take(operator)) left = { type, left, right: operand() }
    return left
  }

  #not(depth: number): Expression {
    if (depth > MAX_DEPTH) throw new InvalidExpression(`an expression is nested deeper than ${MAX_DEPTH} levels`)
    this.#space()
    // "!=" needs an operand before it, so a "!" here always negates.
    if (this.#take('!')) return { type: 'not', operand: this.#not(depth + 1) }
    const left = this.#term(depth)
    if (this.#take('==')) return { type: 'equal', left, right: this.#term(depth) }
    if (this.#take('!=')) return { type: 'not-equal', left, right: this.#term(depth) }
    return left
  }

  #term(depth: number): Expression {
    if (this.#take('(')) {
      const inner = this.or(depth + 1)
      this.#need(')')
      return inner
    }
    this.#space()
    const next = this.#text[this.#at]
    if (next === '"' || next === '`') return { type: 'literal', value: this.#string() }
    const path = this.#path()
    const [first = ''] = path
    if (path.length === 1 && (first === 'true' || first === 'false'))
      return { type: 'literal', value: first === 'true' }
    return this.#take('(')
      ? { type: 'call', name: path.join('.'), args: this.#args(depth) }
      : { type: 'variable', path }
  }

  #args(depth: number): readonly Expression[] {
    const args: Expression[] = []
    if (this.#take(')')) return args
    do args.push(this.or(depth + 1))
    while (this.#take(','))
    this.#need(')')
    return args
  }

  #path(): readonly string[] {
    const path = [this.#name()]
    for (;;) {
      if (this.#take('.')) path.push(this.#name())
      else if (this.#take('[')) {
        this.#space()
        path.push(this.#string())
        this.#need(']')
      } else return path
      if (path.length > MAX_DEPTH) throw new InvalidExpression(`a name has more than ${MAX_DEPTH} parts`)
    }
  }

  #name(): string {
    this.#space()
    const name = /^[A-Za-z_]\w*/.exec(this.#text.slice(this.#at, this.#at + 256))?.[0]
    if (name === undefined) throw this.#unexpected()
    this.#at += name.length
    return name
  }

  #string(): string {
    const quote = this.#text[this.#at]
    if (quote === '`') {
      const end = this.#text.indexOf('`', this.#at + 1)
      if (end === -1) throw new InvalidExpression('a string has no closing backtick')
      const value = this.#text.slice(this.#at + 1, end)
      this.#at = end + 1
      return value
    }
    const match = /"((?:[^"\\\n]|\\.)*)"/y
    match.lastIndex = this.#at
    const found = match.exec(this.#text)
    if (!found)
      throw this.#text[this.#at] === '"' ? new InvalidExpression('a string has no closing quote') : this.#unexpected()
    this.#at = match.lastIndex
    return decodeEscapes(found[1] ?? '')
  }

  #take(token: string): boolean {
    this.#space()
    if (!this.#text.startsWith(token, this.#at)) return false
    this.#at += token.length
    return true
  }

  #need(token: string): void {
    if (!this.#take(token)) throw this.#unexpected(`, expected "${token}"`)
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at += 1
  }

  #unexpected(more = ''): InvalidExpression {
    const rest = this.#text.slice(this.#at, this.#at + 20)
    return new InvalidExpression(
      `${rest === '' ? 'the expression ends too early' : `unexpected ${JSON.stringify(rest)}`} at character ${this.#at + 1}${more}`,
    )
  }
}

const escapes: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
}

/** @see The Go Programming Language Specification, "Rune literals" */
function decodeEscapes(text: string): string {
  return text.replaceAll(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, sequence: string) => {
    const known = escapes[sequence]
    if (known !== undefined) return known
    const code = sequence.length > 1 ? Number.parseInt(sequence.slice(1), 16) : Number.NaN
    if (!(code <= 0x10ffff)) {
      throw new InvalidExpression(
        `\\${sequence} is no escape sequence`,
        'write the backslash twice, or the string in backticks',
      )
    }
    return String.fromCodePoint(code)
  })
}
