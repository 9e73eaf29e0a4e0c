import { z } from 'zod'
import { duration, oneOf, selector, strict, text, texts, untouched, whole } from './schema.ts'

const claimsToRoles = z.array(strict({ claim: text, value: text, roles: texts }))

/** One entry of `kubernetes_resources`. */
const kubernetesResource = strict({
  kind: text,
  api_group: text.exactOptional(),
  namespace: text.exactOptional(),
  name: text.exactOptional(),
  verbs: texts.exactOptional(),
})

/** One entry of `rules`: verbs on kinds of resources, for `tctl` and the API. */
const rule = strict({
  resources: texts.default([]),
  verbs: texts.default([]),
  where: text.exactOptional(),
  actions: texts.exactOptional(),
})

const request = strict({
  roles: texts.exactOptional(),
  claims_to_roles: claimsToRoles.exactOptional(),
  search_as_roles: texts.exactOptional(),
  thresholds: z
    .array(
      strict({
        name: text.exactOptional(),
        filter: text.exactOptional(),
        approve: whole(0, 1000).exactOptional(),
        deny: whole(0, 1000).exactOptional(),
      }),
    )
    .exactOptional(),
  suggested_reviewers: texts.exactOptional(),
  annotations: z.record(z.string(), texts).exactOptional(),
  max_duration: duration().exactOptional(),
  kubernetes_resources: z.array(strict({ kind: text, api_group: text.exactOptional() })).exactOptional(),
  reason: strict({ mode: oneOf('required', 'optional').exactOptional(), prompt: text.exactOptional() }).exactOptional(),
})

const conditions = {
  namespaces: texts.exactOptional(),
  app_labels: selector.exactOptional(),
  app_labels_expression: text.exactOptional(),
  kubernetes_labels: selector.exactOptional(),
  kubernetes_labels_expression: text.exactOptional(),
  kubernetes_groups: texts.exactOptional(),
  kubernetes_users: texts.exactOptional(),
  kubernetes_resources: z.array(kubernetesResource).exactOptional(),
  cluster_labels: selector.exactOptional(),
  cluster_labels_expression: text.exactOptional(),
  workload_identity_labels: selector.exactOptional(),
  workload_identity_labels_expression: text.exactOptional(),
  aws_role_arns: texts.exactOptional(),
  azure_identities: texts.exactOptional(),
  gcp_service_accounts: texts.exactOptional(),
  spiffe: z
    .array(strict({ path: text.default(''), dns_sans: texts.exactOptional(), ip_sans: texts.exactOptional() }))
    .exactOptional(),
  rules: z.array(rule).exactOptional(),
  impersonate: strict({
    users: texts.exactOptional(),
    roles: texts.exactOptional(),
    where: text.exactOptional(),
  }).exactOptional(),
  request: request.exactOptional(),
  review_requests: strict({
    roles: texts.exactOptional(),
    claims_to_roles: claimsToRoles.exactOptional(),
    where: text.exactOptional(),
    preview_as_roles: texts.exactOptional(),
  }).exactOptional(),
  /** SSH; typed because its wildcard is refused, and so common that a warning each time would only be noise. */
  logins: texts.exactOptional(),
}

/** Conditions of the reference that concern SSH, databases, desktops and other things that are not here: kept, and they do nothing. */
export const unusedConditions = [
  'account_assignments',
  'db_labels',
  'db_labels_expression',
  'db_names',
  'db_permissions',
  'db_roles',
  'db_service_labels',
  'db_service_labels_expression',
  'db_users',
  'desktop_groups',
  'github_permissions',
  'group_labels',
  'group_labels_expression',
  'host_groups',
  'host_sudoers',
  'join_sessions',
  'mcp',
  'node_labels',
  'node_labels_expression',
  'require_session_join',
  'windows_desktop_labels',
  'windows_desktop_labels_expression',
  'windows_desktop_logins',
] as const

/** `spec.allow` and `spec.deny` of a role: the same fields. */
export const roleConditions = strict({
  ...conditions,
  ...(Object.fromEntries(unusedConditions.map((name) => [name, untouched.exactOptional()])) as Record<
    (typeof unusedConditions)[number],
    z.ZodExactOptional<typeof untouched>
  >), // the very names of the list
})

export type RoleConditions = z.output<typeof roleConditions>

/** Selectors, each with the expression that may stand beside it. */
export const selectorFields = ['app_labels', 'kubernetes_labels', 'cluster_labels', 'workload_identity_labels'] as const

/** Lists whose entries may be templates. */
export const templatedLists = [
  'logins',
  'aws_role_arns',
  'azure_identities',
  'gcp_service_accounts',
  'kubernetes_groups',
  'kubernetes_users',
] as const
