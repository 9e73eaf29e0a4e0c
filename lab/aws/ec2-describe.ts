/** EC2 operations that only read. */
import { AwsError } from './aws-error.ts'
import type { Ec2Call, Ec2Operation } from './ec2-call.ts'
import type { Ec2Instance, Ec2Network } from './ec2-network.ts'
import { regions } from './endpoint.ts'
import { globMatches } from './glob.ts'
import { list, type Parameters } from './query-service.ts'
import type { XmlValue } from './xml.ts'

/** Values of an item by the names of filters; `tag:NAME` stands beside them. */
type Filterable = Readonly<Record<string, string | undefined>>

/** DescribeInstances, -Regions, -AvailabilityZones, -Vpcs, -Subnets, -SecurityGroups. */
export const ec2DescribeOperations: Readonly<Record<string, Ec2Operation>> = {
  DescribeInstances: {
    run(ec2) {
      const { network, parameters } = ec2
      const ids = idsOf(parameters, 'InstanceId')
      checkIds(ids, network.instances, 'InvalidInstanceID', 'instance ID')
      const found = [...network.instances.values()].filter(({ id }) => ids.length === 0 || ids.includes(id))
      return paged(ec2, 'reservationSet', filtered(parameters, found, instanceFilters(network)), (instance) => ({
        reservationId: instance.id.replace('i-', 'r-'),
        ownerId: network.accountId,
        groupSet: '',
        instancesSet: { item: [instanceXml(instance, network)] },
      }))
    },
  },
  DescribeRegions: {
    run({ call, parameters }) {
      const all = regions[call.endpoint.partition].map((name) => ({ name, endpoint: `ec2.${name}.amazonaws.com` }))
      const named = list(parameters, 'RegionName').map((name) => name.get(''))
      for (const name of named) {
        if (!all.some((region) => region.name === name)) {
          throw new AwsError('InvalidParameterValue', 400, `Invalid region provided: ${name}`)
        }
      }
      const found = all.filter(({ name }) => named.length === 0 || named.includes(name))
      const shown = filtered(parameters, found, ({ name, endpoint }) => ({ 'region-name': name, endpoint }))
      return {
        regionInfo: {
          item: shown.map(({ name, endpoint }) => ({
            regionName: name,
            regionEndpoint: endpoint,
            optInStatus: 'opt-in-not-required',
          })),
        },
      }
    },
  },
  DescribeAvailabilityZones: {
    run: ({ network: { region } }) => ({
      availabilityZoneInfo: {
        item: ['a', 'b'].map((zone) => ({
          zoneName: `${region}${zone}`,
          zoneState: 'available',
          regionName: region,
          messageSet: '',
        })),
      },
    }),
  },
  DescribeVpcs: {
    run(ec2) {
      const { network, parameters } = ec2
      checkIds(idsOf(parameters, 'VpcId'), new Map([[network.vpcId, true]]), 'InvalidVpcID', 'vpc ID')
      const all = filtered(parameters, [network], ({ vpcId }) => ({
        'vpc-id': vpcId,
        'is-default': 'true',
        state: 'available',
      }))
      return paged(ec2, 'vpcSet', all, ({ accountId, vpcId }) => ({
        vpcId,
        ownerId: accountId,
        state: 'available',
        cidrBlock: '172.31.0.0/16',
        instanceTenancy: 'default',
        isDefault: true,
      }))
    },
  },
  DescribeSubnets: {
    run(ec2) {
      const { network, parameters } = ec2
      const all = filtered(parameters, [network], ({ vpcId, subnetId }) => ({ 'vpc-id': vpcId, 'subnet-id': subnetId }))
      return paged(ec2, 'subnetSet', all, ({ accountId, region, subnetId, vpcId }) => ({
        subnetId,
        vpcId,
        ownerId: accountId,
        state: 'available',
        cidrBlock: '172.31.0.0/20',
        availabilityZone: `${region}a`,
        availableIpAddressCount: 4091,
      }))
    },
  },
  DescribeSecurityGroups: {
    run(ec2) {
      const { network, parameters } = ec2
      checkIds(
        idsOf(parameters, 'GroupId'),
        new Map([[network.securityGroupId, true]]),
        'InvalidGroup',
        'security group',
      )
      const filters = ({ securityGroupId, vpcId }: Ec2Network): Filterable => ({
        'group-id': securityGroupId,
        'group-name': 'default',
        'vpc-id': vpcId,
      })
      return paged(
        ec2,
        'securityGroupInfo',
        filtered(parameters, [network], filters),
        ({ accountId, securityGroupId, vpcId }) => ({
          ownerId: accountId,
          groupId: securityGroupId,
          groupName: 'default',
          groupDescription: 'default VPC security group',
          vpcId,
          ipPermissions: '',
          ipPermissionsEgress: '',
        }),
      )
    },
  },
}

/** An instance as `DescribeInstances` shows it. */
function instanceXml(instance: Ec2Instance, network: Ec2Network): XmlValue {
  const { id, launchedAt, privateIp, profileArn, state, tags, type } = instance
  return {
    instanceId: id,
    imageId: 'ami-0abcdef1234567890',
    instanceState: stateXml(state),
    privateDnsName: `ip-${privateIp.replaceAll('.', '-')}.ec2.internal`,
    instanceType: type,
    launchTime: launchedAt,
    placement: { availabilityZone: `${network.region}a`, tenancy: 'default' },
    subnetId: network.subnetId,
    vpcId: network.vpcId,
    privateIpAddress: privateIp,
    groupSet: { item: [{ groupId: network.securityGroupId, groupName: 'default' }] },
    iamInstanceProfile: profileArn === undefined ? undefined : { arn: profileArn, id: 'AIPA' },
    tagSet: { item: Object.entries(tags).map(([key, value]) => ({ key, value })) },
    metadataOptions: {
      state: 'applied',
      httpTokens: 'required',
      httpPutResponseHopLimit: instance.hopLimit,
      httpEndpoint: 'enabled',
    },
  }
}

/** `{ code: 16, name: 'running' }` */
export function stateXml(state: Ec2Instance['state']): XmlValue {
  return { code: { running: 16, stopped: 80, terminated: 48 }[state], name: state }
}

function instanceFilters({ vpcId, subnetId }: Ec2Network): (instance: Ec2Instance) => Filterable {
  return ({ id, privateIp, state, tags, type }) => ({
    'instance-id': id,
    'instance-state-name': state,
    'instance-type': type,
    'private-ip-address': privateIp,
    'subnet-id': subnetId,
    'vpc-id': vpcId,
    ...Object.fromEntries(Object.entries(tags).map(([key, value]) => [`tag:${key}`, value])),
  })
}

/** All filters must hold, each by any of its values. @throws {AwsError} InvalidParameterValue for one that is not known */
function filtered<T>(parameters: Parameters, all: readonly T[], valuesOf: (item: T) => Filterable): readonly T[] {
  return list(parameters, 'Filter').reduce<readonly T[]>((left, filter) => {
    const name = filter.get('Name') ?? ''
    const values = [...filter].filter(([key]) => key.startsWith('Value.')).map(([, value]) => value)
    if (!name.startsWith('tag:') && all.some((item) => !(name in valuesOf(item)))) {
      throw new AwsError('InvalidParameterValue', 400, `The filter '${name}' is invalid`)
    }
    return left.filter((item) => {
      const value = valuesOf(item)[name]
      return value !== undefined && values.some((pattern) => globMatches(pattern, value))
    })
  }, all)
}

function paged<T>(
  { parameters }: Ec2Call,
  element: string,
  all: readonly T[],
  show: (item: T) => XmlValue,
): Record<string, XmlValue> {
  const size = parameters.get('MaxResults')
  const token = parameters.get('NextToken')
  if (size !== undefined && !(Number(size) >= 5 && Number(size) <= 1000)) {
    throw new AwsError(
      'InvalidParameterValue',
      400,
      `Value ( ${size} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.`,
    )
  }
  const start = token === undefined ? 0 : Number(Buffer.from(token, 'base64url').toString('utf8').replace(/^at:/, ''))
  if (!Number.isInteger(start) || start > all.length)
    throw new AwsError('InvalidNextToken', 400, 'The token is invalid.')
  const end = size === undefined ? all.length : start + Number(size)
  return {
    [element]: { item: all.slice(start, end).map(show) },
    nextToken: end < all.length ? Buffer.from(`at:${end}`).toString('base64url') : undefined,
  }
}

/** `InstanceId.1`, `InstanceId.2` … */
export function idsOf(parameters: Parameters, name: string): readonly string[] {
  return list(parameters, name).map((id) => id.get('') ?? '')
}

/** @throws {AwsError} `CODE.Malformed` or `CODE.NotFound` */
export function checkIds(
  ids: readonly string[],
  known: ReadonlyMap<string, unknown>,
  code: string,
  what: string,
): void {
  const malformed = ids.find((id) => !/^[a-z]+-[0-9a-f]{8,17}$/.test(id))
  if (malformed !== undefined) throw new AwsError(`${code}.Malformed`, 400, `Invalid id: "${malformed}"`)
  const missing = ids.filter((id) => !known.has(id))
  if (missing.length > 0)
    throw new AwsError(`${code}.NotFound`, 400, `The ${what} '${missing.join(', ')}' does not exist`)
}
