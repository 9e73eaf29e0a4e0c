/** EC2 operations that change instances. */
import { AwsError } from './aws-error.ts'
import { callerOf, mustBePassable } from './call.ts'
import { type Ec2Call, type Ec2Operation, unauthorized } from './ec2-call.ts'
import { checkIds, idsOf, stateXml } from './ec2-describe.ts'
import type { Ec2Instance } from './ec2-network.ts'

const arnOf = ({ network, call }: Ec2Call, id: string): string =>
  `arn:${call.endpoint.partition}:ec2:${network.region}:${network.accountId}:instance/${id}`

/** Moves every named instance into a state. */
function change(to: Ec2Instance['state']): Ec2Operation {
  return {
    resources: (ec2) => idsOf(ec2.parameters, 'InstanceId').map((id) => arnOf(ec2, id)),
    run({ network, parameters }) {
      const ids = idsOf(parameters, 'InstanceId')
      if (ids.length === 0) throw missing('InstanceId')
      checkIds(ids, network.instances, 'InvalidInstanceID', 'instance ID')
      const item = ids.map((instanceId) => {
        const instance = network.instances.get(instanceId)
        const previous = instance?.state ?? to
        if (previous === 'terminated' && to !== 'terminated') {
          throw new AwsError(
            'IncorrectInstanceState',
            400,
            `The instance '${instanceId}' is not in a state from which it can be changed.`,
          )
        }
        if (instance) instance.state = to
        return { instanceId, currentState: stateXml(to), previousState: stateXml(previous) }
      })
      return { instancesSet: { item } }
    },
  }
}

/** StartInstances, StopInstances, TerminateInstances, AssociateIamInstanceProfile. */
export const ec2StateOperations: Readonly<Record<string, Ec2Operation>> = {
  StartInstances: change('running'),
  StopInstances: change('stopped'),
  TerminateInstances: change('terminated'),

  AssociateIamInstanceProfile: {
    resources: (ec2) => [arnOf(ec2, ec2.parameters.get('InstanceId') ?? '')],
    run({ network, parameters, call }) {
      const id = parameters.get('InstanceId') ?? ''
      checkIds([id], network.instances, 'InvalidInstanceID', 'instance ID')
      const instance = network.instances.get(id)
      const { account } = callerOf(call).principal
      const named =
        parameters.get('IamInstanceProfile.Name') ?? parameters.get('IamInstanceProfile.Arn')?.split('/').at(-1)
      const profile = account.instanceProfiles.get(named ?? '')
      if (!profile || !instance) {
        throw new AwsError(
          'InvalidParameterValue',
          400,
          `Value (${named}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name`,
        )
      }
      if (profile.role) mustBePassable(call, profile.role.arn, unauthorized)
      instance.profileArn = profile.arn
      return {
        iamInstanceProfileAssociation: {
          associationId: id.replace('i-', 'iip-assoc-'),
          instanceId: id,
          iamInstanceProfile: { arn: profile.arn, id: profile.id },
          state: 'associating',
        },
      }
    },
  },
}

const missing = (name: string): AwsError =>
  new AwsError('MissingParameter', 400, `The request must contain the parameter ${name}`)
