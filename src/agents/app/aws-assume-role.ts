/**
 * `sts:AssumeRole` of a caller: how long it may last, and an answer without real credentials.
 *
 * @see AWS STS API reference "AssumeRole"
 */
import { sha256Hex } from '#aws/sigv4.ts'
import { Secret } from '#secret.ts'
import type { Refusal } from './admit.ts'
import type { AwsRequest } from './aws-request.ts'
import type { HandedOutRole, PlaceholderRole } from './handed-out-keys.ts'

/** The request to send instead, and what to tell the caller. */
export interface AssumeRolePlan {
  readonly allowed: true
  readonly aws: AwsRequest
  readonly body: Buffer | undefined
  readonly info?: string
}

const MIN_SECONDS = 900
const DEFAULT_SECONDS = 3600

/** Keeps the assumed role within the life of the certificate: what is asked beyond it is lowered, in query and body alike. */
export function planAssumeRole(
  aws: AwsRequest,
  body: Buffer | undefined,
  { expires, now }: { readonly expires: Date; readonly now: Date },
): AssumeRolePlan | Refusal {
  const left = Math.floor((expires.getTime() - now.getTime()) / 1000)
  if (left < MIN_SECONDS) {
    return refusal(
      'login-too-short',
      `minimum AWS session duration is 15m0s but Teleport identity expires in ${Math.max(0, left)}s`,
      'Please re-login the app and try again',
    )
  }
  const parts = { query: aws.query, body: body?.toString('utf8') ?? '' }
  const asked = [parts.query, parts.body].flatMap((text) => new URLSearchParams(text).getAll('DurationSeconds'))
  if (!asked.every((text) => /^\d{1,6}$/.test(text))) {
    return refusal('invalid-duration', 'DurationSeconds is not a number of seconds', 'write 900 or more')
  }
  const requested = Math.max(...(asked.length === 0 ? [DEFAULT_SECONDS] : asked.map(Number)))
  if (requested <= left) return { allowed: true, aws: withoutAccept(aws), body }
  const lowered = { query: lower(parts.query, left), body: lower(parts.body, left) }
  const next = body === undefined ? undefined : Buffer.from(lowered.body)
  const length = next === undefined ? [] : ['Content-Length', String(next.length)]
  const headers = withoutAccept(aws).headers.filter((_, index, all) => {
    const name = all[index - (index % 2)] ?? ''
    return next === undefined || name.toLowerCase() !== 'content-length'
  })
  return {
    allowed: true,
    aws: {
      ...aws,
      query: lowered.query,
      headers: [...headers, ...length],
      payloadHash: next !== undefined && /^[0-9a-f]{64}$/.test(aws.payloadHash) ? sha256Hex(next) : aws.payloadHash,
    },
    body: next,
    info: `requested DurationSeconds of AssumeRole is lowered to "${left}s" as the Teleport identity expires at ${expires.toISOString()}`,
  }
}

/** Sets the duration where the action or a duration stands, once. */
function lower(text: string, seconds: number): string {
  const fields = new URLSearchParams(text)
  if (!fields.has('Action') && !fields.has('DurationSeconds')) return text
  fields.delete('DurationSeconds')
  fields.set('DurationSeconds', String(seconds))
  return fields.toString()
}

/** The answer is read here, so it has to come in the one form that is read: XML, not compressed. */
function withoutAccept(aws: AwsRequest): AwsRequest {
  const keep = (name: string): boolean => !['accept', 'accept-encoding'].includes(name.toLowerCase())
  return { ...aws, headers: aws.headers.filter((_, index, all) => keep(all[index - (index % 2)] ?? '')) }
}

/**
 * The credentials in an answer of AssumeRole. Undefined unless every field is there exactly once: an answer that could be
 * read in two ways is not passed on.
 */
export function readAssumeRoleAnswer(xml: string): HandedOutRole | undefined {
  const only = (field: string): string | undefined => {
    const found = [...xml.matchAll(new RegExp(`<${field}>([^<>&]+)</${field}>`, 'g'))]
    const opened = xml.split(`<${field}`).length - 1
    return found.length === 1 && opened === 1 ? found[0]?.[1] : undefined
  }
  const [accessKeyId, secret, token] = [only('AccessKeyId'), only('SecretAccessKey'), only('SessionToken')]
  const expires = new Date(only('Expiration') ?? Number.NaN)
  const assumedRoleArn = only('Arn')
  if (!accessKeyId || !secret || !token || !assumedRoleArn || Number.isNaN(expires.getTime())) return undefined
  return {
    credentials: { accessKeyId, secretAccessKey: new Secret(secret), sessionToken: new Secret(token) },
    assumedRoleArn,
    expires,
  }
}

/** The answer with placeholders in place of the credentials. */
export function replaceCredentials(xml: string, placeholder: PlaceholderRole): string {
  return xml
    .replace(/(<AccessKeyId>)[^<]*/, `$1${placeholder.accessKeyId}`)
    .replace(/(<SecretAccessKey>)[^<]*/, `$1${placeholder.secretAccessKey.reveal()}`)
    .replace(/(<SessionToken>)[^<]*/, `$1${placeholder.sessionToken}`)
}

const refusal = (reason: string, message: string, hint: string): Refusal => ({
  allowed: false,
  code: reason === 'invalid-duration' ? 'invalid' : 'denied',
  reason,
  message,
  hint,
})
