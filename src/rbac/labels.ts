/** Which resources a condition of a role is about: label selectors and label expressions. */
import { AccessError } from '#errors.ts'
import { expandTemplate, parseTemplate } from '#traits/template.ts'
import type { Traits } from '#traits/traits.ts'
import { compileLabelExpression, EvaluationFailure, type Labels } from './label-expression.ts'
import type { Matcher } from './match.ts'

/** Whether a resource with these labels is meant. */
export type LabelMatcher = (labels: Labels) => boolean

/** A selector as roles have it: each key with the patterns of which one must fit. */
export type Selector = Readonly<Record<string, readonly string[]>>

/** What stands in one condition about one kind of resource. */
export interface LabelCondition {
  /** An allow needs selector and expression to match, a deny either; what cannot be evaluated is "no" for an allow and "yes" for a deny. */
  readonly side: 'allow' | 'deny'
  readonly selector?: Selector | undefined
  readonly expression?: string | undefined
  readonly traits: Traits
  readonly pattern: (pattern: string) => Matcher
}

/** Compiles a condition once, with its templates filled in. Neither selector nor expression: nothing matches. */
export function compileLabels(condition: LabelCondition): LabelMatcher {
  const { side, selector = {}, expression = '' } = condition
  const bySelector = Object.keys(selector).length > 0 ? compileSelector(selector, condition) : undefined
  const byExpression = expression !== '' ? guarded(side, () => expressionMatcher(expression, condition)) : undefined
  if (!bySelector) return byExpression ?? never
  if (!byExpression) return bySelector
  return side === 'allow'
    ? (labels) => bySelector(labels) && byExpression(labels)
    : (labels) => bySelector(labels) || byExpression(labels)
}

const never: LabelMatcher = () => false
const always: LabelMatcher = () => true

interface KeyTest {
  readonly key: string
  readonly fits: Matcher
  /** Cheap tests go first: one that fails ends the matching. */
  readonly cost: number
}

function compileSelector(selector: Selector, { side, traits, pattern }: LabelCondition): LabelMatcher {
  const any = Object.hasOwn(selector, '*') ? selector['*'] : undefined
  if (any?.length === 1 && any[0] === '*') return always
  return guarded(side, () => {
    const tests = Object.entries(selector)
      .map(([key, values]): KeyTest => {
        const expanded = values.flatMap((value) => expansion(value, traits))
        return { key: expansion(key, traits)[0] ?? '', fits: anyOf(expanded, pattern), cost: costOf(expanded) }
      })
      .sort((a, b) => a.cost - b.cost)
    if (tests.some(({ key }) => key === '')) return never
    return (labels) =>
      tests.every(({ key, fits }) => {
        const value = Object.hasOwn(labels, key) ? labels[key] : undefined
        return value !== undefined && fits(value)
      })
  })
}

/** A template that comes to nothing gives no values: as a key it is the empty text, which is no label's name. */
function expansion(text: string, traits: Traits): readonly string[] {
  return text.includes('{{') || text.includes('}}') ? expandTemplate(parseTemplate(text), traits) : [text]
}

function anyOf(values: readonly string[], pattern: (pattern: string) => Matcher): Matcher {
  if (values.includes('*')) return () => true
  const [only, ...others] = values.map(pattern)
  if (!only) return () => false
  return others.length === 0 ? only : (value) => only(value) || others.some((fits) => fits(value))
}

function costOf(values: readonly string[]): number {
  return Math.max(0, ...values.map((value) => (value.startsWith('^') ? 2 : value.includes('*') ? 1 : 0)))
}

function expressionMatcher(text: string, { traits, side }: LabelCondition): LabelMatcher {
  const evaluate = compileLabelExpression(text)
  return (labels) => attempt(() => evaluate({ labels, traits }), side === 'deny')
}

/** A condition that does not compile grants nothing and denies everything. */
function guarded(side: 'allow' | 'deny', compile: () => LabelMatcher): LabelMatcher {
  return attempt(compile, side === 'deny' ? always : never)
}

function attempt<Result>(run: () => Result, otherwise: Result): Result {
  try {
    return run()
  } catch (error) {
    if (error instanceof AccessError || error instanceof EvaluationFailure) return otherwise
    throw error
  }
}
