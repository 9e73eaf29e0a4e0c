/** AWS Security Token Service. @see AWS STS API Reference */
import type { Account, Role } from './account.ts'
import { authorizeAssume } from './authorize.ts'
import { AwsError } from './aws-error.ts'
import { type AwsService, type Call, callerOf, questionOf } from './call.ts'
import type { AccessKey, AccessKeys } from './credentials.ts'
import type { Directory } from './directory.ts'
import { findManagedPolicy } from './managed-policies.ts'
import { askPolicies, type Policy, parsePolicy } from './policy.ts'
import type { SessionPrincipal } from './principal.ts'
import { list, type Parameters, queryService, required, validation } from './query-service.ts'
import { verifyWebIdentity } from './web-identity.ts'
import type { XmlValue } from './xml.ts'

/** What the lab remembers of every role that was assumed. */
export interface AssumedRole {
  /** Name of the role, without its path. */
  readonly role: string
  readonly roleArn: string
  readonly sessionName: string
  readonly externalId: string | undefined
  readonly durationSeconds: number
  /** ARN of who asked; of a web identity, its provider and subject. */
  readonly caller: string
  readonly sourceIdentity: string | undefined
  readonly tags: Readonly<Record<string, string>>
}

/** What STS needs: roles, keys, and where to remember. */
export interface StsSettings {
  readonly directory: Directory
  readonly keys: AccessKeys
  readonly assumed: AssumedRole[]
}

/** Chained sessions last an hour at most, whatever the role says. @see IAM User Guide, "Role chaining" */
const chainedSeconds = 3600

/** AssumeRole, AssumeRoleWithWebIdentity, GetCallerIdentity, GetSessionToken, GetAccessKeyInfo. */
export function sts({ directory, keys, assumed }: StsSettings): AwsService {
  return queryService({
    name: 'sts',
    version: '2011-06-15',
    namespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
    unsigned: ['AssumeRoleWithWebIdentity'],
    operations: {
      GetCallerIdentity(call) {
        const { principal } = callerOf(call)
        return { Arn: principal.arn, UserId: principal.userId, Account: principal.account.id }
      },
      GetAccessKeyInfo(_call, parameters) {
        const key = keys.find(required(parameters, 'AccessKeyId'))
        if (!key) throw validation('The access key does not exist.')
        return { Account: key.principal.account.id }
      },
      GetSessionToken(call, parameters) {
        const { principal } = callerOf(call)
        if (principal.kind !== 'user' || principal.temporary) {
          throw new AwsError('AccessDenied', 403, 'Cannot call GetSessionToken with session credentials')
        }
        const seconds = durationOf(parameters, { fallback: 43_200, longest: 129_600 })
        return { Credentials: credentialsXml(keys.issue({ ...principal, temporary: true }, seconds)) }
      },
      AssumeRole: (call, parameters) => assumeRole({ directory, keys, assumed }, call, parameters),
      AssumeRoleWithWebIdentity: (call, parameters) =>
        assumeRoleWithWebIdentity({ directory, keys, assumed }, call, parameters),
    },
  })
}

function assumeRole({ directory, keys, assumed }: StsSettings, call: Call, parameters: Parameters): XmlValue {
  const { principal } = callerOf(call)
  const request = readRequest(parameters)
  const denied = (action = 'sts:AssumeRole'): AwsError =>
    new AwsError(
      'AccessDenied',
      403,
      `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${request.roleArn}`,
    )
  const found = directory.findRole(request.roleArn)
  if (!found) throw denied()
  const { account, role } = found
  const given = principal.kind === 'session' ? principal : undefined
  const sourceIdentity = request.sourceIdentity ?? given?.sourceIdentity
  const inherited = [...(given?.tags ?? [])].filter(([key]) => given?.transitiveTagKeys.includes(key))
  const tags = new Map([...request.tags, ...inherited])
  const actions = ['sts:AssumeRole']
  if (request.sourceIdentity !== undefined) actions.push('sts:SetSourceIdentity')
  if (request.tags.size > 0) actions.push('sts:TagSession')
  for (const action of actions) {
    const question = questionOf(call, action, role.arn, {
      'sts:ExternalId': request.externalId,
      'sts:RoleSessionName': request.sessionName,
      'sts:SourceIdentity': request.sourceIdentity,
      'sts:DurationSeconds': parameters.get('DurationSeconds'),
      'sts:TransitiveTagKeys': request.transitiveTagKeys.length > 0 ? request.transitiveTagKeys : undefined,
      'aws:TagKeys': request.tags.size > 0 ? [...request.tags.keys()] : undefined,
      ...Object.fromEntries([...role.tags].map(([key, value]) => [`aws:ResourceTag/${key}`, value])),
      ...Object.fromEntries([...request.tags].map(([key, value]) => [`aws:RequestTag/${key}`, value])),
    })
    if (!authorizeAssume(principal, role, account.id, question).allowed) throw denied(action)
  }
  const chained = given !== undefined && given.origin !== 'instance'
  const seconds = sessionSeconds(parameters, role, chained)
  const session = sessionOf({ account, role, request, call, origin: 'assume-role', chained, tags, sourceIdentity })
  assumed.push(remember({ role, request, seconds, caller: principal.arn, tags, sourceIdentity }))
  return {
    Credentials: credentialsXml(keys.issue(session, seconds)),
    AssumedRoleUser: { AssumedRoleId: session.userId, Arn: session.arn },
    SourceIdentity: sourceIdentity,
  }
}

function assumeRoleWithWebIdentity(
  { directory, keys, assumed }: StsSettings,
  call: Call,
  parameters: Parameters,
): XmlValue {
  const request = readRequest(parameters)
  const found = directory.findRole(request.roleArn)
  const denied = new AwsError('AccessDenied', 403, 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
  if (!found) throw denied
  const { account, role } = found
  const { provider, claims } = verifyWebIdentity(
    required(parameters, 'WebIdentityToken'),
    [...account.oidcProviders.values()],
    call.now,
  )
  const { sub, aud } = claims
  const verdict = askPolicies(
    [role.trust],
    {
      action: 'sts:AssumeRoleWithWebIdentity',
      resource: role.arn,
      context: new Map<string, string | readonly string[]>([
        [`${provider.url}:sub`.toLowerCase(), sub],
        [`${provider.url}:aud`.toLowerCase(), aud],
        ['sts:rolesessionname', request.sessionName],
        ['aws:sourceip', call.sourceIp],
        ['aws:currenttime', call.now.toISOString()],
        ['aws:securetransport', 'true'],
      ]),
    },
    ({ kind, value }) => kind === 'Federated' && value === provider.arn,
  )
  if (verdict !== 'allow') throw denied
  const seconds = sessionSeconds(parameters, role, false)
  const session = sessionOf({
    account,
    role,
    request,
    call,
    origin: 'web-identity',
    chained: false,
    tags: new Map(),
    sourceIdentity: undefined,
  })
  const caller = `${provider.arn}:${sub}`
  assumed.push(remember({ role, request, seconds, caller, tags: new Map(), sourceIdentity: undefined }))
  return {
    Credentials: credentialsXml(keys.issue(session, seconds)),
    AssumedRoleUser: { AssumedRoleId: session.userId, Arn: session.arn },
    SubjectFromWebIdentityToken: sub,
    Audience: aud[0],
    Provider: provider.arn,
  }
}

interface AssumeRequest {
  readonly roleArn: string
  readonly sessionName: string
  readonly externalId: string | undefined
  readonly sourceIdentity: string | undefined
  readonly tags: ReadonlyMap<string, string>
  readonly transitiveTagKeys: readonly string[]
  readonly policies: readonly Policy[]
}

function readRequest(parameters: Parameters): AssumeRequest {
  const roleArn = required(parameters, 'RoleArn')
  if (!/^arn:[\w-]+:iam::\d{12}:role\/\S+$/.test(roleArn)) throw validation(`${roleArn} is invalid`)
  const sessionName = required(parameters, 'RoleSessionName')
  checkPattern('roleSessionName', sessionName, /^[\w+=,.@-]*$/, '[\\w+=,.@-]*', 64)
  const externalId = parameters.get('ExternalId')
  if (externalId !== undefined) checkPattern('externalId', externalId, /^[\w+=,.@:/-]*$/, '[\\w+=,.@:\\/-]*', 1224)
  const sourceIdentity = parameters.get('SourceIdentity')
  if (sourceIdentity !== undefined) checkPattern('sourceIdentity', sourceIdentity, /^[\w+=,.@-]*$/, '[\\w+=,.@-]*', 64)
  const inline = parameters.get('Policy')
  const byArn = list(parameters, 'PolicyArns.member').map((member) => {
    const policy = findManagedPolicy(member.get('arn') ?? '')
    if (!policy) throw validation('The requested policy does not exist.')
    return policy
  })
  return {
    roleArn,
    sessionName,
    externalId,
    sourceIdentity,
    tags: new Map(list(parameters, 'Tags.member').map((tag) => [tag.get('Key') ?? '', tag.get('Value') ?? ''])),
    transitiveTagKeys: list(parameters, 'TransitiveTagKeys.member').map((key) => key.get('') ?? ''),
    policies: [...(inline === undefined ? [] : [parsePolicy(inline, 'identity')]), ...byArn],
  }
}

function checkPattern(field: string, value: string, pattern: RegExp, shown: string, longest: number): void {
  const failed = (constraint: string): AwsError =>
    validation(
      `1 validation error detected: Value '${value}' at '${field}' failed to satisfy constraint: Member must ${constraint}`,
    )
  if (value.length < 2) throw failed('have length greater than or equal to 2')
  if (value.length > longest) throw failed(`have length less than or equal to ${longest}`)
  if (!pattern.test(value)) throw failed(`satisfy regular expression pattern: ${shown}`)
}

function sessionSeconds(parameters: Parameters, role: Role, chained: boolean): number {
  const seconds = durationOf(parameters, { fallback: 3600, longest: 43_200 })
  if (chained && seconds > chainedSeconds) {
    throw validation(
      'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining',
    )
  }
  if (seconds > role.maxSessionSeconds) {
    throw validation('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
  }
  return seconds
}

function durationOf(parameters: Parameters, { fallback, longest }: { fallback: number; longest: number }): number {
  const text = parameters.get('DurationSeconds') ?? String(fallback)
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(seconds)) throw new AwsError('MalformedInput', 400, `${text.slice(0, 64)} is not an integer`)
  if (seconds >= 900 && seconds <= longest) return seconds
  const bound = seconds < 900 ? 'greater than or equal to 900' : `less than or equal to ${longest}`
  throw validation(
    `1 validation error detected: Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value ${bound}`,
  )
}

interface SessionSettings {
  readonly account: Account
  readonly role: Role
  readonly request: AssumeRequest
  readonly call: Call
  readonly origin: SessionPrincipal['origin']
  readonly chained: boolean
  readonly tags: ReadonlyMap<string, string>
  readonly sourceIdentity: string | undefined
}

function sessionOf(settings: SessionSettings): SessionPrincipal {
  const { account, role, request, call, origin, chained, tags, sourceIdentity } = settings
  const { sessionName, policies, transitiveTagKeys } = request
  return {
    kind: 'session',
    account,
    role,
    sessionName,
    arn: `arn:${account.partition}:sts::${account.id}:assumed-role/${role.name}/${sessionName}`,
    userId: `${role.id}:${sessionName}`,
    origin,
    chained,
    policies,
    sourceIdentity,
    tags,
    transitiveTagKeys,
    issuedAt: call.now,
  }
}

interface Remembered {
  readonly role: Role
  readonly request: AssumeRequest
  readonly seconds: number
  readonly caller: string
  readonly tags: ReadonlyMap<string, string>
  readonly sourceIdentity: string | undefined
}

function remember({ role, request, seconds, caller, tags, sourceIdentity }: Remembered): AssumedRole {
  const { sessionName, externalId } = request
  return {
    role: role.name,
    roleArn: role.arn,
    sessionName,
    externalId,
    durationSeconds: seconds,
    caller,
    sourceIdentity,
    tags: Object.fromEntries(tags),
  }
}

function credentialsXml({ accessKeyId, secretAccessKey, sessionToken, expiration }: AccessKey): XmlValue {
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey.reveal(),
    SessionToken: sessionToken?.reveal(),
    Expiration: expiration?.toISOString().replace('.000Z', 'Z'),
  }
}
