/**
 * The `Condition` element of IAM policies: a closed list of operators and keys. What is not on the lists is an error
 * when a policy is written, so that no condition is ever silently without effect.
 *
 * @see IAM User Guide, "IAM JSON policy elements: Condition operators" and "AWS global condition context keys"
 */
import { BlockList, isIP } from 'node:net'
import { AwsError } from './aws-error.ts'
import { matchesGlob, parseGlob, type VariableLookup } from './glob.ts'

/** One line of a `Condition`: `StringEqualsIfExists`, `aws:PrincipalArn`, its values. */
export interface Condition {
  readonly operator: string
  readonly quantifier: 'ForAllValues' | 'ForAnyValue' | undefined
  readonly ifExists: boolean
  /** Lower case, as keys compare. */
  readonly key: string
  readonly values: readonly string[]
}

/** What a request says about itself, by lower-case condition key. An absent key is absent from the map. */
export type RequestContext = ReadonlyMap<string, string | readonly string[]>

type Test = (actual: string, expected: string, variables: VariableLookup | undefined) => boolean

const glob: Test = (actual, expected, variables) => {
  const pattern = parseGlob(expected, variables)
  return pattern !== undefined && matchesGlob(pattern, actual)
}
const literal: Test = (actual, expected, variables) => {
  // Variables are expanded in StringEquals too, but `*` and `?` stand for themselves.
  const escaped = expected.replaceAll(/(?<!\$\{)[*?]/g, (wildcard) => `\${${wildcard}}`)
  const pattern = parseGlob(escaped, variables ?? (() => undefined))
  return pattern !== undefined && matchesGlob(pattern, actual)
}
const arn: Test = (actual, expected, variables) => {
  const parts = actual.split(':')
  const patterns = expected.split(':')
  if (parts.length < 6 || patterns.length < 6) return false
  const six = (all: string[]): string[] => [...all.slice(0, 5), all.slice(5).join(':')]
  const wanted = six(patterns)
  return six(parts).every((part, index) => glob(part, wanted[index] ?? '', variables))
}
const number =
  (compare: (a: number, b: number) => boolean): Test =>
  (actual, expected) =>
    compare(Number(actual), Number(expected))
const date =
  (compare: (a: number, b: number) => boolean): Test =>
  (actual, expected) =>
    compare(instant(actual), instant(expected))
const ignoringCase: Test = (actual, expected, variables) =>
  literal(actual.toLowerCase(), expected.toLowerCase(), variables)
const address: Test = (actual, expected) => {
  const [network = '', bits] = expected.split('/')
  const family = isIP(network) === 6 ? 'ipv6' : 'ipv4'
  const list = new BlockList()
  list.addSubnet(network, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  return isIP(actual) !== 0 && list.check(actual, isIP(actual) === 6 ? 'ipv6' : 'ipv4')
}

/** Operators by lower-case name. `negated` ones hold when no listed value matches, and when the key is absent. */
const operators: Readonly<Record<string, { readonly test: Test; readonly negated?: true }>> = {
  stringequals: { test: literal },
  stringnotequals: { test: literal, negated: true },
  stringequalsignorecase: { test: ignoringCase },
  stringnotequalsignorecase: { test: ignoringCase, negated: true },
  stringlike: { test: glob },
  stringnotlike: { test: glob, negated: true },
  arnequals: { test: arn },
  arnlike: { test: arn },
  arnnotequals: { test: arn, negated: true },
  arnnotlike: { test: arn, negated: true },
  bool: { test: (actual, expected) => actual.toLowerCase() === expected.toLowerCase() },
  ipaddress: { test: address },
  notipaddress: { test: address, negated: true },
  numericequals: { test: number((a, b) => a === b) },
  numericnotequals: { test: number((a, b) => a === b), negated: true },
  numericlessthan: { test: number((a, b) => a < b) },
  numericlessthanequals: { test: number((a, b) => a <= b) },
  numericgreaterthan: { test: number((a, b) => a > b) },
  numericgreaterthanequals: { test: number((a, b) => a >= b) },
  dateequals: { test: date((a, b) => a === b) },
  datenotequals: { test: date((a, b) => a === b), negated: true },
  datelessthan: { test: date((a, b) => a < b) },
  datelessthanequals: { test: date((a, b) => a <= b) },
  dategreaterthan: { test: date((a, b) => a > b) },
  dategreaterthanequals: { test: date((a, b) => a >= b) },
}

/** Keys that the lab fills in. Tag keys and those of OpenID Connect providers are patterns below. */
const keys = new Set([
  'aws:currenttime',
  'aws:epochtime',
  'aws:multifactorauthpresent',
  'aws:principalaccount',
  'aws:principalarn',
  'aws:principaltype',
  'aws:requestedregion',
  'aws:securetransport',
  'aws:sourceidentity',
  'aws:sourceip',
  'aws:tagkeys',
  'aws:tokenissuetime',
  'aws:useragent',
  'aws:userid',
  'aws:username',
  'iam:passedtoservice',
  'iam:policyarn',
  's3:delimiter',
  's3:max-keys',
  's3:prefix',
  's3:x-amz-content-sha256',
  'sts:durationseconds',
  'sts:externalid',
  'sts:rolesessionname',
  'sts:sourceidentity',
  'sts:transitivetagkeys',
])
const tagKey = /^aws:(?:principaltag|requesttag|resourcetag)\/.{1,128}$/
const oidcKey = /^[a-z0-9.-]+\.[a-z0-9.-]+(?::\d+)?(?:\/[\w./-]+)?:(?:sub|aud|amr|email)$/

/**
 * Parses the `Condition` element of a statement.
 *
 * @throws {AwsError} MalformedPolicyDocument for an operator, key or value that the lab does not evaluate
 */
export function parseConditions(element: unknown): readonly Condition[] {
  if (element === undefined) return []
  const conditions: Condition[] = []
  for (const [name, block] of entries(element)) {
    const [, quantifier, operator = '', ifExists] =
      /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/.exec(name) ?? []
    const lower = operator.toLowerCase()
    if (lower !== 'null' && !operators[lower]) throw malformed(`The condition operator ${name} is not evaluated here.`)
    if (lower === 'null' && ifExists) throw malformed('Null has no IfExists form.')
    for (const [key, value] of entries(block)) {
      const lowerKey = key.toLowerCase()
      if (!keys.has(lowerKey) && !tagKey.test(lowerKey) && !oidcKey.test(lowerKey)) {
        throw malformed(`The condition key ${key} is not evaluated here.`)
      }
      const values = (Array.isArray(value) ? value : [value]).map((item) => conditionValue(item, lower))
      const known = quantifier === 'ForAllValues' || quantifier === 'ForAnyValue' ? quantifier : undefined
      conditions.push({ operator: lower, quantifier: known, ifExists: ifExists !== undefined, key: lowerKey, values })
    }
  }
  return conditions
}

/** Do all conditions hold for a request? `variables` is given where the policy's version has variables. */
export function conditionsHold(
  conditions: readonly Condition[],
  context: RequestContext,
  variables: VariableLookup | undefined,
): boolean {
  return conditions.every((condition) => holds(condition, context.get(condition.key), variables))
}

function holds(
  { operator, quantifier, ifExists, values }: Condition,
  actual: string | readonly string[] | undefined,
  variables: VariableLookup | undefined,
): boolean {
  if (operator === 'null') return values.some((value) => (value.toLowerCase() === 'true') === (actual === undefined))
  const { test, negated } = operators[operator] ?? { test: () => false }
  const given = actual === undefined ? [] : typeof actual === 'string' ? [actual] : actual
  if (given.length === 0) return ifExists || negated === true || quantifier === 'ForAllValues'
  const passes = (one: string): boolean => values.some((value) => test(one, value, variables)) !== (negated === true)
  return quantifier === 'ForAnyValue' || (quantifier === undefined && !negated)
    ? given.some(passes)
    : given.every(passes)
}

function conditionValue(value: unknown, operator: string): string {
  if (typeof value !== 'string' && typeof value !== 'boolean' && typeof value !== 'number') {
    throw malformed('A condition value must be a string.')
  }
  const text = String(value)
  if (operator.startsWith('numeric') && !Number.isFinite(Number(text))) throw malformed(`${text} is not a number.`)
  if (operator.startsWith('date') && Number.isNaN(instant(text))) throw malformed(`${text} is not a date.`)
  if ((operator === 'bool' || operator === 'null') && !/^(?:true|false)$/i.test(text)) {
    throw malformed(`${text} is neither true nor false.`)
  }
  if (operator.endsWith('ipaddress')) {
    const [network = '', bits = '0'] = text.split('/')
    const longest = isIP(network) === 6 ? 128 : 32
    if (isIP(network) === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > longest) {
      throw malformed(`${text} is not an address range.`)
    }
  }
  return text
}

const instant = (text: string): number => (/^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text))

function entries(element: unknown): [string, unknown][] {
  if (typeof element !== 'object' || element === null || Array.isArray(element)) {
    throw malformed('Syntax errors in policy.')
  }
  return Object.entries(element)
}

const malformed = (message: string): AwsError => new AwsError('MalformedPolicyDocument', 400, message)
