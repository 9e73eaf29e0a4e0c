/** Host names of AWS: which service, region and partition answers there. */
import type { Partition } from './account.ts'

/** What a host name stands for. `reports.s3.eu-west-1.amazonaws.com` is service `s3`, region `eu-west-1`, bucket `reports`. */
export interface Endpoint {
  readonly host: string
  readonly service: string
  readonly region: string
  /** The name has no region in it: `sts.amazonaws.com`. */
  readonly global: boolean
  readonly partition: Partition
  /** Bucket of a virtual-host style S3 name. */
  readonly bucket: string | undefined
}

/** Regions that are there, by partition. The first is the one that names without a region stand for. */
export const regions: Readonly<Record<Partition, readonly string[]>> = {
  aws: [
    'us-east-1',
    'us-east-2',
    'us-west-1',
    'us-west-2',
    'ap-northeast-1',
    'ap-northeast-2',
    'ap-northeast-3',
    'ap-south-1',
    'ap-southeast-1',
    'ap-southeast-2',
    'ca-central-1',
    'eu-central-1',
    'eu-north-1',
    'eu-west-1',
    'eu-west-2',
    'eu-west-3',
    'sa-east-1',
  ],
  'aws-cn': ['cn-north-1', 'cn-northwest-1'],
  'aws-us-gov': ['us-gov-west-1', 'us-gov-east-1'],
}

const suffixes = ['.amazonaws.com.cn', '.amazonaws.com', '.api.aws']
const partitionByRegion: ReadonlyMap<string, Partition> = new Map(
  (['aws', 'aws-cn', 'aws-us-gov'] as const).flatMap((partition) =>
    regions[partition].map((region) => [region, partition] as const),
  ),
)

/** The endpoint behind a host name without port, or `undefined` for names that AWS would not answer for. */
export function findEndpoint(name: string): Endpoint | undefined {
  const host = name.toLowerCase()
  const suffix = suffixes.find((candidate) => host.endsWith(candidate))
  if (suffix === undefined) return undefined
  const prefix = host.slice(0, -suffix.length)
  const found = findS3(prefix) ?? findService(prefix)
  if (!found) return undefined
  const bySuffix: Partition = suffix === '.amazonaws.com.cn' ? 'aws-cn' : 'aws'
  const partition = found.region === undefined ? bySuffix : partitionByRegion.get(found.region)
  if (partition === undefined || (partition === 'aws-cn') !== (suffix === '.amazonaws.com.cn')) return undefined
  const region = found.region ?? regions[partition][0] ?? ''
  return { host, service: found.service, region, global: found.region === undefined, partition, bucket: found.bucket }
}

interface Found {
  readonly service: string
  readonly region: string | undefined
  readonly bucket: string | undefined
}

/** `s3`, `s3.REGION`, `s3.dualstack.REGION`, `s3-fips.REGION`, `s3-REGION`, each with a bucket before it. */
function findS3(prefix: string): Found | undefined {
  const match = /^(?:(.+)\.)?s3(?:-fips)?(?:\.dualstack)?(?:[.-]([a-z]+(?:-[a-z]+){1,2}-\d))?$/.exec(prefix)
  return match ? { service: 's3', region: match[2], bucket: match[1] } : undefined
}

/** `SERVICE`, `SERVICE.REGION`, `SERVICE-fips.REGION`; `iam.us-gov` is the one name of its kind. */
function findService(prefix: string): Found | undefined {
  if (prefix === 'iam.us-gov') return { service: 'iam', region: 'us-gov-west-1', bucket: undefined }
  const match = /^(?:[a-z0-9-]+\.)*?([a-z0-9-]+?)(?:-fips)?(?:\.([a-z]+(?:-[a-z]+){1,2}-\d))?$/.exec(prefix)
  return match?.[1] === undefined ? undefined : { service: match[1], region: match[2], bucket: undefined }
}
