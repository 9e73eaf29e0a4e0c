/** IAM operations on instance profiles and on OpenID Connect providers. */
import type { InstanceProfile } from './account.ts'
import { AwsError } from './aws-error.ts'
import { mustBePassable } from './call.ts'
import type { IamCall, IamOperation } from './iam-call.ts'
import { iamPage } from './iam-paging.ts'
import { inUse, roleXml } from './iam-roles.ts'
import { list, required } from './query-service.ts'
import type { XmlValue } from './xml.ts'

const profileName = ({ parameters }: IamCall): string => required(parameters, 'InstanceProfileName')
const resource = (iam: IamCall): string =>
  iam.account.iamArn('instance-profile', iam.parameters.get('Path') ?? '/', profileName(iam))
const theProfile = (iam: IamCall): InstanceProfile => iam.account.instanceProfile(profileName(iam))
const providerArn = ({ parameters }: IamCall): string => required(parameters, 'OpenIDConnectProviderArn')

/** Instance profiles: create, get, list, add and remove the role, delete; OpenID Connect providers: create, get, list, delete. */
export const iamProfileOperations: Readonly<Record<string, IamOperation>> = {
  CreateInstanceProfile: {
    resource,
    run(iam) {
      const path = iam.parameters.get('Path') ?? '/'
      return { InstanceProfile: profileXml(iam.account.createInstanceProfile(profileName(iam), { path })) }
    },
  },
  GetInstanceProfile: { resource, run: (iam) => ({ InstanceProfile: profileXml(theProfile(iam)) }) },
  ListInstanceProfiles: {
    resource: ({ account }) => account.iamArn('instance-profile', '/', ''),
    run: ({ account, parameters }) =>
      iamPage('InstanceProfiles', account.instanceProfiles.values(), parameters, profileXml),
  },
  AddRoleToInstanceProfile: {
    resource,
    run(iam) {
      const profile = theProfile(iam)
      const role = iam.account.role(required(iam.parameters, 'RoleName'))
      if (profile.role) {
        throw new AwsError('LimitExceeded', 409, 'Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1')
      }
      mustBePassable(iam.call, role.arn, (message) => new AwsError('AccessDenied', 403, message))
      profile.role = role
      return undefined
    },
  },
  RemoveRoleFromInstanceProfile: {
    resource,
    run(iam) {
      const profile = theProfile(iam)
      const name = required(iam.parameters, 'RoleName')
      if (profile.role?.name !== name) {
        throw new AwsError('NoSuchEntity', 404, `The role with name ${name} cannot be found.`)
      }
      profile.role = undefined
      return undefined
    },
  },
  DeleteInstanceProfile: {
    resource,
    run(iam) {
      const profile = theProfile(iam)
      if (profile.role) throw inUse('Cannot delete entity, must remove roles from instance profile first.')
      iam.account.instanceProfiles.delete(profile.name)
      return undefined
    },
  },
  CreateOpenIDConnectProvider: {
    resource: ({ account, parameters }) =>
      account.iamArn('oidc-provider', '/', required(parameters, 'Url').replace(/^https:\/\//, '')),
    run({ account, parameters }) {
      const clientIds = list(parameters, 'ClientIDList.member').map((id) => id.get('') ?? '')
      return { OpenIDConnectProviderArn: account.createOidcProvider(required(parameters, 'Url'), { clientIds }).arn }
    },
  },
  GetOpenIDConnectProvider: {
    resource: providerArn,
    run(iam) {
      const provider = iam.account.oidcProviders.get(providerArn(iam))
      if (!provider) throw noProvider(providerArn(iam))
      const { url, clientIds, createdAt } = provider
      return { Url: url, ClientIDList: { member: clientIds }, ThumbprintList: { member: [] }, CreateDate: createdAt }
    },
  },
  ListOpenIDConnectProviders: {
    resource: ({ account }) => account.iamArn('oidc-provider', '/', ''),
    run: ({ account }) => ({
      OpenIDConnectProviderList: { member: [...account.oidcProviders.keys()].map((Arn) => ({ Arn })) },
    }),
  },
  DeleteOpenIDConnectProvider: {
    resource: providerArn,
    run(iam) {
      if (!iam.account.oidcProviders.delete(providerArn(iam))) throw noProvider(providerArn(iam))
      return undefined
    },
  },
}

function profileXml(profile: InstanceProfile): XmlValue {
  return {
    Path: profile.path,
    InstanceProfileName: profile.name,
    InstanceProfileId: profile.id,
    Arn: profile.arn,
    CreateDate: profile.createdAt,
    Roles: { member: profile.role ? [roleXml(profile.role)] : [] },
  }
}

const noProvider = (arn: string): AwsError =>
  new AwsError('NoSuchEntity', 404, `OpenIDConnect Provider not found for arn ${arn}`)
