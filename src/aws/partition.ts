/**
 * The partitions of AWS: separate clouds, each with its own accounts, regions, host names and STS. A role of one is
 * unknown in every other.
 *
 * @see AWS "Amazon Resource Names (ARNs)", partitions; the SDKs' published `partitions.json`
 */

/** Name of the partition that a region belongs to, known region or not: `us-gov-west-1` is of `aws-us-gov`. */
export function partitionOfRegion(region: string): string | undefined {
  return PARTITIONS.find(({ regions }) => regions.test(region))?.name
}

/** `aws-cn` of `arn:aws-cn:iam::123456789012:role/Reader`; nothing of what does not begin as an ARN. */
export function partitionOfArn(arn: string): string | undefined {
  return /^arn:([a-z][a-z0-9-]{0,30}):/.exec(arn)?.[1]
}

/**
 * Where to ask STS for a role of `partition`, best first: in the region of the request, near to what it asks for, and
 * then in `home`, the agent's own, or the partition's first. Regions of other partitions are left out. What a regional
 * STS gives is valid in every region of its partition, opt-in regions included.
 *
 * @param asked region that the caller signed for; `aws-global` and the like are none
 * @param home region of the agent, as in `AWS_REGION`
 * @see IAM User Guide "Manage AWS STS in an AWS Region"
 */
export function stsRegions(asked: string, partition: string, home?: string): readonly [string, ...string[]] {
  const isOurs = (region: string): boolean => partitionOfRegion(region) === partition
  const fallback = home !== undefined && isOurs(home) ? home : firstRegion(partition)
  return isOurs(asked) && asked !== fallback ? [asked, fallback] : [fallback]
}

/** What the partition is called where people read it. */
export function partitionText(partition: string): string {
  const title = PARTITIONS.find(({ name }) => name === partition)?.title
  return title === undefined ? partition : `${partition} (${title})`
}

/** The region in which a partition's global services are. */
function firstRegion(partition: string): string {
  return PARTITIONS.find(({ name }) => name === partition)?.first ?? 'us-east-1'
}

interface Partition {
  readonly name: string
  readonly title: string
  readonly regions: RegExp
  readonly first: string
}

const PARTITIONS: readonly Partition[] = [
  {
    name: 'aws',
    title: 'standard',
    regions: /^(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]{2,12}-\d{1,2}$/,
    first: 'us-east-1',
  },
  { name: 'aws-cn', title: 'China', regions: /^cn-[a-z]{2,12}-\d{1,2}$/, first: 'cn-north-1' },
  { name: 'aws-us-gov', title: 'GovCloud', regions: /^us-gov-[a-z]{2,12}-\d{1,2}$/, first: 'us-gov-west-1' },
  {
    name: 'aws-eusc',
    title: 'European Sovereign Cloud',
    regions: /^eusc-[a-z]{2}-[a-z]{2,12}-\d{1,2}$/,
    first: 'eusc-de-east-1',
  },
  { name: 'aws-iso', title: 'isolated, US', regions: /^us-iso-[a-z]{2,12}-\d{1,2}$/, first: 'us-iso-east-1' },
  { name: 'aws-iso-b', title: 'isolated, US B', regions: /^us-isob-[a-z]{2,12}-\d{1,2}$/, first: 'us-isob-east-1' },
  { name: 'aws-iso-e', title: 'isolated, Europe', regions: /^eu-isoe-[a-z]{2,12}-\d{1,2}$/, first: 'eu-isoe-west-1' },
  { name: 'aws-iso-f', title: 'isolated, US F', regions: /^us-isof-[a-z]{2,12}-\d{1,2}$/, first: 'us-isof-south-1' },
]
