/** IAM operations on users and their access keys. */
import type { User } from './account.ts'
import { AwsError } from './aws-error.ts'
import { callerOf } from './call.ts'
import type { AccessKey } from './credentials.ts'
import type { IamCall, IamOperation } from './iam-call.ts'
import { iamPage } from './iam-paging.ts'
import { attachableArn, inUse } from './iam-roles.ts'
import { parsePolicy } from './policy.ts'
import { required } from './query-service.ts'
import type { XmlValue } from './xml.ts'

/** The user that is named, or the one who calls. */
function theUser(iam: IamCall): User {
  const name = iam.parameters.get('UserName')
  if (name !== undefined) return iam.account.user(name)
  const { principal } = callerOf(iam.call)
  if (principal.kind === 'user') return principal.user
  throw new AwsError('ValidationError', 400, 'Must specify userName when calling with non-User credentials')
}

const resource = (iam: IamCall): string => {
  const name = iam.parameters.get('UserName')
  if (name === undefined) return theUser(iam).arn
  return iam.account.users.get(name)?.arn ?? iam.account.iamArn('user', iam.parameters.get('Path') ?? '/', name)
}

/** Users: create, get, list, delete; their policies and access keys. */
export const iamUserOperations: Readonly<Record<string, IamOperation>> = {
  CreateUser: {
    resource,
    run({ account, parameters }) {
      const path = parameters.get('Path') ?? '/'
      return { User: userXml(account.createUser(required(parameters, 'UserName'), { path })) }
    },
  },
  GetUser: { resource, run: (iam) => ({ User: userXml(theUser(iam)) }) },
  ListUsers: {
    resource: ({ account }) => account.iamArn('user', '/', ''),
    run: ({ account, parameters }) => iamPage('Users', account.users.values(), parameters, userXml),
  },
  DeleteUser: {
    resource,
    run(iam) {
      const user = theUser(iam)
      if (iam.keys.ofUser(user).length > 0) throw inUse('Cannot delete entity, must delete access keys first.')
      if (user.inline.size > 0) throw inUse('Cannot delete entity, must delete policies first.')
      if (user.attached.size > 0) throw inUse('Cannot delete entity, must detach all policies first.')
      iam.account.users.delete(user.name)
      return undefined
    },
  },
  PutUserPolicy: {
    resource,
    run(iam) {
      const document = parsePolicy(required(iam.parameters, 'PolicyDocument'), 'identity')
      theUser(iam).inline.set(required(iam.parameters, 'PolicyName'), document)
      return undefined
    },
  },
  AttachUserPolicy: {
    resource,
    context: ({ parameters }) => ({ 'iam:PolicyARN': parameters.get('PolicyArn') }),
    run(iam) {
      theUser(iam).attached.add(attachableArn(iam))
      return undefined
    },
  },
  ListAttachedUserPolicies: {
    resource,
    run: (iam) => ({
      AttachedPolicies: {
        member: [...theUser(iam).attached].map((PolicyArn) => ({ PolicyName: PolicyArn.split('/').at(-1), PolicyArn })),
      },
      IsTruncated: false,
    }),
  },
  CreateAccessKey: {
    resource,
    run(iam) {
      const user = theUser(iam)
      if (iam.keys.ofUser(user).length >= 2) {
        throw new AwsError('LimitExceeded', 409, 'Cannot exceed quota for AccessKeysPerUser: 2')
      }
      const key = iam.keys.createForUser(iam.account, user)
      return { AccessKey: { ...keyXml(key, user), SecretAccessKey: key.secretAccessKey.reveal() } }
    },
  },
  ListAccessKeys: {
    resource,
    run(iam) {
      const user = theUser(iam)
      return {
        AccessKeyMetadata: { member: iam.keys.ofUser(user).map((key) => keyXml(key, user)) },
        IsTruncated: false,
      }
    },
  },
  DeleteAccessKey: {
    resource,
    run(iam) {
      const user = theUser(iam)
      const id = required(iam.parameters, 'AccessKeyId')
      if (!iam.keys.ofUser(user).some(({ accessKeyId }) => accessKeyId === id)) {
        throw new AwsError('NoSuchEntity', 404, `The Access Key with id ${id} cannot be found.`)
      }
      iam.keys.delete(id)
      return undefined
    },
  },
  ListAccountAliases: { resource: () => '*', run: () => ({ AccountAliases: { member: [] }, IsTruncated: false }) },
}

function userXml(user: User): XmlValue {
  return { Path: user.path, UserName: user.name, UserId: user.id, Arn: user.arn, CreateDate: user.createdAt }
}

function keyXml({ accessKeyId, createdAt }: AccessKey, user: User): Record<string, XmlValue> {
  return { UserName: user.name, AccessKeyId: accessKeyId, Status: 'Active', CreateDate: createdAt }
}
