/** Templates in roles: one `{{expression}}` with an optional literal before and after it, filled from a user's traits. */
import { AccessError } from '#errors.ts'
import { type Expression, InvalidExpression, parseExpressionPrefix, pathText } from './expression.ts'
import { compileRegexp, type Regexp } from './regexp.ts'
import { type Traits, valuesOf } from './traits.ts'

/** A template that may not be stored, in the words of the reference. */
class InvalidTemplate extends AccessError {
  override readonly code = 'invalid'
}

/** What stands for a list of texts once traits are known. */
export type Template =
  | { readonly type: 'literal'; readonly value: string }
  | { readonly type: 'expression'; readonly prefix: string; readonly suffix: string; readonly values: Values }

/** What an expression comes to for given traits. */
type Values =
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'trait'; readonly name: string }
  | { readonly type: 'local-part'; readonly of: Values }
  | { readonly type: 'replace'; readonly of: Values; readonly regexp: Regexp; readonly replacement: string }

const MAX_LENGTH = 8192
/** Longer values are no trait that anyone matches with. */
const MAX_VALUE = 65_536

/** Traits that may follow `internal.`; after `external.` any name may stand. */
export const internalTraits: ReadonlySet<string> = new Set([
  'logins',
  'windows_logins',
  'kubernetes_groups',
  'kubernetes_users',
  'db_names',
  'db_users',
  'db_roles',
  'aws_role_arns',
  'azure_identities',
  'gcp_service_accounts',
  'jwt',
  'host_user_uid',
  'host_user_gid',
  'github_orgs',
  'mcp_tools',
])

/** A text without `{{` and `}}` is a literal. @throws {InvalidTemplate} */
export function parseTemplate(text: string): Template {
  if (text.length > MAX_LENGTH) {
    throw new InvalidTemplate(`a template is longer than ${MAX_LENGTH} characters`, { hint: 'shorten it' })
  }
  const open = text.indexOf('{{')
  if (open === -1 && !text.includes('}}')) return { type: 'literal', value: text }
  const prefix = text.slice(0, Math.max(open, 0))
  if (open === -1 || /[{}]/.test(prefix)) throw brackets(text)
  const rest = text.slice(open + 2)
  const { expression, end } = expressionOf(rest, text)
  const suffix = rest.slice(end + 2)
  if (!rest.startsWith('}}', end) || /[{}]/.test(suffix)) throw brackets(text)
  return { type: 'expression', prefix: prefix.trimStart(), suffix: suffix.trimEnd(), values: valuesFrom(expression) }
}

/**
 * One text per value, empty ones dropped, each once. A missing trait, an empty result and a value that a function cannot
 * take give nothing: whoever expands a list leaves that entry out.
 */
export function expandTemplate(template: Template, traits: Traits): readonly string[] {
  if (template.type === 'literal') return [template.value]
  const { prefix, suffix } = template
  const values = evaluate(template.values, traits) ?? []
  return [...new Set(values.filter((value) => value !== '').map((value) => prefix + value + suffix))]
}

function expressionOf(rest: string, whole: string): ReturnType<typeof parseExpressionPrefix> {
  try {
    return parseExpressionPrefix(rest)
  } catch (cause) {
    if (cause instanceof InvalidExpression) throw brackets(whole, cause)
    throw cause
  }
}

function brackets(text: string, cause?: InvalidExpression): InvalidTemplate {
  return new InvalidTemplate(
    `${JSON.stringify(text.slice(0, 500))} is using template brackets '{{' or '}}', however expression does not parse, make sure the format is {{expression}}`,
    { hint: cause?.message ?? 'write one {{expression}}, with plain text before and after it', cause },
  )
}

function valuesFrom(expression: Expression): Values {
  if (expression.type === 'literal' && typeof expression.value === 'string') {
    return { type: 'text', value: expression.value }
  }
  if (expression.type === 'variable') return variable(expression.path)
  if (expression.type === 'call') return call(expression.name, expression.args)
  throw new InvalidTemplate('a template gives text: operators have no place in it', {
    hint: 'use a trait such as {{external.team}}, email.local or regexp.replace',
  })
}

function variable(path: readonly string[]): Values {
  const [namespace, name] = path
  const known =
    path.length === 2 && (namespace === 'external' || (namespace === 'internal' && internalTraits.has(name ?? '')))
  if (!known || !name) {
    throw new InvalidTemplate(`unsupported variable ${JSON.stringify(pathText(path))}`, {
      hint: `use external.NAME, or internal. and one of ${[...internalTraits].join(', ')}`,
    })
  }
  return { type: 'trait', name }
}

function call(name: string, args: readonly Expression[]): Values {
  const [of, pattern, replacement] = args
  if (name === 'email.local') {
    if (!of || args.length !== 1) throw wrongArguments(name, 'one')
    const inner = valuesFrom(of)
    if (inner.type === 'text' && inner.value === '') {
      throw new InvalidTemplate('found empty "email.local" argument', { hint: 'give it an address or a trait' })
    }
    return { type: 'local-part', of: inner }
  }
  if (name === 'regexp.replace') {
    if (!of || args.length !== 3) throw wrongArguments(name, 'three')
    if (!isText(pattern) || !isText(replacement)) {
      throw new InvalidTemplate('the second and third argument of "regexp.replace" must be strings in quotes', {
        hint: 'write {{regexp.replace(external.team, "^x-(.*)$", "$1")}}',
      })
    }
    return { type: 'replace', of: valuesFrom(of), regexp: compileRegexp(pattern.value), replacement: replacement.value }
  }
  throw new InvalidTemplate(`unsupported function: ${name}`, { hint: 'use email.local or regexp.replace' })
}

function isText(expression: Expression | undefined): expression is { type: 'literal'; value: string } {
  return expression?.type === 'literal' && typeof expression.value === 'string'
}

function wrongArguments(name: string, count: string): InvalidTemplate {
  return new InvalidTemplate(`"${name}" takes ${count} argument${count === 'one' ? '' : 's'}`, {
    hint: 'email.local(address), regexp.replace(value, "regexp", "replacement")',
  })
}

/** `undefined` where one value cannot be computed: then the whole entry counts for nothing, not only that value. */
function evaluate(values: Values, traits: Traits): readonly string[] | undefined {
  if (values.type === 'text') return [values.value]
  if (values.type === 'trait') return valuesOf(traits, values.name)
  const inner = evaluate(values.of, traits)
  if (inner === undefined) return undefined
  if (values.type === 'local-part') {
    const parts = inner.map(localPart)
    return parts.every((part) => part !== undefined) ? parts : undefined
  }
  const { regexp, replacement } = values
  const replaced = inner
    .filter((value) => value.length <= MAX_VALUE)
    .map((value) => regexp.replaceAll(value, replacement))
  return replaced.filter((value) => value !== undefined)
}

/**
 * The part before the `@` of an address: `alice` of `Alice <alice@example.com>`; `undefined` of what is no address.
 * @see RFC 5322 §3.4.1 addr-spec
 */
export function localPart(address: string): string | undefined {
  if (address.length > 1024) return undefined
  const [, inside = address.trim()] = /<([^<>]*)>\s*$/.exec(address) ?? []
  const atom = '[^\\s()<>\\[\\]:;@\\\\,."\\u0000-\\u001f\\u007f]+'
  const dotted = `${atom}(?:\\.${atom})*`
  const [, plain, quoted] =
    new RegExp(`^(?:(${dotted})|"((?:[^"\\\\\\r\\n]|\\\\.)*)")@(?:${dotted}|\\[[^\\[\\]\\s]*\\])$`).exec(inside) ?? []
  return plain ?? quoted?.replaceAll(/\\(.)/g, '$1')
}
