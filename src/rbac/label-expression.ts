/** Evaluates `…_labels_expression`: `contains(user.spec.traits["teams"], labels["team"]) && labels["env"] != "prod"`. */

import { unreachable } from '#errors.ts'
import { labelLanguage, parseIn } from '#resources/role-expressions.ts'
import type { Expression } from '#traits/expression.ts'
import { compileRegexp } from '#traits/regexp.ts'
import { localPart } from '#traits/template.ts'
import { type Traits, valuesOf } from '#traits/traits.ts'
import { compilePattern } from './match.ts'

/** Labels of a resource, the dynamic ones laid over the static ones: `{ env: 'dev' }`. */
export type Labels = Readonly<Record<string, string>>

/** What an expression is evaluated with. */
export interface LabelScope {
  readonly labels: Labels
  readonly traits: Traits
}

/** A value of the language: a missing label is `''`, a missing trait an empty list. */
export type Value = string | boolean | readonly string[]

/** An expression that has no answer, such as `labels["a"] && true`. Whoever asks takes it for "no". */
export class EvaluationFailure extends Error {}

/** @throws {InvalidExpression} {InvalidRegexp}; the function that it gives throws {EvaluationFailure} {InvalidRegexp} */
export function compileLabelExpression(text: string): (scope: LabelScope) => boolean {
  const expression = parseIn(labelLanguage, text)
  return (scope) => {
    const { traits, labels } = scope
    const variable = ([first, name = '', , trait = '']: readonly string[]): Value =>
      first === 'labels' ? labelOf(labels, name) : valuesOf(traits, trait)
    return asBoolean(evaluate(expression, { variable, call: (name, args) => callFunction(name, args, labels) }))
  }
}

/** How variables and functions of one language get their values. */
export interface Evaluator {
  readonly variable: (path: readonly string[]) => Value
  readonly call: (name: string, args: readonly Value[]) => Value
}

/** Computes an expression; `&&` and `||` evaluate their right side only where it counts. @throws {EvaluationFailure} */
export function evaluate(expression: Expression, evaluator: Evaluator): Value {
  switch (expression.type) {
    case 'literal':
      return expression.value
    case 'variable':
      return evaluator.variable(expression.path)
    case 'call':
      return evaluator.call(
        expression.name,
        expression.args.map((arg) => evaluate(arg, evaluator)),
      )
    case 'not':
      return !asBoolean(evaluate(expression.operand, evaluator))
    case 'and':
      return asBoolean(evaluate(expression.left, evaluator)) && asBoolean(evaluate(expression.right, evaluator))
    case 'or':
      return asBoolean(evaluate(expression.left, evaluator)) || asBoolean(evaluate(expression.right, evaluator))
    case 'equal':
    case 'not-equal': {
      const [left, right] = [evaluate(expression.left, evaluator), evaluate(expression.right, evaluator)]
      if (typeof left === 'object' || typeof left !== typeof right) {
        throw new EvaluationFailure('== and != compare two texts, or two truth values')
      }
      return (left === right) === (expression.type === 'equal')
    }
    default:
      throw unreachable(expression)
  }
}

/** The list that a value is; a single text is a list of one, an empty one of none. @throws {EvaluationFailure} */
export function asList(value: Value | undefined): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value]
  if (typeof value === 'object') return value
  throw new EvaluationFailure('expected a text or a list of texts')
}

/** @throws {EvaluationFailure} */
export function asText(value: Value | undefined): string {
  if (typeof value !== 'string') throw new EvaluationFailure('expected a text')
  return value
}

/** @throws {EvaluationFailure} */
export function asBoolean(value: Value): boolean {
  if (typeof value !== 'boolean') throw new EvaluationFailure('expected true or false')
  return value
}

/** A missing label is the empty text. */
export function labelOf(labels: Labels, name: string): string {
  return Object.hasOwn(labels, name) ? (labels[name] ?? '') : ''
}

function callFunction(name: string, [first, second, third]: readonly Value[], labels: Labels): Value {
  switch (name) {
    case 'contains':
      return asList(first).includes(asText(second))
    case 'contains_any':
      return asList(second).some((item) => asList(first).includes(item))
    case 'contains_all':
      // Of nothing, nothing follows: an empty list of items would otherwise open everything.
      return asList(second).length > 0 && asList(second).every((item) => asList(first).includes(item))
    case 'regexp.match': {
      const regexp = compileRegexp(asText(second))
      return asList(first).some((item) => regexp.test(item))
    }
    case 'regexp.replace': {
      const regexp = compileRegexp(asText(second))
      const replaced = asList(first).map((item) => regexp.replaceAll(item, asText(third)))
      return replaced.filter((item) => item !== undefined)
    }
    case 'email.local':
      return asList(first).map((address) => {
        const local = localPart(address)
        if (local === undefined) throw new EvaluationFailure('email.local needs an e-mail address')
        return local
      })
    case 'strings.upper':
      return asList(first).map((item) => item.toUpperCase())
    case 'strings.lower':
      return asList(first).map((item) => item.toLowerCase())
    case 'labels_matching': {
      const fits = compilePattern(asText(first))
      return Object.entries(labels).flatMap(([key, value]) => (fits(key) ? [value] : []))
    }
    default:
      throw new EvaluationFailure(`there is no function ${name}`)
  }
}
