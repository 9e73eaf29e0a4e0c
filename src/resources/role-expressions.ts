/** What may stand in a label expression and in `where`: checked when a role is written, evaluated by rbac. */
import { type Expression, InvalidExpression, parseExpression, pathText } from '#traits/expression.ts'
import { compileRegexp } from '#traits/regexp.ts'
import { patternRegexp } from './string-pattern.ts'

/** Names and functions of one language. */
export interface ExpressionLanguage {
  readonly name: string
  /** Paths that exist; `*` stands for any one name. */
  readonly variables: readonly string[]
  /** How many arguments each function takes. */
  readonly functions: Readonly<Record<string, number>>
}

/** Language of `app_labels_expression` and its kin. */
export const labelLanguage: ExpressionLanguage = {
  name: 'label expression',
  variables: ['labels.*', 'user.spec.traits.*'],
  functions: {
    contains: 2,
    contains_any: 2,
    contains_all: 2,
    'regexp.match': 2,
    'regexp.replace': 3,
    'email.local': 1,
    'strings.upper': 1,
    'strings.lower': 1,
    labels_matching: 1,
  },
}

/** Language of `where` in rules. */
export const whereLanguage: ExpressionLanguage = {
  name: '"where" expression',
  variables: [
    'user.metadata.name',
    'user.spec.roles',
    'user.spec.traits.*',
    'resource.kind',
    'resource.metadata.name',
    'resource.metadata.labels.*',
    'session.participants',
    'session_tracker.participants',
    'impersonate_user.metadata.labels.*',
    'impersonate_role.metadata.labels.*',
  ],
  functions: {
    contains: 2,
    equals: 2,
    has_prefix: 2,
    all_end_with: 2,
    all_equal: 2,
    is_subset: 2,
    contains_any: 2,
    contains_all: 2,
  },
}

/** Parses an expression and refuses names that the language does not have. @throws {InvalidExpression} {InvalidRegexp} */
export function parseIn(language: ExpressionLanguage, text: string): Expression {
  const expression = parseExpression(text)
  check(language, expression)
  return expression
}

function check(language: ExpressionLanguage, expression: Expression): void {
  if (expression.type === 'variable') checkVariable(language, expression.path)
  else if (expression.type === 'call') checkCall(language, expression.name, expression.args)
  else if (expression.type === 'not') check(language, expression.operand)
  else if (expression.type !== 'literal') {
    check(language, expression.left)
    check(language, expression.right)
  }
}

function checkVariable({ name, variables }: ExpressionLanguage, path: readonly string[]): void {
  const known = variables.some((variable) => {
    const parts = variable.split('.')
    return parts.length === path.length && parts.every((part, index) => part === '*' || part === path[index])
  })
  if (known) return
  throw new InvalidExpression(
    `unsupported variable ${JSON.stringify(pathText(path))} in a ${name}`,
    `use ${variables.join(', ')}`,
  )
}

function checkCall(language: ExpressionLanguage, name: string, args: readonly Expression[]): void {
  const { functions } = language
  const count = Object.hasOwn(functions, name) ? functions[name] : undefined
  if (count === undefined) {
    const problem = `unsupported function ${JSON.stringify(name)} in a ${language.name}`
    throw new InvalidExpression(problem, `use ${Object.keys(functions).join(', ')}`)
  }
  if (args.length !== count) {
    throw new InvalidExpression(`"${name}" takes ${count} arguments, found ${args.length}`, 'add or remove arguments')
  }
  for (const arg of args) check(language, arg)
  const [first, second] = args
  if (name === 'labels_matching' && first?.type === 'literal') patternRegexp(String(first.value))
  if (name.startsWith('regexp.') && second?.type === 'literal') compileRegexp(String(second.value))
}
