/** The roles of one identity, ready to decide with: defaults filled in, templates expanded, patterns compiled. */

import { AccessError } from '#errors.ts'
import type { Role } from '#resources/role.ts'
import type { RoleConditions } from '#resources/role-conditions.ts'
import { type DeepReadonly, durationMs } from '#resources/schema.ts'
import { expandTemplate, parseTemplate } from '#traits/template.ts'
import type { Traits } from '#traits/traits.ts'
import { implicitRole } from './implicit-role.ts'
import { compileLabels, createKeyTests, type KeyTests, type LabelMatcher } from './labels.ts'
import { compileRules, type Rule } from './rules.ts'

/** What `createRoleSet` gives: plain data and compiled matchers; nothing of it changes. */
export interface RoleSet {
  /** In the order of the identity, the implicit role last. */
  readonly roles: readonly CompiledRole[]
  /** Names without the implicit role's, as the identity has them. */
  readonly names: readonly string[]
  readonly traits: Traits
  /** For `user.metadata.name` in `where`. */
  readonly userName: string
}

export interface CompiledRole {
  readonly name: string
  readonly isImplicit: boolean
  /** A newer version wrote it: its allow counts for nothing. */
  readonly isUnreadable: boolean
  /** Not even its deny is understood: its holders may do nothing. */
  readonly deniesAll: boolean
  readonly options: CompiledOptions
  readonly allow: Conditions
  readonly deny: Conditions
}

interface CompiledOptions {
  /** `Infinity` of the implicit role. */
  readonly maxSessionTtlMs: number
  /** 0: none. */
  readonly clientIdleTimeoutMs: number
  readonly disconnectExpiredCert: boolean
  readonly requireSessionMfa: boolean
  readonly requireDevice: boolean
  /** Left out: the cluster's. */
  readonly lock?: 'best_effort' | 'strict'
  readonly pinSourceIp: boolean
}

export interface Conditions {
  readonly appLabels: LabelMatcher
  readonly kubernetesLabels: LabelMatcher
  readonly awsRoleArns: ReadonlySet<string>
  /** In lower case. */
  readonly azureIdentities: ReadonlySet<string>
  /** As they are written, for lists that people see. */
  readonly azureIdentityNames: readonly string[]
  readonly gcpServiceAccounts: ReadonlySet<string>
  readonly kubernetesGroups: readonly string[]
  readonly kubernetesUsers: readonly string[]
  readonly rules: readonly Rule[]
}

/** Who the roles are of. */
export interface RoleSetOptions {
  readonly userName?: string
}

/** Default of a role that does not say. */
const MAX_SESSION_TTL = '30h0m0s'

/**
 * Compiles roles for one identity; do it once and decide often. The implicit role is added, which lets everyone see
 * what the cluster consists of.
 */
export function createRoleSet(roles: readonly Role[], traits: Traits, { userName = '' }: RoleSetOptions = {}): RoleSet {
  const tests = createKeyTests()
  const compiled = roles.map((role) => compileRole(role, traits, tests, false))
  return {
    roles: [...compiled, compileRole(implicitRole, traits, tests, true)],
    names: roles.map(({ metadata }) => metadata.name),
    traits,
    userName,
  }
}

function compileRole(role: Role, traits: Traits, tests: KeyTests, isImplicit: boolean): CompiledRole {
  const { spec, version, metadata } = role
  const isUnreadable = (role.unreadable?.length ?? 0) > 0
  // An upgrade of a v3 role's meaning is not ours to make: it opens all apps and clusters where it names none.
  const everything = version === 'v3' ? { app_labels: { '*': ['*'] }, kubernetes_labels: { '*': ['*'] } } : {}
  const inNamespace = spec.allow.namespaces?.some((namespace) => namespace === 'default' || namespace === '*') ?? true
  const allow = isUnreadable || !inNamespace ? {} : { ...everything, ...spec.allow }
  return {
    name: metadata.name,
    isImplicit,
    isUnreadable,
    deniesAll: role.deniesAll === true,
    options: compileOptions(role, isImplicit),
    allow: compileConditions(allow, { side: 'allow', traits, tests }),
    deny: compileConditions(spec.deny, { side: 'deny', traits, tests }),
  }
}

function compileOptions({ spec: { options } }: Role, isImplicit: boolean): CompiledOptions {
  const { lock, require_session_mfa: mfa = 'no' } = options
  const ttl = durationMs(options.max_session_ttl ?? MAX_SESSION_TTL)
  return {
    maxSessionTtlMs: isImplicit ? Number.POSITIVE_INFINITY : ttl > 0 ? ttl : durationMs(MAX_SESSION_TTL),
    clientIdleTimeoutMs: durationMs(options.client_idle_timeout ?? '0s'),
    disconnectExpiredCert: options.disconnect_expired_cert ?? false,
    requireSessionMfa: mfa !== 'no',
    requireDevice: options.device_trust_mode === 'required' || options.device_trust_mode === 'required-for-humans',
    ...(lock ? { lock } : {}),
    pinSourceIp: options.pin_source_ip ?? false,
  }
}

interface Compiling {
  readonly side: 'allow' | 'deny'
  readonly traits: Traits
  readonly tests: KeyTests
}

function compileConditions(conditions: DeepReadonly<RoleConditions>, compiling: Compiling): Conditions {
  const expand = (list: readonly string[] | undefined) => expandList(list ?? [], compiling.traits)
  const labels = (kind: 'app' | 'kubernetes') =>
    compileLabels({
      ...compiling,
      selector: conditions[`${kind}_labels`],
      expression: conditions[`${kind}_labels_expression`],
    })
  const azure = expand(conditions.azure_identities)
  return {
    appLabels: labels('app'),
    kubernetesLabels: labels('kubernetes'),
    awsRoleArns: new Set(principals(expand(conditions.aws_role_arns), compiling.side)),
    azureIdentities: new Set(principals(azure, compiling.side).map((id) => id.toLowerCase())),
    azureIdentityNames: principals(azure, compiling.side),
    gcpServiceAccounts: new Set(principals(expand(conditions.gcp_service_accounts), compiling.side)),
    kubernetesGroups: expand(conditions.kubernetes_groups),
    kubernetesUsers: expand(conditions.kubernetes_users),
    rules: compileRules(conditions.rules ?? []),
  }
}

/** Only a deny may say "every": a trait that holds `*` gives nothing, just as a role that says so cannot be written. */
function principals(values: readonly string[], side: 'allow' | 'deny'): readonly string[] {
  return side === 'deny' ? values : values.filter((value) => value !== '*')
}

/** All entries with their templates filled in, each value once; what comes to nothing is left out. */
function expandList(entries: readonly string[], traits: Traits): readonly string[] {
  return [...new Set(entries.flatMap((entry) => expandEntry(entry, traits)))]
}

function expandEntry(entry: string, traits: Traits): readonly string[] {
  if (!entry.includes('{{') && !entry.includes('}}')) return [entry]
  try {
    return expandTemplate(parseTemplate(entry), traits)
  } catch (error) {
    if (error instanceof AccessError) return [] // stored by an older version that took it
    throw error
  }
}
