/** Roles: what their holders may do, and what nothing may give them. */
import { isIP } from 'node:net'
import { parseRoleArn } from '#aws/arn.ts'
import { AccessError } from '#errors.ts'
import { compileRegexp } from '#traits/regexp.ts'
import { parseTemplate } from '#traits/template.ts'
import { type Draft, type Fail, resourceParser } from './envelope.ts'
import { type DocumentSource, InvalidResource } from './invalid-resource.ts'
import { withoutUnknownField } from './read-stored.ts'
import type { Resource } from './resource.ts'
import {
  type RoleConditions,
  roleConditions,
  selectorFields,
  templatedLists,
  unusedConditions,
} from './role-conditions.ts'
import { labelLanguage, parseIn, whereLanguage } from './role-expressions.ts'
import { checkKubernetesResources } from './role-kubernetes.ts'
import { type RoleOptions, roleOptions, unusedOptions } from './role-options.ts'
import { type DeepReadonly, durationMs, frozen, strict } from './schema.ts'
import { patternRegexp } from './string-pattern.ts'

/** The versions of roles, oldest first. */
export const roleVersions = ['v3', 'v4', 'v5', 'v6', 'v7', 'v8'] as const

const parseStrict = resourceParser({
  kind: 'role',
  versions: ['v8', 'v3', 'v4', 'v5', 'v6', 'v7'],
  spec: strict({
    options: roleOptions.default({}).describe('What binds its holders. Of several roles the stricter one counts.'),
    allow: roleConditions.default({}).describe('What its holders may do.'),
    deny: roleConditions.default({}).describe('What nothing may give them: it wins over every allow.'),
  }),
  finish: checkRole,
})

/** A named set of permissions. Defaults of its version are not filled in: `rbac/role-set.ts` does that when it decides. */
export type Role = ReturnType<typeof parseStrict> & {
  /** Fields that this version does not understand: then the allow counts for nothing. */
  readonly unreadable?: readonly string[]
  /** Not even its deny can be understood: then it denies everything to its holders. */
  readonly deniesAll?: true
}

/** What a role may say. */
export const roleSchema = parseStrict.schema

/** Takes a role that someone wants to store, versions v3 to v8. @throws {InvalidResource} in the words of the reference */
export function parseRole(document: unknown, source?: DocumentSource): Role {
  return parseStrict(document, source)
}

/** More than the fields that any newer version will have added. */
const MAX_UNKNOWN = 100

/**
 * Takes a role that is stored, perhaps written by a newer version. One that cannot be understood comes back without its
 * allow and with its deny, as far as that can be read; a deny that is not readable at all denies everything. An upgrade
 * may close a door for a while, and opens none.
 *
 * @throws {InvalidResource} where not even its name can be read
 */
export function readRole(document: unknown): Role {
  const unreadable: string[] = []
  // What came from a process that could not read it says so itself.
  let deniesAll = typeof document === 'object' && document !== null && 'deniesAll' in document
  let rest = document
  for (let attempt = 0; attempt < MAX_UNKNOWN; attempt++) {
    try {
      const role = parseStrict(rest)
      if (unreadable.length === 0) return role
      return frozen({ ...role, spec: { ...role.spec, allow: {} }, unreadable, ...(deniesAll ? { deniesAll } : {}) })
    } catch (error) {
      if (!(error instanceof InvalidResource)) throw error
      const next = withoutFault(rest, error)
      if (next === undefined) throw error
      unreadable.push(error.field)
      deniesAll ||= next.deniesAll
      rest = next.document
    }
  }
  throw new InvalidResource({ problem: `has more than ${MAX_UNKNOWN} fields that are not understood`, subject: 'role' })
}

interface Reduced {
  readonly document: unknown
  readonly deniesAll: boolean
}

/** The document without what this error is about: the allow, the options, one unknown field, or at worst the deny. */
function withoutFault(document: unknown, error: InvalidResource): Reduced | undefined {
  const { field } = error
  if (typeof document !== 'object' || document === null) return undefined
  const { spec, ...rest } = document as { spec?: unknown } // looked at only by name
  const fields = typeof spec === 'object' && spec !== null && !Array.isArray(spec) ? spec : {}
  const replace = (part: object, deniesAll = false): Reduced => ({
    document: { ...rest, spec: { ...fields, ...part } },
    deniesAll,
  })
  if (field === 'version')
    return { document: { ...rest, version: 'v8', spec: { ...fields, allow: {} } }, deniesAll: false }
  if (field === 'spec') return { document: { ...rest, spec: {} }, deniesAll: true }
  if (field.startsWith('spec.allow')) return replace({ allow: {} })
  const fewer = withoutUnknownField(document, error)
  if (fewer !== undefined) return { document: fewer, deniesAll: false }
  if (field.startsWith('spec.options')) return replace({ options: {} })
  return field.startsWith('spec.deny') ? replace({ deny: {} }, true) : undefined
}

/** What a role says that has no effect here, one sentence for each field. */
export function roleWarnings(role: Resource): readonly string[] {
  const { options, allow, deny } = role.spec as Role['spec'] // the table of kinds calls this with roles alone
  const unused = [
    ...unusedOptions.filter((name) => Object.hasOwn(options, name)).map((name) => `spec.options.${name}`),
    ...unusedConditions.filter((name) => Object.hasOwn(allow, name)).map((name) => `spec.allow.${name}`),
    ...unusedConditions.filter((name) => Object.hasOwn(deny, name)).map((name) => `spec.deny.${name}`),
  ]
  return unused.map(
    (field) =>
      `role ${JSON.stringify(role.metadata.name)}: ${field} is kept and has no effect: it concerns what this product does not serve`,
  )
}

interface RoleSpec {
  readonly options: RoleOptions
  readonly allow: RoleConditions
  readonly deny: RoleConditions
}

const systemNames = [
  'auth',
  'proxy',
  'node',
  'kube',
  'app',
  'db',
  'windowsdesktop',
  'discovery',
  'okta',
  'bot',
  'trusted_cluster',
  'mdm',
  'instance',
  'admin',
  'nop',
  'remoteproxy',
  'accessgraphplugin',
  'provisiontoken',
  'signup',
  'default-implicit-role',
]
const DAY = 24 * 3_600_000

function checkRole<Spec extends RoleSpec>(role: Draft<Spec>, fail: Fail): Draft<Spec> {
  const { name } = role.metadata
  if (systemNames.includes(name.toLowerCase())) fail(['metadata', 'name'], `reserved role: ${name}`)
  for (const side of ['allow', 'deny'] as const) {
    const conditions = role.spec[side]
    const path = ['spec', side]
    checkSelectors(conditions, path, fail)
    checkLists(conditions, path, fail)
    checkRules(conditions, side, fail)
    checkSpiffe(conditions, path, fail)
    checkKubernetesResources(
      conditions.kubernetes_resources ?? [],
      role.version,
      [...path, 'kubernetes_resources'],
      fail,
    )
  }
  checkWildcards(role.spec.allow, fail)
  for (const side of ['allow', 'deny'] as const) checkRoleArns(role.spec[side], ['spec', side], fail)
  checkRequests(role.spec, fail)
  return role
}

/** Runs a parser of something inside the role; what it throws becomes an error of this field. */
function attempt(path: readonly PropertyKey[], fail: Fail, parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    if (!(error instanceof AccessError)) throw error
    fail(path, error.message, error.hint)
  }
}

function checkSelectors(conditions: RoleConditions, path: readonly PropertyKey[], fail: Fail): void {
  for (const field of selectorFields) {
    for (const [key, values] of Object.entries(conditions[field] ?? {})) {
      attempt([...path, field, key], fail, () => parseTemplate(key))
      values.forEach((value, index) => {
        attempt([...path, field, key, index], fail, () =>
          value.includes('{{') ? parseTemplate(value) : patternRegexp(value),
        )
      })
    }
    const expression = conditions[`${field}_expression`]
    if (expression) attempt([...path, `${field}_expression`], fail, () => parseIn(labelLanguage, expression))
  }
}

function checkLists(conditions: RoleConditions, path: readonly PropertyKey[], fail: Fail): void {
  for (const field of templatedLists) {
    conditions[field]?.forEach((entry, index) => {
      attempt([...path, field, index], fail, () => parseTemplate(entry))
    })
  }
}

/** An ARN that names no role would deny or allow nothing, and nobody would notice. What a template gives is known later. */
function checkRoleArns({ aws_role_arns: arns = [] }: RoleConditions, path: readonly PropertyKey[], fail: Fail): void {
  arns.forEach((arn, index) => {
    if (arn !== '*' && !arn.includes('{{')) attempt([...path, 'aws_role_arns', index], fail, () => parseRoleArn(arn))
  })
}

/** A wildcard in a list of principals would give every account that the agent can reach. */
function checkWildcards(allow: RoleConditions, fail: Fail): void {
  const lists = [
    ['logins', 'logins'],
    ['aws_role_arns', 'aws_role_arns'],
    ['azure_identities', 'allow.azure_identities'],
    ['gcp_service_accounts', 'allow.gcp_service_accounts'],
  ] as const
  for (const [field, name] of lists) {
    const index = allow[field]?.indexOf('*') ?? -1
    if (index >= 0) fail(['spec', 'allow', field, index], `wildcard matcher is not allowed in ${name}`)
  }
}

function checkRules(conditions: RoleConditions, side: 'allow' | 'deny', fail: Fail): void {
  conditions.rules?.forEach((rule, index) => {
    const path = ['spec', side, 'rules', index]
    const refuse = (problem: string, field: string, hint?: string): never =>
      fail([...path, field], `failed to process '${side}' rule ${index}: ${problem}`, hint)
    if (rule.resources.length === 0) refuse('missing resources to match', 'resources')
    if (rule.verbs.length === 0) refuse('missing verbs', 'verbs')
    const { where } = rule
    if (!where) return
    attempt(
      [...path, 'where'],
      (at, problem, hint) => refuse(problem, String(at.at(-1)), hint),
      () => parseIn(whereLanguage, where),
    )
  })
  const { users = [], roles = [], where } = conditions.impersonate ?? {}
  if (side === 'deny' && where)
    fail(['spec', 'deny', 'impersonate', 'where'], "'where' is not supported in deny.impersonate conditions")
  if (side === 'allow' && users.length > 0 && roles.length === 0) {
    fail(
      ['spec', 'allow', 'impersonate'],
      'please set both impersonate.users and impersonate.roles for user impersonation',
    )
  }
  if (where) attempt(['spec', side, 'impersonate', 'where'], fail, () => parseIn(whereLanguage, where))
}

function checkSpiffe(conditions: RoleConditions, path: readonly PropertyKey[], fail: Fail): void {
  conditions.spiffe?.forEach((entry, index) => {
    const at = [...path, 'spiffe', index]
    if (entry.path === '') fail([...at, 'path'], 'path: should be non-empty')
    if (!entry.path.startsWith('/') && !/^\^.*\$$/.test(entry.path)) {
      fail([...at, 'path'], 'path: should start with / or be a regex expression starting with ^ and ending with $')
    }
    if (entry.path.startsWith('^')) attempt([...at, 'path'], fail, () => compileRegexp(entry.path))
    entry.ip_sans?.forEach((range, position) => {
      if (!isCidr(range))
        fail([...at, 'ip_sans', position], `validating ip_sans[${position}]: invalid CIDR address: ${range}`)
    })
  })
}

function isCidr(range: string): boolean {
  const [address = '', bits = '', ...more] = range.split('/')
  const size = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= size
}

function checkRequests({ allow, deny }: DeepReadonly<RoleSpec>, fail: Fail): void {
  if (deny.request?.thresholds?.length) {
    fail(
      ['spec', 'deny', 'request', 'thresholds'],
      'deny.request cannot contain thresholds, set denial counts in allow.request.thresholds instead',
    )
  }
  const longest = allow.request?.max_duration
  if (longest !== undefined && durationMs(longest) > 14 * DAY) {
    fail(['spec', 'allow', 'request', 'max_duration'], 'max access duration must be less than or equal to 336h0m0s')
  }
}
