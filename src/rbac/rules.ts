/** Rules of roles: verbs on kinds of resources, each perhaps with a condition. */
import { AccessError } from '#errors.ts'
import type { Resource } from '#resources/resource.ts'
import { parseIn, whereLanguage } from '#resources/role-expressions.ts'
import type { Traits } from '#traits/traits.ts'
import { valuesOf } from '#traits/traits.ts'
import { asBoolean, asList, asText, EvaluationFailure, evaluate, labelOf, type Value } from './label-expression.ts'

/** A rule that is ready to be asked. */
export interface Rule {
  readonly resources: ReadonlySet<string>
  readonly verbs: ReadonlySet<string>
  /** Left out: always. `undefined` as an answer: it could not be computed. */
  readonly where?: (scope: WhereScope) => boolean | undefined
}

/** What a `where` may ask about. What is not there is an empty text or list. */
interface WhereScope {
  readonly user: WhereUser
  readonly resource?: Resource | undefined
  /** Users of a recorded session, for sessions and their trackers. */
  readonly participants?: readonly string[] | undefined
}

/** The caller, as `user.…` in a `where`. */
interface WhereUser {
  readonly name: string
  readonly roles: readonly string[]
  readonly traits: Traits
}

interface RuleText {
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly where?: string
}

export function compileRules(rules: readonly RuleText[]): readonly Rule[] {
  return rules.map(({ resources, verbs, where }) => ({
    resources: new Set(resources),
    verbs: new Set(verbs),
    ...(where ? { where: compileWhere(where) } : {}),
  }))
}

/** Whether a rule is about this verb on this kind. `read` includes `readnosecrets`, not the other way round. */
export function covers({ resources, verbs }: Rule, kind: string, verb: string): boolean {
  if (!resources.has(kind) && !resources.has('*')) return false
  return verbs.has(verb) || verbs.has('*') || (verb === 'readnosecrets' && verbs.has('read'))
}

function compileWhere(text: string): (scope: WhereScope) => boolean | undefined {
  try {
    const expression = parseIn(whereLanguage, text)
    return (scope) => {
      try {
        return asBoolean(evaluate(expression, { variable: (path) => variable(path, scope), call }))
      } catch (error) {
        if (error instanceof EvaluationFailure) return undefined
        throw error
      }
    }
  } catch (error) {
    if (error instanceof AccessError) return () => undefined // stored by an older version that took it
    throw error
  }
}

function variable(path: readonly string[], { user, resource, participants }: WhereScope): Value {
  const name = path.at(-1) ?? ''
  switch (path.slice(0, 3).join('.')) {
    case 'user.metadata.name':
      return user.name
    case 'user.spec.roles':
      return user.roles
    case 'user.spec.traits':
      return valuesOf(user.traits, name)
    case 'resource.kind':
      return resource?.kind ?? ''
    case 'resource.metadata.name':
      return resource?.metadata.name ?? ''
    case 'resource.metadata.labels':
      return labelOf(resource?.metadata.labels ?? {}, name)
    case 'session.participants':
    case 'session_tracker.participants':
      return participants ?? []
    default:
      throw new EvaluationFailure(`${path.join('.')} is not known here`)
  }
}

function call(name: string, [first, second]: readonly Value[]): Value {
  switch (name) {
    case 'contains':
      return asList(first).includes(asText(second))
    case 'contains_any':
      return asList(second).some((item) => asList(first).includes(item))
    case 'contains_all':
      return asList(second).length > 0 && asList(second).every((item) => asList(first).includes(item))
    case 'equals':
      return equals(first, second)
    case 'has_prefix':
      return asText(first).startsWith(asText(second))
    case 'all_end_with':
      return asList(first).every((item) => item.endsWith(asText(second)))
    case 'all_equal':
      return asList(first).every((item) => item === asText(second))
    case 'is_subset':
      return asList(first).every((item) => asList(second).includes(item))
    default:
      throw new EvaluationFailure(`there is no function ${name}`)
  }
}

/** Lists are equal when they hold the same texts in the same order. */
function equals(first: Value | undefined, second: Value | undefined): boolean {
  if (typeof first === 'object' && typeof second === 'object') {
    return first.length === second.length && first.every((item, index) => item === second[index])
  }
  return first === second
}
