/** Who may do what with resources themselves: `tctl`, and every call that reads or changes the cluster's state. */
import type { Resource } from '#resources/resource.ts'
import type { Decision } from './decision.ts'
import type { CompiledRole, RoleSet } from './role-set.ts'
import { covers } from './rules.ts'

/** Verbs that stand in rules. */
export type Verb =
  | 'list'
  | 'create'
  | 'read'
  | 'readnosecrets'
  | 'update'
  | 'delete'
  | 'use'
  | 'rotate'
  | 'enroll'
  | 'create_enroll_token'

export interface ResourceRequest {
  /** As in documents: `role`. */
  readonly kind: string
  readonly verb: Verb
  /** What the verb is about, for `where`; left out for a listing. */
  readonly resource?: Resource | undefined
  readonly participants?: readonly string[] | undefined
}

/**
 * May the holder of `roles` do this? Every deny rule of every role goes first. A deny whose `where` cannot be computed
 * denies, an allow whose `where` cannot be computed does not allow.
 */
export function decideResource(set: RoleSet, { kind, verb, resource, participants }: ResourceRequest): Decision {
  const action = { verb, kind }
  const user = { name: set.userName, roles: set.names, traits: set.traits }
  const scope = { user, resource, participants }
  const fits = (role: CompiledRole, side: 'allow' | 'deny'): boolean =>
    role[side].rules.some(
      (rule) => covers(rule, kind, verb) && (rule.where?.(scope) ?? (!rule.where || side === 'deny')),
    )

  const unreadable = set.roles.find(({ deniesAll }) => deniesAll)
  if (unreadable) return { allowed: false, reason: 'role-unreadable', deniedBy: unreadable.name, action }
  const denier = set.roles.find((role) => fits(role, 'deny'))
  if (denier) return { allowed: false, reason: 'denied-by-role', deniedBy: denier.name, action }
  const granting = set.roles.filter((role) => fits(role, 'allow'))
  if (granting.length > 0) return { allowed: true, grantedBy: granting.map(({ name }) => name) }
  return { allowed: false, reason: 'rule-missing', action }
}
