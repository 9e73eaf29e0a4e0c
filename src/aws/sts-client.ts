/** Assumes IAM roles through the AWS SDK's STS client, and keeps what it got until shortly before it expires. */
import type https from 'node:https'
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import type { Clock } from '#clock.ts'
import { AccessError, type ErrorCode } from '#errors.ts'
import { Secret } from '#secret.ts'
import { parseRoleArn } from './arn.ts'
import type { CredentialSource } from './credentials-client.ts'
import type { AwsCredentials } from './sigv4.ts'

/** Whose role, for whom. Two users never share credentials, nor do two apps. */
export interface RoleRequest {
  readonly app: string
  readonly user: string
  readonly roleArn: string
  /** From `roleSessionName`. */
  readonly sessionName: string
  readonly externalId?: string
  /** Region of the STS endpoint: the one that the caller's request is signed for. */
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
  /** Who the base credentials are, for a start-up check: `arn:aws:sts::123456789012:assumed-role/agent/i-1`. */
  callerArn(region: string): Promise<string>
}

/** STS refused, or did not answer. The text keeps AWS's own words. */
export class AssumeRoleFailed extends AccessError {
  override readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, details: { hint: string; cause: unknown }) {
    super(message, details)
    this.code = code
  }
}

/**
 * Opens a cache of assumed roles over `base`.
 *
 * @param agent the one way out; the SDK does not read proxy variables
 * @see AWS STS API reference "AssumeRole"
 */
export function openRoleCredentials({
  base,
  agent,
  clock,
}: {
  base: CredentialSource
  agent: https.Agent
  clock: Clock
}): RoleCredentials {
  const clients = new Map<string, STSClient>()
  const kept = new Map<string, Kept>()
  const client = (region: string): STSClient => {
    const found =
      clients.get(region) ??
      new STSClient({ region, requestHandler: { httpsAgent: agent }, credentials: () => sdkCredentials(base) })
    clients.set(region, found)
    return found
  }
  const isFresh = ({ expires }: AssumedRole): boolean => expires.getTime() - EARLY_MS > clock().getTime()
  return {
    async get(request) {
      const region = stsRegion(request.region, parseRoleArn(request.roleArn).partition)
      const { app, roleArn, sessionName, externalId = '', user, durationSeconds } = request
      const key = JSON.stringify([app, roleArn, sessionName, externalId, user, durationSeconds])
      const found = kept.get(key)
      if (found !== undefined && (found.role === undefined || isFresh(found.role))) return found.fetched
      const entry: Kept = { fetched: assumeRole(client(region), request) }
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
    async callerArn(region) {
      try {
        const { Arn } = await client(stsRegion(region, 'aws')).send(new GetCallerIdentityCommand({}))
        return Arn ?? ''
      } catch (cause) {
        throw failure(cause)
      }
    },
    async [Symbol.asyncDispose]() {
      for (const each of clients.values()) each.destroy()
      kept.clear()
    },
  }
}

/** Regional endpoints where the region is one, else the first of the partition. `aws-global` and the like are none. */
export function stsRegion(region: string, partition: string): string {
  if (/^(?:[a-z]{2}|eusc)(?:-[a-z]+){1,3}-\d{1,2}$/.test(region)) return region
  return FIRST_REGION[partition] ?? 'us-east-1'
}

const EARLY_MS = 120_000
/** The shortest that STS gives; its own default would be an hour. */
const SHORTEST_SECONDS = 900
const MAX_KEPT = 10_000
const FIRST_REGION: Readonly<Record<string, string>> = {
  'aws-cn': 'cn-north-1',
  'aws-us-gov': 'us-gov-west-1',
  'aws-eusc': 'eusc-de-east-1',
}

/** `role` is there when the fetch is over. */
interface Kept {
  readonly fetched: Promise<AssumedRole>
  role?: AssumedRole
}

async function assumeRole(client: STSClient, request: RoleRequest): Promise<AssumedRole> {
  const { roleArn, sessionName, externalId, durationSeconds = SHORTEST_SECONDS } = request
  try {
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
  } catch (cause) {
    throw failure(cause)
  }
}

/** The SDK wraps what its credential function throws: an error of ours comes out as it went in. */
function failure(cause: unknown): AccessError {
  if (cause instanceof AccessError) return cause
  const { name, message } = cause instanceof Error ? cause : { name: 'Error', message: 'unknown reason' }
  const status = httpStatus(cause)
  if (name === 'AccessDenied' || name === 'AccessDeniedException') {
    return new AssumeRoleFailed('denied', `AccessDenied: ${message}`, {
      hint: "let the role's trust policy name the agent's own principal, which stands behind \"User:\", and that principal's policy allow sts:AssumeRole on the role; check the external id too",
      cause,
    })
  }
  if (status !== undefined && status < 500 && !/Throttl|Expired|InvalidClientTokenId/.test(name)) {
    return new AssumeRoleFailed('invalid', `${name}: ${message}`, {
      hint: "check the role's ARN and maximum session duration in IAM",
      cause,
    })
  }
  return new AssumeRoleFailed('unavailable', `cannot assume the role: ${name}: ${message}`, {
    hint: 'check that the agent reaches STS (https://sts.REGION.amazonaws.com) and has valid credentials, then try again',
    cause,
  })
}

function httpStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  const isRead = typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
  return isRead && typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

async function sdkCredentials(
  base: CredentialSource,
): Promise<{ accessKeyId: string; secretAccessKey: string; sessionToken?: string; expiration: Date }> {
  const { accessKeyId, secretAccessKey, sessionToken } = await base()
  return {
    accessKeyId,
    secretAccessKey: secretAccessKey.reveal(),
    ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
    expiration: new Date(0), // asked anew for each call: the chain keeps its own
  }
}
