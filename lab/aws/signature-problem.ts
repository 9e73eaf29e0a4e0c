/** Why a signature is refused, and how each family of services says it. */
import { AwsError } from './aws-error.ts'

/** What is wrong, in one word. */
export type SignatureProblemKind =
  | 'expired-token'
  | 'malformed-header'
  | 'malformed-query'
  | 'mismatch'
  | 'not-yet-current'
  | 'other-algorithm'
  | 'presigned-expired'
  | 'too-old'
  | 'two-mechanisms'
  | 'unknown-key'
  | 'unsigned-headers'
  | 'wrong-region'
  | 'wrong-service'
  | 'wrong-token'

/** What some services add to the refusal. */
export interface ProblemDetails {
  readonly expected?: string
  readonly expires?: Date
  readonly canonical?: string
  readonly stringToSign?: string
}

/** A refusal before a service puts it in its own words. `subject` is what the refusal is about: a key id, a date, a name. */
export class SignatureProblem extends Error {
  override readonly name = 'SignatureProblem'
  readonly kind: SignatureProblemKind
  readonly subject: string
  readonly details: ProblemDetails

  constructor(kind: SignatureProblemKind, subject: string, details: ProblemDetails = {}) {
    super(`${kind}: ${subject}`)
    this.kind = kind
    this.subject = subject
    this.details = details
  }
}

/** Families that word these refusals differently. */
export type Wording = 's3' | 'ec2' | 'query' | 'json'

/** Who says it, when and to whom. */
export interface WordingContext {
  readonly wording: Wording
  readonly now: Date
  readonly allowedSkewMs: number
  readonly accessKeyId: string
}

/** The error document of a service for this problem. @see each service's API reference, "Common Errors" */
export function toAwsError(problem: SignatureProblem, context: WordingContext): AwsError {
  if (context.wording === 's3') return inS3(problem, context)
  if (context.wording === 'ec2') return inEc2(problem)
  return inQueryOrJson(problem, context)
}

const checkYourKey =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.'

function inQueryOrJson(
  { kind, subject, details }: SignatureProblem,
  { wording, now, allowedSkewMs }: WordingContext,
): AwsError {
  const json = wording === 'json'
  const status = json ? 400 : 403
  const wrong = (message: string): AwsError =>
    new AwsError(json ? 'InvalidSignatureException' : 'SignatureDoesNotMatch', status, message)
  const badToken = (): AwsError =>
    new AwsError(
      json ? 'UnrecognizedClientException' : 'InvalidClientTokenId',
      status,
      'The security token included in the request is invalid.',
    )
  const minutes = allowedSkewMs / 60_000
  switch (kind) {
    case 'unknown-key':
    case 'wrong-token':
      return badToken()
    case 'expired-token':
      return new AwsError(
        json ? 'ExpiredTokenException' : 'ExpiredToken',
        status,
        'The security token included in the request is expired',
      )
    case 'malformed-header':
    case 'malformed-query':
    case 'two-mechanisms':
      return new AwsError(json ? 'IncompleteSignatureException' : 'IncompleteSignature', 400, subject)
    case 'other-algorithm':
      return new AwsError(
        json ? 'IncompleteSignatureException' : 'IncompleteSignature',
        400,
        `Unsupported AWS 'algorithm': '${subject.slice(0, 64)}'.`,
      )
    case 'wrong-region':
      return wrong('Credential should be scoped to a valid region.')
    case 'wrong-service':
      return wrong(`Credential should be scoped to correct service: '${details.expected}'.`)
    case 'unsigned-headers':
      return wrong(`'${subject.split(', ')[0]}' must be a 'SignedHeader' in the AWS Authorization.`)
    case 'too-old':
    case 'presigned-expired':
      return wrong(
        `Signature expired: ${subject} is now earlier than ${basic(now.getTime() - allowedSkewMs)} (${basic(now.getTime())} - ${minutes} min.)`,
      )
    case 'not-yet-current':
      return wrong(
        `Signature not yet current: ${subject} is still later than ${basic(now.getTime() + allowedSkewMs)} (${basic(now.getTime())} + ${minutes} min.)`,
      )
    case 'mismatch':
      return wrong(
        details.canonical === undefined
          ? checkYourKey
          : `${checkYourKey}\n\nThe Canonical String for this request should have been\n'${details.canonical}'\n\nThe String-to-Sign should have been\n'${details.stringToSign}'\n`,
      )
  }
}

function inEc2({ kind, subject }: SignatureProblem): AwsError {
  switch (kind) {
    case 'too-old':
    case 'presigned-expired':
    case 'expired-token':
      return new AwsError('RequestExpired', 400, 'Request has expired.')
    case 'malformed-header':
    case 'malformed-query':
    case 'two-mechanisms':
    case 'other-algorithm':
      return new AwsError('AuthFailure', 401, `Authorization is not well-formed: ${subject.slice(0, 200)}`)
    case 'mismatch':
    case 'unsigned-headers':
      return new AwsError('SignatureDoesNotMatch', 403, checkYourKey)
    default:
      return new AwsError('AuthFailure', 401, 'AWS was not able to validate the provided access credentials')
  }
}

function inS3(
  { kind, subject, details }: SignatureProblem,
  { now, allowedSkewMs, accessKeyId }: WordingContext,
): AwsError {
  switch (kind) {
    case 'unknown-key':
      return new AwsError(
        'InvalidAccessKeyId',
        403,
        'The AWS Access Key Id you provided does not exist in our records.',
        { fields: { AWSAccessKeyId: accessKeyId } },
      )
    case 'wrong-token':
      return new AwsError('InvalidToken', 400, 'The provided token is malformed or otherwise invalid.')
    case 'expired-token':
      return new AwsError('ExpiredToken', 400, 'The provided token has expired.')
    case 'malformed-header':
      return new AwsError('AuthorizationHeaderMalformed', 400, `The authorization header is malformed; ${subject}`)
    case 'malformed-query':
      return new AwsError('AuthorizationQueryParametersError', 400, subject)
    case 'two-mechanisms':
      return new AwsError('InvalidArgument', 400, subject)
    case 'other-algorithm':
      return subject.startsWith('AWS4-ECDSA')
        ? new AwsError('NotImplemented', 501, 'Signature Version 4A is not implemented.')
        : new AwsError(
            'InvalidRequest',
            400,
            'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
          )
    case 'wrong-region':
      return new AwsError(
        'AuthorizationHeaderMalformed',
        400,
        `The authorization header is malformed; the region '${subject}' is wrong; expecting '${details.expected}'`,
        {
          fields: { Region: details.expected ?? '' },
          headers: { 'x-amz-bucket-region': details.expected ?? '' },
        },
      )
    case 'wrong-service':
      return new AwsError(
        'AuthorizationHeaderMalformed',
        400,
        `The authorization header is malformed; incorrect service "${subject}". This endpoint belongs to "${details.expected}".`,
      )
    case 'unsigned-headers':
      return new AwsError('AccessDenied', 403, 'There were headers present in the request which were not signed', {
        fields: { HeadersNotSigned: subject },
      })
    case 'presigned-expired':
      return new AwsError('AccessDenied', 403, 'Request has expired', {
        fields: { Expires: (details.expires ?? now).toISOString(), ServerTime: now.toISOString() },
      })
    case 'too-old':
    case 'not-yet-current':
      return new AwsError(
        'RequestTimeTooSkewed',
        403,
        'The difference between the request time and the current time is too large.',
        {
          fields: {
            RequestTime: subject,
            ServerTime: now.toISOString(),
            MaxAllowedSkewMilliseconds: String(allowedSkewMs),
          },
        },
      )
    case 'mismatch':
      return new AwsError(
        'SignatureDoesNotMatch',
        403,
        'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
        {
          fields: {
            AWSAccessKeyId: accessKeyId,
            StringToSign: details.stringToSign ?? '',
            SignatureProvided: subject,
            CanonicalRequest: details.canonical ?? '',
          },
        },
      )
  }
}

/** `20261120T053857Z` */
const basic = (ms: number): string => new Date(ms).toISOString().replaceAll(/[-:]|\.\d+/g, '')
