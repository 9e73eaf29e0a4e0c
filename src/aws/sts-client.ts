/** Assumes IAM roles through the AWS SDK's STS client, and keeps what it got until shortly before it expires. */
import { AssumeRoleCommand, GetCallerIdentityCommand, type STSClient } from '@aws-sdk/client-sts'
import { Secret } from '#secret.ts'
import { parseRoleArn } from './arn.ts'
import type { BaseCredentials } from './credentials-client.ts'
import type { AwsCredentials } from './sigv4.ts'
import { openStsRegions, type StsRegionsOptions } from './sts-regions-client.ts'

/** Whose role, for whom. Two users never share credentials, nor do two apps. */
export interface RoleRequest {
  readonly app: string
  readonly user: string
  readonly roleArn: string
  /** From `roleSessionName`. */
  readonly sessionName: string
  readonly externalId?: string
  /** The region that the caller's request is signed for: its STS is asked first. */
  readonly region: string
  /** Left out: 900, the shortest. */
  readonly durationSeconds?: number
}

interface AssumedRole extends AwsCredentials {
  readonly sessionToken: Secret
  readonly expires: Date
  /** `arn:aws:sts::123456789012:assumed-role/Reader/alice` */
  readonly assumedRoleArn: string
}

export interface RoleCredentials extends AsyncDisposable {
  /**
   * Kept credentials, or new ones two minutes before they expire; many callers wait for one fetch.
   *
   * @throws {AssumeRoleFailed}
   * @throws {NoCredentials}
   */
  get(request: RoleRequest): Promise<AssumedRole>
  /**
   * Asks the STS of a partition whose the base credentials are.
   *
   * @throws {AssumeRoleFailed}
   * @throws {NoCredentials}
   */
  identify(partition: string): Promise<CallerIdentity>
}

interface CallerIdentity {
  /** `arn:aws:sts::123456789012:assumed-role/agent/i-1` */
  readonly arn: string
  /** Of the credentials; see `BaseCredentials`. */
  readonly kind: BaseCredentials['kind']
  /** By how much the clock of AWS is ahead of ours, to the second; negative: behind. */
  readonly aheadMs: number | undefined
}

/**
 * Opens a cache of assumed roles over `base`.
 *
 * @see AWS STS API reference "AssumeRole"
 */
export function openRoleCredentials(options: StsRegionsOptions): RoleCredentials {
  const { clock } = options
  const sts = openStsRegions(options)
  const kept = new Map<string, Kept>()
  const isFresh = ({ expires }: AssumedRole): boolean => expires.getTime() - EARLY_MS > clock().getTime()
  const fetchRole = async (partition: string, request: RoleRequest): Promise<AssumedRole> => {
    const { value } = await sts.ask({ partition, region: request.region }, (client) => assumeRole(client, request))
    return value
  }
  return {
    async get(request) {
      const { partition } = parseRoleArn(request.roleArn)
      const { app, roleArn, sessionName, externalId = '', user, durationSeconds } = request
      const key = JSON.stringify([app, roleArn, sessionName, externalId, user, durationSeconds])
      const found = kept.get(key)
      if (found !== undefined && (found.role === undefined || isFresh(found.role))) return found.fetched
      const entry: Kept = { fetched: fetchRole(partition, request) }
      kept.set(key, entry)
      if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value ?? '')
      try {
        entry.role = await entry.fetched
        return entry.role
      } catch (error) {
        if (kept.get(key) === entry) kept.delete(key)
        throw error
      }
    },
    async identify(partition) {
      const { value, aheadMs } = await sts.ask({ partition, region: '' }, (client) =>
        client.send(new GetCallerIdentityCommand({})),
      )
      const { kind } = await options.base()
      return { arn: value.Arn ?? '', kind, aheadMs }
    },
    async [Symbol.asyncDispose]() {
      sts[Symbol.dispose]()
      kept.clear()
    },
  }
}

const EARLY_MS = 120_000
/** The shortest that STS gives; its own default would be an hour. */
const SHORTEST_SECONDS = 900
const MAX_KEPT = 10_000

/** `role` is there when the fetch is over. */
interface Kept {
  readonly fetched: Promise<AssumedRole>
  role?: AssumedRole
}

async function assumeRole(client: STSClient, request: RoleRequest): Promise<AssumedRole> {
  const { roleArn, sessionName, externalId, durationSeconds = SHORTEST_SECONDS } = request
  const { Credentials: given, AssumedRoleUser: user } = await client.send(
    new AssumeRoleCommand({
      RoleArn: roleArn,
      RoleSessionName: sessionName,
      ...(externalId ? { ExternalId: externalId } : {}),
      DurationSeconds: durationSeconds,
    }),
  )
  if (!given?.AccessKeyId || !given.SecretAccessKey || !given.SessionToken || !given.Expiration || !user?.Arn) {
    throw new Error('the answer of STS has no credentials')
  }
  return {
    accessKeyId: given.AccessKeyId,
    secretAccessKey: new Secret(given.SecretAccessKey),
    sessionToken: new Secret(given.SessionToken),
    expires: given.Expiration,
    assumedRoleArn: user.Arn,
  }
}
