/** Which resources a condition of a role is about: label selectors and label expressions. */
import { AccessError } from '#errors.ts'
import { expandTemplate, parseTemplate } from '#traits/template.ts'
import type { Traits } from '#traits/traits.ts'
import { compileLabelExpression, EvaluationFailure, type Labels } from './label-expression.ts'
import { type Matcher, patternCache } from './match.ts'

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
  /** Shared by the conditions of all roles of one identity. */
  readonly tests: KeyTests
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

function compileSelector(selector: Selector, { side, traits, tests }: LabelCondition): LabelMatcher {
  const any = Object.hasOwn(selector, '*') ? selector['*'] : undefined
  if (any?.length === 1 && any[0] === '*') return always
  return guarded(side, () => {
    const compiled = Object.entries(selector)
      .map(([key, values]) =>
        tests(
          expansion(key, traits)[0] ?? '',
          values.flatMap((value) => expansion(value, traits)),
        ),
      )
      .sort((a, b) => a.cost - b.cost)
      .map(({ matches }) => matches)
    return (labels) => compiled.every((matches) => matches(labels))
  })
}

/** What one key of a selector asks of labels. */
interface KeyTest {
  readonly matches: LabelMatcher
  /** Cheap tests go first: one that fails ends the matching. */
  readonly cost: number
}

/** Gives the test that a label has one of these values. @throws {InvalidRegexp} */
export type KeyTests = (key: string, values: readonly string[]) => KeyTest

/**
 * Tests that the selectors of many roles share: each is compiled once, and asked once for each set of labels, however
 * many selectors hold it. Only frozen labels are remembered, and only the last ones.
 */
export function createKeyTests(): KeyTests {
  const pattern = patternCache()
  const known = new Map<string, KeyTest>()
  let current: Labels | undefined
  let turn = 0
  const create = (key: string, values: readonly string[]): KeyTest => {
    const fits = anyOf(values, pattern)
    let askedIn = -1
    let answer = false
    const matches: LabelMatcher = (labels) => {
      if (labels !== current) {
        turn++
        current = Object.isFrozen(labels) ? labels : undefined
      }
      if (askedIn !== turn) {
        askedIn = turn
        const value = key !== '' && Object.hasOwn(labels, key) ? labels[key] : undefined
        answer = value !== undefined && fits(value)
      }
      return answer
    }
    return { matches, cost: costOf(values) }
  }
  return (key, values) => {
    const id = JSON.stringify([key, values])
    const test = known.get(id) ?? create(key, values)
    known.set(id, test)
    return test
  }
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
