/** Who may use which app, and as which cloud principal. Asked when a certificate is issued and again for each request that is served. */
import { InvalidArn, parseRoleArn } from '#aws/arn.ts'
import type { App } from '#resources/app.ts'
import type { Decision } from './decision.ts'
import type { Labels } from './label-expression.ts'
import type { CompiledRole, Conditions, RoleSet } from './role-set.ts'

/** What someone wants: to see the app, or to use it as one cloud principal. */
export interface AppRequest {
  readonly app: App
  /** `arn:aws:iam::123456789012:role/ExampleReadOnlyAccess` */
  readonly awsRoleArn?: string | undefined
  /** Resource id of a managed identity; case does not count. */
  readonly azureIdentity?: string | undefined
  readonly gcpServiceAccount?: string | undefined
  /** Left out: nothing is proved, and roles decide whether it must be. */
  readonly state?: AccessState
}

/** What is known of the caller beside their roles. */
export interface AccessState {
  /** The cluster's own demand: `always` is every session's, `per-role` leaves it to the roles that grant. */
  readonly mfaRequired: 'never' | 'per-role' | 'always'
  readonly mfaVerified: boolean
  readonly deviceVerified: boolean
}

const nothingProved: AccessState = { mfaRequired: 'per-role', mfaVerified: false, deviceVerified: false }

/**
 * May the holder of `roles` use this app, as this principal? Deny wins over allow, and one role must allow both the labels
 * and the principal: grants of two roles do not add up.
 */
export function decideApp({ roles }: RoleSet, request: AppRequest): Decision {
  const { mfaRequired, mfaVerified, deviceVerified } = request.state ?? nothingProved
  if (mfaRequired === 'always' && !mfaVerified) return { allowed: false, reason: 'mfa-required' }
  const labels = labelsOf(request.app)
  const asked = principalsOf(request)
  for (const role of roles) {
    if (role.deniesAll) return { allowed: false, reason: 'role-unreadable', deniedBy: role.name }
    if (denies(role.deny, labels, asked)) return { allowed: false, reason: 'denied-by-role', deniedBy: role.name }
  }
  const matching = roles.filter(({ allow }) => allow.appLabels(labels))
  const granting = matching.filter(({ allow }) => asked.every((principal) => lists(allow, principal)))
  if (granting.length === 0) return refusal(roles, matching, asked)
  if (mfaRequired === 'per-role' && !mfaVerified && granting.some(({ options }) => options.requireSessionMfa)) {
    return { allowed: false, reason: 'mfa-required' }
  }
  if (!deviceVerified && granting.some(({ options }) => options.requireDevice)) {
    return { allowed: false, reason: 'device-required' }
  }
  return { allowed: true, grantedBy: granting.map(({ name }) => name) }
}

/** The apps that the holder of `roles` may know of: what the labels allow, whatever must be proved to use them. */
export function visibleApps(roles: RoleSet, apps: readonly App[]): readonly App[] {
  const state = { mfaRequired: 'never', mfaVerified: true, deviceVerified: true } as const
  return apps.filter((app) => decideApp(roles, { app, state }).allowed)
}

/**
 * The AWS roles among which the holder may choose at this app, in the order of their roles. An app with the static label
 * `aws_account_id` offers those of that account alone; what is no ARN of a role is left out.
 */
export function awsRoleArnsFor({ roles }: RoleSet, app: App): readonly string[] {
  const labels = labelsOf(app)
  const account = app.metadata.labels?.aws_account_id ?? ''
  if (roles.some(({ deny, deniesAll }) => deniesAll || denies(deny, labels, []) || deny.awsRoleArns.has('*'))) return []
  const offered = roles.filter(({ allow }) => allow.appLabels(labels)).flatMap(({ allow }) => [...allow.awsRoleArns])
  return [...new Set(offered)].filter((arn) => {
    const own = accountOf(arn)
    return (
      own !== undefined && (account === '' || own === account) && !roles.some(({ deny }) => deny.awsRoleArns.has(arn))
    )
  })
}

/** The managed identities among which the holder may choose at this app, as they are written in the roles. */
export function azureIdentitiesFor({ roles }: RoleSet, app: App): readonly string[] {
  const labels = labelsOf(app)
  if (roles.some(({ deny, deniesAll }) => deniesAll || denies(deny, labels, []) || deny.azureIdentities.has('*')))
    return []
  const offered = new Map(
    roles
      .filter(({ allow }) => allow.appLabels(labels))
      .flatMap(({ allow }) => allow.azureIdentityNames.map((name) => [name.toLowerCase(), name] as const)),
  )
  return [...offered].filter(([id]) => !roles.some(({ deny }) => deny.azureIdentities.has(id))).map(([, name]) => name)
}

/** Account of the ARN of a role; `undefined` of anything else. */
function accountOf(arn: string): string | undefined {
  try {
    return parseRoleArn(arn).accountId
  } catch (error) {
    if (error instanceof InvalidArn) return undefined
    throw error
  }
}

const noLabels: Labels = Object.freeze({})

/** Static labels, overlaid with what the commands of dynamic labels last printed. */
export function labelsOf({ metadata, spec }: App): Labels {
  const fixed = metadata.labels ?? noLabels
  if (spec.dynamic_labels === undefined) return fixed
  const dynamic = Object.entries(spec.dynamic_labels).flatMap(([key, { result }]) =>
    result === undefined ? [] : [[key, result] as const],
  )
  return Object.freeze({ ...fixed, ...Object.fromEntries(dynamic) })
}

interface Principal {
  readonly list: 'awsRoleArns' | 'azureIdentities' | 'gcpServiceAccounts'
  readonly id: string
}

function principalsOf({ awsRoleArn, azureIdentity, gcpServiceAccount }: AppRequest): readonly Principal[] {
  const asked: Principal[] = []
  if (awsRoleArn !== undefined) asked.push({ list: 'awsRoleArns', id: awsRoleArn })
  if (azureIdentity !== undefined) asked.push({ list: 'azureIdentities', id: azureIdentity.toLowerCase() })
  if (gcpServiceAccount !== undefined) asked.push({ list: 'gcpServiceAccounts', id: gcpServiceAccount })
  return asked
}

function lists(conditions: Conditions, { list, id }: Principal): boolean {
  return conditions[list].has(id)
}

/** Labels or any one principal suffice to deny; here `*` means all of them. */
function denies(deny: Conditions, labels: Labels, asked: readonly Principal[]): boolean {
  return deny.appLabels(labels) || asked.some(({ list, id }) => deny[list].has(id) || deny[list].has('*'))
}

function refusal(
  roles: readonly CompiledRole[],
  matching: readonly CompiledRole[],
  asked: readonly Principal[],
): Decision {
  const unreadable = roles.find(({ isUnreadable }) => isUnreadable)
  if (unreadable) return { allowed: false, reason: 'role-unreadable', deniedBy: unreadable.name }
  const missing = asked.find((principal) => !matching.some(({ allow }) => lists(allow, principal))) ?? asked[0]
  if (matching.length === 0 || !missing) return { allowed: false, reason: 'no-role-matches' }
  const reasons = {
    awsRoleArns: 'aws-role-not-allowed',
    azureIdentities: 'azure-identity-not-allowed',
    gcpServiceAccounts: 'gcp-account-not-allowed',
  } as const
  return { allowed: false, reason: reasons[missing.list] }
}
