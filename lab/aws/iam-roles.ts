/** IAM operations on roles, and on the policies that are in or on them. */
import { checkMaxSession, type Role } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { IamCall, IamOperation } from './iam-call.ts'
import { encodedDocument, iamPage } from './iam-paging.ts'
import { parsePolicy } from './policy.ts'
import { list, required } from './query-service.ts'
import type { XmlValue } from './xml.ts'

const roleName = ({ parameters }: IamCall): string => required(parameters, 'RoleName')
const theRole = (iam: IamCall): Role => iam.account.role(roleName(iam))

/** The role's ARN, where there is one; else the one that it would have. */
const resource = (iam: IamCall): string =>
  iam.account.roles.get(roleName(iam))?.arn ??
  iam.account.iamArn('role', iam.parameters.get('Path') ?? '/', roleName(iam))
const context = ({ parameters }: IamCall): Record<string, string | undefined> => ({
  'iam:PolicyARN': parameters.get('PolicyArn'),
})

/** Roles: create, get, list, update, delete; their inline policies and the policies attached to them. */
export const iamRoleOperations: Readonly<Record<string, IamOperation>> = {
  CreateRole: {
    resource,
    run(iam) {
      const { account, parameters } = iam
      const description = parameters.get('Description')
      const seconds = parameters.get('MaxSessionDuration')
      const role = account.createRole({
        name: roleName(iam),
        path: parameters.get('Path') ?? '/',
        trust: required(parameters, 'AssumeRolePolicyDocument'),
        ...(description === undefined ? {} : { description }),
        ...(seconds === undefined ? {} : { maxSessionSeconds: Number(seconds) }),
        tags: Object.fromEntries(
          list(parameters, 'Tags.member').map((tag) => [tag.get('Key') ?? '', tag.get('Value') ?? '']),
        ),
      })
      return { Role: roleXml(role) }
    },
  },
  GetRole: { resource, run: (iam) => ({ Role: roleXml(theRole(iam)) }) },
  ListRoles: {
    resource: ({ account }) => account.iamArn('role', '/', ''),
    run: ({ account, parameters }) => iamPage('Roles', account.roles.values(), parameters, roleXml),
  },
  UpdateRole: {
    resource,
    run(iam) {
      const role = theRole(iam)
      const seconds = iam.parameters.get('MaxSessionDuration')
      if (seconds !== undefined) {
        checkMaxSession(Number(seconds))
        role.maxSessionSeconds = Number(seconds)
      }
      role.description = iam.parameters.get('Description') ?? role.description
      return undefined
    },
  },
  UpdateAssumeRolePolicy: {
    resource,
    run(iam) {
      theRole(iam).trust = iam.account.parseTrust(required(iam.parameters, 'PolicyDocument'))
      return undefined
    },
  },
  DeleteRole: {
    resource,
    run(iam) {
      const role = theRole(iam)
      if (role.inline.size > 0) throw inUse('Cannot delete entity, must delete policies first.')
      if (role.attached.size > 0) throw inUse('Cannot delete entity, must detach all policies first.')
      if ([...iam.account.instanceProfiles.values()].some((profile) => profile.role === role)) {
        throw inUse('Cannot delete entity, must remove roles from instance profile first.')
      }
      iam.account.roles.delete(role.name)
      return undefined
    },
  },
  PutRolePolicy: {
    resource,
    run(iam) {
      const document = parsePolicy(required(iam.parameters, 'PolicyDocument'), 'identity')
      theRole(iam).inline.set(required(iam.parameters, 'PolicyName'), document)
      return undefined
    },
  },
  GetRolePolicy: {
    resource,
    run(iam) {
      const role = theRole(iam)
      const PolicyName = required(iam.parameters, 'PolicyName')
      const policy = role.inline.get(PolicyName)
      if (!policy) throw noPolicy(PolicyName)
      return { RoleName: role.name, PolicyName, PolicyDocument: encodedDocument(policy.text) }
    },
  },
  DeleteRolePolicy: {
    resource,
    run(iam) {
      const name = required(iam.parameters, 'PolicyName')
      if (!theRole(iam).inline.delete(name)) throw noPolicy(name)
      return undefined
    },
  },
  ListRolePolicies: {
    resource,
    run: (iam) => ({ PolicyNames: { member: [...theRole(iam).inline.keys()].sort() }, IsTruncated: false }),
  },
  AttachRolePolicy: {
    resource,
    context,
    run(iam) {
      theRole(iam).attached.add(attachableArn(iam))
      return undefined
    },
  },
  DetachRolePolicy: {
    resource,
    context,
    run(iam) {
      const arn = required(iam.parameters, 'PolicyArn')
      if (!theRole(iam).attached.delete(arn)) throw noPolicy(arn)
      return undefined
    },
  },
  ListAttachedRolePolicies: {
    resource,
    run: (iam) => ({
      AttachedPolicies: {
        member: [...theRole(iam).attached]
          .sort()
          .map((PolicyArn) => ({ PolicyName: PolicyArn.split('/').at(-1), PolicyArn })),
      },
      IsTruncated: false,
    }),
  },
  ListInstanceProfilesForRole: {
    resource,
    run(iam) {
      const role = theRole(iam)
      const profiles = [...iam.account.instanceProfiles.values()].filter((profile) => profile.role === role)
      return {
        InstanceProfiles: { member: profiles.map(({ name, arn }) => ({ InstanceProfileName: name, Arn: arn })) },
        IsTruncated: false,
      }
    },
  },
}

/** The `PolicyArn` of a call, which must be the ARN of a policy that is there. */
export function attachableArn({ account, parameters }: IamCall): string {
  const arn = required(parameters, 'PolicyArn')
  if (!arn.startsWith('arn:')) throw new AwsError('ValidationError', 400, `ARN ${arn} is not valid.`)
  return account.policyArn(arn)
}

/** A role as `GetRole` shows it. */
export function roleXml(role: Role): XmlValue {
  return {
    Path: role.path,
    RoleName: role.name,
    RoleId: role.id,
    Arn: role.arn,
    CreateDate: role.createdAt,
    AssumeRolePolicyDocument: encodedDocument(role.trust.text),
    Description: role.description,
    MaxSessionDuration: role.maxSessionSeconds,
    Tags: { member: [...role.tags].map(([Key, Value]) => ({ Key, Value })) },
  }
}

/** The refusal to delete what something else holds. */
export const inUse = (message: string): AwsError => new AwsError('DeleteConflict', 409, message)
const noPolicy = (name: string): AwsError =>
  new AwsError('NoSuchEntity', 404, `The role policy with name ${name} cannot be found.`)
