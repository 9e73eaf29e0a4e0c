/** What an account has in one region: instances, and the network that they are in. */
import { createHash, randomBytes } from 'node:crypto'

/** An instance as EC2 knows it. It runs no program. */
export interface Ec2Instance {
  /** `i-0123456789abcdef0` */
  readonly id: string
  readonly type: string
  readonly launchedAt: Date
  readonly privateIp: string
  readonly tags: Readonly<Record<string, string>>
  /** `HttpPutResponseHopLimit` of its metadata service. */
  readonly hopLimit: number
  state: 'running' | 'stopped' | 'terminated'
  /** ARN of its instance profile. */
  profileArn: string | undefined
}

/** The one VPC of an account in a region, and what is in it. */
export interface Ec2Network {
  readonly region: string
  readonly accountId: string
  readonly vpcId: string
  readonly subnetId: string
  readonly securityGroupId: string
  readonly instances: Map<string, Ec2Instance>
}

/** A network as every account has from the start: one VPC with one subnet and its default security group. */
export function createNetwork(accountId: string, region: string): Ec2Network {
  const id = (kind: string): string =>
    `${kind}-0${createHash('sha256').update(`${accountId}/${region}/${kind}`).digest('hex').slice(0, 16)}`
  return {
    region,
    accountId,
    vpcId: id('vpc'),
    subnetId: id('subnet'),
    securityGroupId: id('sg'),
    instances: new Map(),
  }
}

/** Puts a running instance into a network. */
export function addInstance(
  network: Ec2Network,
  {
    tags = {},
    type = 't3.micro',
    hopLimit = 1,
    now,
  }: { tags?: Readonly<Record<string, string>>; type?: string; hopLimit?: number; now: Date },
): Ec2Instance {
  const instance: Ec2Instance = {
    id: `i-0${randomBytes(8).toString('hex')}`,
    type,
    launchedAt: now,
    privateIp: `172.31.0.${network.instances.size + 4}`,
    tags,
    hopLimit,
    state: 'running',
    profileArn: undefined,
  }
  network.instances.set(instance.id, instance)
  return instance
}
