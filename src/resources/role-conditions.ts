import { z } from 'zod'
import { duration, oneOf, selector, strict, text, texts, untouched, whole } from './schema.ts'

const claimsToRoles = z.array(
  strict({
    claim: text.describe('Name of a trait.'),
    value: text.describe('Pattern of one of its values.'),
    roles: texts.describe('Roles that it gives.'),
  }),
)

/** One entry of `kubernetes_resources`. */
const kubernetesResource = strict({
  kind: text.describe(
    'Plural name of the Kubernetes resource from role version v8 on, its singular before; `*` for all.',
  ),
  api_group: text.exactOptional().describe('API group of the resource; needed in v8 outside the core group.'),
  namespace: text.exactOptional().describe('Pattern of namespaces; left out for resources of the whole cluster.'),
  name: text.exactOptional().describe('Pattern of names.'),
  verbs: texts
    .exactOptional()
    .describe(
      '`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `exec`, `portforward` or `*`.',
    ),
})

/** One entry of `rules`: verbs on kinds of resources, for `tctl` and the API. */
const rule = strict({
  resources: texts.default([]).describe('Kinds of resources, or `*`.'),
  verbs: texts
    .default([])
    .describe(
      '`list`, `read`, `readnosecrets`, `create`, `update`, `delete`, `rotate`, `use` or `*`. `read` includes `readnosecrets`.',
    ),
  where: text
    .exactOptional()
    .describe('Condition, such as `contains(user.spec.traits["team"], resource.metadata.labels["team"])`.'),
  actions: texts.exactOptional().describe('Kept for older documents; nothing is done.'),
})

const request = strict({
  roles: texts.exactOptional().describe('Roles that may be asked for; patterns are possible.'),
  claims_to_roles: claimsToRoles.exactOptional().describe('Roles that may be asked for, by traits of who asks.'),
  search_as_roles: texts
    .exactOptional()
    .describe('Roles with which resources are searched that may be asked for one by one.'),
  thresholds: z
    .array(
      strict({
        name: text.exactOptional().describe('Name of the threshold, for messages.'),
        filter: text.exactOptional().describe('Condition on a review that counts.'),
        approve: whole(0, 1000).exactOptional().describe('Approvals needed.'),
        deny: whole(0, 1000).exactOptional().describe('Denials needed.'),
      }),
    )
    .exactOptional()
    .describe('How many reviews decide a request.'),
  suggested_reviewers: texts.exactOptional().describe('Users who are asked to review.'),
  annotations: z.record(z.string(), texts).exactOptional().describe('Facts for the programs that react to requests.'),
  max_duration: duration().exactOptional().describe('How long what is granted lasts at most, up to 336h0m0s.'),
  kubernetes_resources: z
    .array(strict({ kind: text.describe('Plural name.'), api_group: text.exactOptional().describe('Its API group.') }))
    .exactOptional()
    .describe('Kinds of Kubernetes resources that may be asked for.'),
  reason: strict({
    mode: oneOf('required', 'optional').exactOptional().describe('Whether a request needs a reason.'),
    prompt: text.exactOptional().describe('What is asked then.'),
  })
    .exactOptional()
    .describe('Whether a request needs a reason, and what is asked.'),
})

const conditions = {
  namespaces: texts.exactOptional().describe('Namespaces of the reference; only `default` is left of them.'),
  app_labels: selector
    .exactOptional()
    .describe('Apps that the role is about, by their labels. In `deny` it refuses them.'),
  app_labels_expression: text
    .exactOptional()
    .describe('The same as an expression, such as `labels["env"] == "dev"`. Where both are given, both must match.'),
  kubernetes_labels: selector
    .exactOptional()
    .describe('Kubernetes clusters that the role is about, by their labels. Checked, and not acted on yet.'),
  kubernetes_labels_expression: text
    .exactOptional()
    .describe('The same as an expression. Checked, and not acted on yet.'),
  kubernetes_groups: texts
    .exactOptional()
    .describe('Groups that its holders act as in Kubernetes. Entries may be templates. Checked, and not acted on yet.'),
  kubernetes_users: texts
    .exactOptional()
    .describe(
      'Users that its holders may act as in Kubernetes. Entries may be templates. Checked, and not acted on yet.',
    ),
  kubernetes_resources: z
    .array(kubernetesResource)
    .exactOptional()
    .describe('What its holders may do inside Kubernetes clusters. Checked, and not acted on yet.'),
  cluster_labels: selector
    .exactOptional()
    .describe('Other clusters that the role is about. Checked, and not acted on yet.'),
  cluster_labels_expression: text.exactOptional().describe('The same as an expression. Checked, and not acted on yet.'),
  workload_identity_labels: selector
    .exactOptional()
    .describe('Workload identities that the role may issue, by their labels. Checked, and not acted on yet.'),
  workload_identity_labels_expression: text
    .exactOptional()
    .describe('The same as an expression. Checked, and not acted on yet.'),
  aws_role_arns: texts
    .exactOptional()
    .describe(
      'ARNs of the AWS roles that may be used through a matching app. Entries may be templates; `*` is for `deny` alone.',
    ),
  azure_identities: texts
    .exactOptional()
    .describe(
      'Resource ids of the Azure managed identities that may be used through a matching app. Entries may be templates; `*` is for `deny` alone.',
    ),
  gcp_service_accounts: texts
    .exactOptional()
    .describe('Google Cloud service accounts. Entries may be templates; `*` is for `deny` alone.'),
  spiffe: z
    .array(
      strict({
        path: text
          .default('')
          .describe('Path of the SPIFFE id, with `*` for one part, or a regular expression from `^` to `$`.'),
        dns_sans: texts.exactOptional().describe('Patterns of DNS names that may stand in the SVID.'),
        ip_sans: texts
          .exactOptional()
          .describe('Networks whose addresses may stand in the SVID, such as `10.0.0.0/8`.'),
      }),
    )
    .exactOptional()
    .describe('SPIFFE ids that may be issued. Checked, and not acted on yet.'),
  rules: z.array(rule).exactOptional().describe('Verbs on kinds of resources, for `tctl` and the API.'),
  impersonate: strict({
    users: texts.exactOptional().describe('Users that may be impersonated.'),
    roles: texts.exactOptional().describe('Roles that may be impersonated.'),
    where: text.exactOptional().describe('Condition on who is impersonated; not in `deny`.'),
  })
    .exactOptional()
    .describe('Whose certificates its holders may ask for. Checked, and not acted on yet.'),
  request: request
    .exactOptional()
    .describe('Which roles and resources its holders may ask for. Checked, and not acted on yet.'),
  review_requests: strict({
    roles: texts.exactOptional().describe('Roles that may be impersonated.'),
    claims_to_roles: claimsToRoles.exactOptional().describe('The same by traits of the reviewer.'),
    where: text.exactOptional().describe('Condition on the request.'),
    preview_as_roles: texts.exactOptional().describe('Roles with which reviewers see what was asked for.'),
  })
    .exactOptional()
    .describe('Whose requests its holders may review. Checked, and not acted on yet.'),
  /** SSH; typed because its wildcard is refused, and so common that a warning each time would only be noise. */
  logins: texts
    .exactOptional()
    .describe('Login names on SSH servers, which are not served; kept for certificates and templates.'),
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
