import type { AppView } from '#client/visible-app.ts'
import { InvalidInput } from '#errors.ts'
import { asText, EvaluationFailure, evaluate, type Value } from '#rbac/label-expression.ts'
import { type ExpressionLanguage, parseIn } from '#resources/role-expressions.ts'

/** Language of `--query`; a missing label is the empty text. */
const language: ExpressionLanguage = {
  name: 'query',
  variables: ['name', 'labels.*', 'resource.metadata.name', 'resource.metadata.labels.*', 'resource.spec.uri'],
  functions: { equals: 2, search: 1, hasPrefix: 2, has_prefix: 2 },
}

/**
 * Parses an expression over an app: `labels["env"] == "prod" && !hasPrefix(name, "old-")`.
 *
 * @throws {InvalidExpression} {InvalidInput}
 */
export function parseAppQuery(text: string): (app: AppView) => boolean {
  const expression = parseIn(language, text)
  return (app) => {
    try {
      const value = evaluate(expression, {
        variable: (path) => variableOf(app, path),
        call: (name, args) => callFunction(app, name, args),
      })
      if (typeof value === 'boolean') return value
    } catch (error) {
      if (!(error instanceof EvaluationFailure)) throw error
    }
    throw new InvalidInput(`the query ${JSON.stringify(text)} does not give true or false`, {
      hint: 'compare something, such as labels["env"] == "prod"',
    })
  }
}

function variableOf({ name, labels, uri }: AppView, path: readonly string[]): Value {
  const last = path.at(-1) ?? ''
  if (path.includes('labels')) return Object.hasOwn(labels, last) ? (labels[last] ?? '') : ''
  return last === 'uri' ? uri : name
}

function callFunction(app: AppView, name: string, [first, second]: readonly Value[]): boolean {
  switch (name) {
    case 'equals':
      return asText(first) === asText(second)
    case 'search': {
      const word = asText(first).toLowerCase()
      const texts = [app.name, app.description, app.publicAddr, ...Object.entries(app.labels).flat()]
      return texts.some((text) => text.toLowerCase().includes(word))
    }
    case 'hasPrefix':
    case 'has_prefix':
      return asText(first).startsWith(asText(second))
    default:
      throw new EvaluationFailure(`there is no function ${name}`)
  }
}
