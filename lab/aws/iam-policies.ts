/** IAM operations on customer managed policies; managed ones can be read. */
import type { CustomerPolicy } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { IamCall, IamOperation } from './iam-call.ts'
import { encodedDocument, iamPage } from './iam-paging.ts'
import { inUse } from './iam-roles.ts'
import { findManagedPolicy, managedPolicyNames } from './managed-policies.ts'
import { required } from './query-service.ts'
import type { XmlValue } from './xml.ts'

const policyArn = ({ parameters }: IamCall): string => required(parameters, 'PolicyArn')

/** CreatePolicy, GetPolicy, GetPolicyVersion, ListPolicies, DeletePolicy. */
export const iamPolicyOperations: Readonly<Record<string, IamOperation>> = {
  CreatePolicy: {
    resource: ({ account, parameters }) =>
      account.iamArn('policy', parameters.get('Path') ?? '/', required(parameters, 'PolicyName')),
    run({ account, parameters }) {
      const policy = account.createPolicy(required(parameters, 'PolicyName'), required(parameters, 'PolicyDocument'), {
        path: parameters.get('Path') ?? '/',
        description: parameters.get('Description') ?? '',
      })
      return { Policy: policyXml(policy, 0) }
    },
  },
  GetPolicy: {
    resource: policyArn,
    run(iam) {
      const arn = policyArn(iam)
      const own = iam.account.policies.get(arn)
      if (own) return { Policy: policyXml(own, attachments(iam, arn)) }
      if (!findManagedPolicy(arn)) throw noPolicy(arn)
      return { Policy: managedXml(arn, attachments(iam, arn)) }
    },
  },
  GetPolicyVersion: {
    resource: policyArn,
    run(iam) {
      const arn = policyArn(iam)
      const version = required(iam.parameters, 'VersionId')
      const policy = iam.account.policies.get(arn)?.document ?? findManagedPolicy(arn)
      if (!policy) throw noPolicy(arn)
      if (version !== 'v1') throw new AwsError('NoSuchEntity', 404, `Policy ${arn} version ${version} does not exist.`)
      return { PolicyVersion: { Document: encodedDocument(policy.text), VersionId: version, IsDefaultVersion: true } }
    },
  },
  ListPolicies: {
    resource: ({ account }) => account.iamArn('policy', '/', ''),
    run(iam) {
      const { account, parameters } = iam
      const scope = parameters.get('Scope') ?? 'All'
      const managed = managedPolicyNames.map((name) => ({
        name,
        path: '/',
        arn: `arn:${account.partition}:iam::aws:policy/${name}`,
      }))
      const all = [...(scope === 'AWS' ? [] : account.policies.values()), ...(scope === 'Local' ? [] : managed)]
      return iamPage('Policies', all, parameters, (policy) =>
        'document' in policy
          ? policyXml(policy, attachments(iam, policy.arn))
          : managedXml(policy.arn, attachments(iam, policy.arn)),
      )
    },
  },
  DeletePolicy: {
    resource: policyArn,
    run(iam) {
      const arn = policyArn(iam)
      if (!iam.account.policies.has(arn)) throw noPolicy(arn)
      if (attachments(iam, arn) > 0) throw inUse('Cannot delete a policy attached to entities.')
      iam.account.policies.delete(arn)
      return undefined
    },
  },
}

function attachments({ account }: IamCall, arn: string): number {
  return [...account.roles.values(), ...account.users.values()].filter(({ attached }) => attached.has(arn)).length
}

function policyXml(policy: CustomerPolicy, AttachmentCount: number): XmlValue {
  return {
    PolicyName: policy.name,
    PolicyId: policy.id,
    Arn: policy.arn,
    Path: policy.path,
    DefaultVersionId: 'v1',
    AttachmentCount,
    IsAttachable: true,
    Description: policy.description,
    CreateDate: policy.createdAt,
    UpdateDate: policy.createdAt,
  }
}

function managedXml(arn: string, AttachmentCount: number): XmlValue {
  const PolicyName = arn.split('/').at(-1)
  return { PolicyName, Arn: arn, Path: '/', DefaultVersionId: 'v1', AttachmentCount, IsAttachable: true }
}

const noPolicy = (arn: string): AwsError => new AwsError('NoSuchEntity', 404, `Policy ${arn} was not found.`)
