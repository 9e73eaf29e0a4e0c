/** Which roles of AWS an agent will be asked to assume, as far as it can know, and what lets it. Pure. */
import { partitionMismatch } from '#rbac/aws-partition.ts'
import { awsRoleArnsFor } from '#rbac/decide-app.ts'
import { createRoleSet } from '#rbac/role-set.ts'
import { type App, appFamily } from '#resources/app.ts'
import type { Role } from '#resources/role.ts'

/** A role of AWS with the external id of the app; once, however many apps and roles lead to it. */
export interface PreflightTarget {
  readonly key: string
  /** One of the apps for it. */
  readonly app: string
  readonly roleArn: string
  readonly externalId: string | undefined
}

/**
 * What the roles of the cluster allow at the apps, in the order of the ARNs. Templates are left out: whose traits fill
 * them nobody knows before they come.
 */
export function preflightTargets(apps: readonly App[], roles: readonly Role[]): readonly PreflightTarget[] {
  const targets = new Map<string, PreflightTarget>()
  const sets = roles
    .filter(({ spec }) => (spec.allow.aws_role_arns ?? []).length > 0)
    .map((role) => createRoleSet([role], {}))
  for (const app of apps.filter((each) => appFamily(each) === 'aws')) {
    const externalId = app.spec.aws?.external_id
    for (const roleArn of sets.flatMap((set) => awsRoleArnsFor(set, app))) {
      if (partitionMismatch(app, roleArn) !== undefined) continue
      const key = externalId === undefined ? roleArn : `${roleArn} ${externalId}`
      if (!targets.has(key)) targets.set(key, { key, app: app.metadata.name, roleArn, externalId })
    }
  }
  return [...targets.values()].toSorted((one, other) => (one.key < other.key ? -1 : 1))
}

/** A statement for the trust policy of a role, on one line, ready to be pasted into the list `Statement`. */
export function trustStatement(agentArn: string, externalId?: string): string {
  return JSON.stringify({
    Effect: 'Allow',
    Principal: { AWS: principalOf(agentArn) },
    Action: 'sts:AssumeRole',
    ...(externalId === undefined ? {} : { Condition: { StringEquals: { 'sts:ExternalId': externalId } } }),
  })
}

/** A trust policy names the role, and not one of its sessions. The path of the role is in no session's ARN. */
function principalOf(arn: string): string {
  const [, partition, account, role] = /^arn:([^:]+):sts::(\d{12}):assumed-role\/([^/]+)\//.exec(arn) ?? []
  return role === undefined ? arn : `arn:${partition}:iam::${account}:role/${role}`
}
