/**
 * Host names of AWS APIs. A name is AWS's only if it ends in one of the suffixes below at a label border:
 * `x.amazonaws.com.example.net` is not. Hosts under these suffixes that customers run themselves (load balancers,
 * instances, static web sites) are not APIs: what is signed there would reach a stranger.
 */

/** What the host name of an AWS API says. */
export interface AwsEndpoint {
  /** Lower case, without port and trailing dot: `bucket.s3.us-east-1.amazonaws.com`. */
  readonly host: string
  /** `aws`, `aws-cn`, `aws-us-gov`, `aws-iso` … */
  readonly partition: string
  /** Endpoint name: `s3`, `sts`, `execute-api`; left out where the host does not show it. */
  readonly service?: string
  /** `eu-west-1`; left out for global endpoints. */
  readonly region?: string
  /** What stands before the service: the bucket of `bucket.s3…`, the API of `abc.execute-api…`. */
  readonly prefix?: string
}

/**
 * Reads the host name of an AWS API, with or without port; `undefined` for every other host.
 *
 * @see AWS "AWS service endpoints"; AWS "Dual-stack endpoints"; AWS "FIPS endpoints"; AWS PrivateLink "Endpoint DNS names";
 * the partitions of the SDKs' published endpoint rules
 */
export function parseAwsHost(text: string): AwsEndpoint | undefined {
  const host = hostName(text)
  if (host === undefined) return undefined
  const suffix = SUFFIXES.find(([name]) => host.endsWith(`.${name}`))
  if (suffix === undefined) return undefined
  const rest = host.slice(0, -suffix[0].length - 1)
  const labels = rest.split('.').filter((label) => !DECORATION.has(label))
  if (labels.some((label) => CUSTOMER_RUN.test(label)) || OTHER_MEANS.test(labels.join('.'))) return undefined
  const found = locateBucket(rest) ?? locate(labels)
  const partition = found.region?.startsWith('us-gov') && suffix[1] === 'aws' ? 'aws-us-gov' : suffix[1]
  return { host, partition, ...found }
}

/**
 * May a request to this host be signed for this service? A signature that STS would take goes to STS alone, and hosts
 * behind which customers run code of their own get none that would be worth something elsewhere: whoever runs the code
 * sees the signature, and could use it at another host under a name that nobody checks there.
 */
export function mayBeSignedFor({ host, service }: AwsEndpoint, signingName: string): boolean {
  if ((signingName.toLowerCase() === 'sts') !== (service === 'sts')) return false
  const own = CUSTOMER_CODE.get(service ?? '')
  if (own !== undefined) return signingName === own
  return !/\.on\.[a-z.]+$/.test(host) || signingName === service
}

/**
 * Is it a message channel of Session Manager (`ssmmessages.`, `ec2messages.`, their FIPS and VPC forms)?
 * Its WebSocket carries a token of its own, is not SigV4-signed, and its plug-in trusts no CA but the system's.
 */
export function isSessionManagerHost(host: string): boolean {
  const endpoint = parseAwsHost(host)
  return endpoint?.service === 'ssmmessages' || endpoint?.service === 'ec2messages'
}

/**
 * Would a list entry that names a domain (`amazonaws.com`, `.us-east-1.amazonaws.com`, `com`, `s3.amazonaws.com`) cover the
 * host of an AWS API? Message channels of Session Manager and hosts that customers run are none.
 */
export function coversAwsHost(domain: string): boolean {
  const name = domain.toLowerCase().replace(/^\*?\./, '')
  if (name === '' || name === '*') return true
  if (SUFFIXES.some(([suffix]) => suffix === name || suffix.endsWith(`.${name}`))) return true
  return parseAwsHost(name) !== undefined && !isSessionManagerHost(name)
}

/** Longest first, so that `amazonaws.com.cn` is not looked for after a shorter one. */
const SUFFIXES: readonly (readonly [suffix: string, partition: string])[] = (
  [
    ['amazonaws.com', 'aws'],
    ['api.aws', 'aws'],
    ['on.aws', 'aws'],
    ['amazonaws.com.cn', 'aws-cn'],
    ['api.amazonwebservices.com.cn', 'aws-cn'],
    ['on.amazonwebservices.com.cn', 'aws-cn'],
    ['amazonaws.eu', 'aws-eusc'],
    ['api.amazonwebservices.eu', 'aws-eusc'],
    ['on.amazonwebservices.eu', 'aws-eusc'],
    ['c2s.ic.gov', 'aws-iso'],
    ['api.aws.ic.gov', 'aws-iso'],
    ['sc2s.sgov.gov', 'aws-iso-b'],
    ['api.aws.scloud', 'aws-iso-b'],
    ['cloud.adc-e.uk', 'aws-iso-e'],
    ['api.cloud-aws.adc-e.uk', 'aws-iso-e'],
    ['csp.hci.ic.gov', 'aws-iso-f'],
    ['api.aws.hci.ic.gov', 'aws-iso-f'],
  ] as const
).toSorted(([a], [b]) => b.length - a.length)

/** The domains below which every API of AWS is: `amazonaws.com`, `api.aws` … */
export const awsDomains: readonly string[] = SUFFIXES.map(([domain]) => domain)

const DECORATION: ReadonlySet<string> = new Set(['dualstack', 'fips', 'vpce'])
const CUSTOMER_RUN = /^(elb|compute|compute-\d+|rds|cache|redshift|neptune|docdb|mq|kafka|s3-website(-[a-z0-9-]+)?)$/
/**
 * Hosts that nobody signs for: API servers of EKS clusters (a token, and a CA of their own), the issuers of their tokens
 * (whose certificate is what clients look at) and registries of images (a password).
 */
const OTHER_MEANS =
  /^[a-z0-9]+\.[a-z0-9]+\.[a-z0-9-]+\.eks$|^oidc[.-]eks\.[a-z0-9-]+$|^\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+$/
/** Hosts whose answers are made by code of customers, and the name that is signed for them. */
const CUSTOMER_CODE: ReadonlyMap<string, string> = new Map([
  ['execute-api', 'execute-api'],
  ['lambda-url', 'lambda'],
  ['appsync-api', 'appsync'],
])
const REGION = /^(?:[a-z]{2}|eusc)(?:-[a-z]+){1,3}-\d{1,2}$/
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
const ALIASES: ReadonlyMap<string, string> = new Map([['queue', 'sqs']])

function hostName(text: string): string | undefined {
  const [, host = '', port = '443'] = /^([^:/?#@\s]{1,254})(?::(\d{1,5}))?$/.exec(text) ?? []
  const name = host.toLowerCase().replace(/\.$/, '')
  if (name === '' || name.length > 253 || Number(port) > 65535 || Number(port) === 0) return undefined
  return name.split('.').every((label) => LABEL.test(label)) ? name : undefined
}

/**
 * Buckets in front of S3: whatever stands there is the bucket, also what looks like a region or a decoration, or the log
 * would name another bucket than the one that AWS serves.
 */
function locateBucket(rest: string): Omit<AwsEndpoint, 'host' | 'partition'> | undefined {
  const [, prefix, region] = /^(.+)\.s3(?:-fips)?(?:\.dualstack)?(?:\.([a-z0-9-]+))?$/.exec(rest) ?? []
  if (prefix === undefined || (region !== undefined && !isRegion(region)) || /(^|\.)vpce-/.test(prefix))
    return undefined
  return { service: 's3', prefix, ...(region === undefined ? {} : { region }) }
}

/** Region and service by their places: `PREFIX.SERVICE.REGION`, `PREFIX.REGION.SERVICE` (search domains), `PREFIX.SERVICE`. */
function locate(labels: readonly string[]): Omit<AwsEndpoint, 'host' | 'partition'> {
  const at = labels.findLastIndex((label, index) => index >= labels.length - 2 && isRegion(label))
  const last = labels.at(-1) ?? ''
  const legacy = /^(s3|s3-fips)-(.+)$/.exec(last)
  if (at === -1 && legacy !== null && isRegion(legacy[2] ?? '')) {
    return { service: 's3', region: legacy[2] ?? '', ...prefixOf(labels.slice(0, -1)) }
  }
  if (at === -1) return { ...serviceOf(last), ...prefixOf(labels.slice(0, -1)) }
  const region = labels[at] ?? ''
  if (at === labels.length - 1) {
    return { region, ...serviceOf(labels[at - 1] ?? ''), ...prefixOf(labels.slice(0, Math.max(0, at - 1))) }
  }
  return { region, ...serviceOf(last), ...prefixOf(labels.slice(0, at)) }
}

const isRegion = (label: string): boolean => REGION.test(label) || label === 'us-gov'

function serviceOf(label: string): { service?: string } {
  const name = label.replace(/-fips$|^fips-/, '')
  return name === '' ? {} : { service: ALIASES.get(name) ?? name }
}

/** The labels of a VPC endpoint say where, not what: `bucket.vpce-1a-2b` is the path-style form. */
function prefixOf(labels: readonly string[]): { prefix?: string } {
  const isVpc = labels.some((label) => label.startsWith('vpce-'))
  const named = labels.filter((label) => !label.startsWith('vpce-'))
  const prefix = (isVpc && named.at(-1) === 'bucket' ? named.slice(0, -1) : named).join('.')
  return prefix === '' ? {} : { prefix }
}
