/** The cloud principals that a login's certificate names: for display and for choosing; decisions read the live roles. */
import type { CompiledRole, RoleSet } from './role-set.ts'

/** Kinds of cloud principals, as fields of roles. */
export type PrincipalKind = 'aws' | 'azure' | 'gcp'

/**
 * All principals of one kind over the roles that allow a session of `ttlMs` (left out: any session), without those that a
 * role denies. Whether an app's labels allow them is asked when it is used.
 */
export function cloudPrincipals({ roles }: RoleSet, kind: PrincipalKind, ttlMs = 0): readonly string[] {
  if (roles.some((role) => role.deniesAll || deniedOf(role, kind).has('*'))) return []
  const allowed = roles
    .filter(({ options }) => ttlMs <= options.maxSessionTtlMs)
    .flatMap((role) => allowedOf(role, kind).map((name) => [keyOf(kind, name), name] as const))
  return [...new Map(allowed)]
    .filter(([key]) => !roles.some((role) => deniedOf(role, kind).has(key)))
    .map(([, name]) => name)
}

function keyOf(kind: PrincipalKind, name: string): string {
  return kind === 'azure' ? name.toLowerCase() : name
}

function allowedOf({ allow }: CompiledRole, kind: PrincipalKind): readonly string[] {
  if (kind === 'azure') return allow.azureIdentityNames
  return [...(kind === 'aws' ? allow.awsRoleArns : allow.gcpServiceAccounts)]
}

function deniedOf({ deny }: CompiledRole, kind: PrincipalKind): ReadonlySet<string> {
  if (kind === 'azure') return deny.azureIdentities
  return kind === 'aws' ? deny.awsRoleArns : deny.gcpServiceAccounts
}
