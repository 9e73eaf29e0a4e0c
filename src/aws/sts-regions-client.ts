/** The STS of each region, asked through the AWS SDK: the one of the request first, then one that always does. */
import type https from 'node:https'
import { STSClient } from '@aws-sdk/client-sts'
import type { Clock } from '#clock.ts'
import { AccessError, type ErrorCode } from '#errors.ts'
import { type CredentialSource, NoCredentials } from './credentials-client.ts'
import { partitionText, stsRegions } from './partition.ts'

/** STS refused, or did not answer. The text keeps AWS's own words. */
export class AssumeRoleFailed extends AccessError {
  override readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, details: { hint: string; cause: unknown }) {
    super(message, details)
    this.code = code
  }
}

/** Where a role is to be asked for. */
interface StsPlace {
  readonly partition: string
  /** The region that the caller's request is signed for; empty: none. */
  readonly region: string
}

/** What STS gave, and by how much its clock was ahead of ours, to the second, where it said. */
interface StsAnswer<T> {
  readonly value: T
  readonly aheadMs: number | undefined
}

export interface StsRegions extends Disposable {
  /**
   * Asks in the region of the request. If STS cannot be used there, which is then kept in mind for ten minutes, in the
   * agent's own region.
   *
   * @throws {AssumeRoleFailed}
   * @throws {NoCredentials}
   */
  ask<T>(place: StsPlace, question: (client: STSClient) => Promise<T>): Promise<StsAnswer<T>>
}

export interface StsRegionsOptions {
  readonly base: CredentialSource
  /** The one way out; the SDK does not read proxy variables. */
  readonly agent: https.Agent
  readonly clock: Clock
  /** As in `AWS_REGION`. */
  readonly homeRegion?: string
}

/** Opens a client for a region when it is first asked. */
export function openStsRegions({ base, agent, clock, homeRegion }: StsRegionsOptions): StsRegions {
  const regional = new Map<string, RegionalSts>()
  const shunned = new Map<string, number>()
  const open = (region: string): RegionalSts => {
    const found = regional.get(region) ?? openRegion({ region, base, agent, clock })
    regional.set(region, found)
    return found
  }
  return {
    async ask({ partition, region }, question) {
      const [first, home] = stsRegions(region, partition, homeRegion)
      if (home === undefined) return askRegion(open(first), partition, question)
      const isKnown = regional.has(first) || regional.size < MAX_REGIONS
      if (!isKnown || (shunned.get(first) ?? 0) > clock().getTime()) return askRegion(open(home), partition, question)
      try {
        return await askRegion(open(first), partition, question)
      } catch (error) {
        if (!isUnusable(error)) throw error
        shunned.set(first, clock().getTime() + SHUN_MS)
        return askRegion(open(home), partition, question)
      }
    },
    [Symbol.dispose]() {
      for (const { client } of regional.values()) client.destroy()
    },
  }
}

/** Three tries in each of two regions are over before the client at the other end gives up on us, after a minute. */
const CONNECT_MS = 5_000
const ANSWER_MS = 8_000
const SHUN_MS = 600_000
/** More than AWS has: who asks for more asks for regions that are none. */
const MAX_REGIONS = 200

interface RegionalSts {
  readonly client: STSClient
  /** Host that was asked last: the SDK chooses it, by region and by the settings for FIPS and dual stack. */
  host: string
  aheadMs: number | undefined
}

function openRegion({
  region,
  base,
  agent,
  clock,
}: Omit<StsRegionsOptions, 'homeRegion'> & { readonly region: string }): RegionalSts {
  const client = new STSClient({
    region,
    requestHandler: {
      httpsAgent: agent,
      connectionTimeout: CONNECT_MS,
      requestTimeout: ANSWER_MS,
      throwOnRequestTimeout: true,
    },
    credentials: () => sdkCredentials(base),
  })
  const sts: RegionalSts = { client, host: `STS in ${region}`, aheadMs: undefined }
  client.middlewareStack.add(
    (next) => async (input) => {
      sts.host = hostOf(input.request) ?? sts.host
      const asked = clock().getTime()
      const result = await next(input)
      sts.aheadMs = aheadOf(dateOf(result.response), asked, clock().getTime())
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'readDate' },
  )
  return sts
}

async function askRegion<T>(
  sts: RegionalSts,
  partition: string,
  question: (client: STSClient) => Promise<T>,
): Promise<StsAnswer<T>> {
  try {
    return { value: await question(sts.client), aheadMs: sts.aheadMs }
  } catch (cause) {
    throw failure(cause, sts.host, partition)
  }
}

/** The header is cut to the second, and was written somewhere between asking and hearing: within that, nothing is off. */
function aheadOf(date: string | undefined, asked: number, heard: number): number | undefined {
  const stamped = Date.parse(date ?? '')
  if (Number.isNaN(stamped)) return undefined
  return stamped > heard ? stamped - heard : Math.min(0, stamped + 999 - asked)
}

/** Whether another region may do: this one does not answer, is not a region, or is not enabled for the account. */
function isUnusable(error: unknown): boolean {
  if (error instanceof NoCredentials || !(error instanceof AccessError)) return false
  return error.code === 'unavailable' || /^(RegionDisabledException|OptInRequired)\b/.test(error.message)
}

/** The SDK wraps what its credential function throws: an error of ours comes out as it went in. */
function failure(cause: unknown, host: string, partition: string): AccessError {
  if (cause instanceof NoCredentials || cause instanceof AssumeRoleFailed) return cause
  const { name, message } = cause instanceof Error ? cause : { name: 'Error', message: 'unknown reason' }
  const status = httpStatus(cause)
  if (name === 'AccessDenied' || name === 'AccessDeniedException') {
    return new AssumeRoleFailed('denied', `AccessDenied: ${message}`, {
      hint: "let the role's trust policy name the agent's own principal, which stands behind \"User:\", and that principal's policy allow sts:AssumeRole on the role; check the external id too",
      cause,
    })
  }
  if (name === 'InvalidClientTokenId') {
    return new AssumeRoleFailed('unavailable', `${host} does not know the agent's credentials: ${name}: ${message}`, {
      hint: `check that the agent's AWS keys are still valid and are of partition ${partitionText(partition)}; for GovCloud and China set AWS_REGION for the agent`,
      cause,
    })
  }
  if (status !== undefined && status < 500 && !/Throttl|Expired/.test(name)) {
    return new AssumeRoleFailed('invalid', `${name}: ${message}`, {
      hint: "check the role's ARN and maximum session duration in IAM",
      cause,
    })
  }
  const reason = cause instanceof AccessError ? message : `${name}: ${message}`
  return new AssumeRoleFailed('unavailable', `no answer from STS at ${host}:443: ${reason}`, {
    hint: `let the agent reach https://${host}, through its HTTPS_PROXY if it needs one, then try again`,
    cause,
  })
}

function httpStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  const isRead = typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
  return isRead && typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

/** Requests and answers of HTTP are unknown to the types of the SDK's middleware. */
function hostOf(request: unknown): string | undefined {
  const isRead = typeof request === 'object' && request !== null && 'hostname' in request
  return isRead && typeof request.hostname === 'string' ? request.hostname : undefined
}

function dateOf(response: unknown): string | undefined {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return undefined
  const { headers } = response
  const isRead = typeof headers === 'object' && headers !== null && 'date' in headers
  return isRead && typeof headers.date === 'string' ? headers.date : undefined
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
