/** Who signed a request, as policies see them. */
import type { Account, Role, User } from './account.ts'
import type { RequestContext } from './condition.ts'
import type { Policy, PrincipalPattern } from './policy.ts'

interface Caller {
  readonly account: Account
  /** What `GetCallerIdentity` says. */
  readonly arn: string
  /** `AIDA…`, or `AROA…:session` for a session. */
  readonly userId: string
}

/** A user, with long-term keys or with those of `GetSessionToken`. */
export interface UserPrincipal extends Caller {
  readonly kind: 'user'
  readonly user: User
  readonly temporary: boolean
}

/** A session of a role. */
export interface SessionPrincipal extends Caller {
  readonly kind: 'session'
  readonly role: Role
  readonly sessionName: string
  /** Where the session comes from: role chaining is limited, except from an instance's own role. */
  readonly origin: 'assume-role' | 'web-identity' | 'instance'
  /** Made with the keys of another session of a role, an instance's own one not counted. */
  readonly chained: boolean
  /** Session policies, which only ever narrow. */
  readonly policies: readonly Policy[]
  readonly sourceIdentity: string | undefined
  readonly tags: ReadonlyMap<string, string>
  readonly transitiveTagKeys: readonly string[]
  readonly issuedAt: Date
}

/** A user or a session. Nobody signs as the root of an account here. */
export type Principal = UserPrincipal | SessionPrincipal

/** Facts of the request that conditions may ask for, beside those of the caller. */
export interface RequestFacts {
  readonly now: Date
  readonly region: string
  readonly sourceIp: string
  readonly userAgent: string | undefined
}

/** `aws:PrincipalArn`: the user's or the role's own ARN, never that of the session. */
function principalArn(principal: Principal): string {
  return principal.kind === 'user' ? principal.user.arn : principal.role.arn
}

/** The condition keys that every request has. `more` adds those of one operation. */
export function contextOf(
  principal: Principal,
  facts: RequestFacts,
  more: Readonly<Record<string, string | readonly string[] | undefined>> = {},
): RequestContext {
  const context = new Map<string, string | readonly string[]>([
    ['aws:currenttime', facts.now.toISOString()],
    ['aws:epochtime', String(Math.floor(facts.now.getTime() / 1000))],
    ['aws:requestedregion', facts.region],
    ['aws:securetransport', 'true'],
    ['aws:sourceip', facts.sourceIp],
    ['aws:principalaccount', principal.account.id],
    ['aws:principalarn', principalArn(principal)],
    ['aws:principaltype', principal.kind === 'user' ? 'User' : 'AssumedRole'],
    ['aws:userid', principal.userId],
  ])
  const set = (key: string, value: string | readonly string[] | undefined): void => {
    if (value !== undefined) context.set(key.toLowerCase(), value)
  }
  set('aws:useragent', facts.userAgent)
  const tags = principal.kind === 'user' ? principal.user.tags : new Map([...principal.role.tags, ...principal.tags])
  for (const [key, value] of tags) set(`aws:PrincipalTag/${key}`, value)
  if (principal.kind === 'user') {
    set('aws:username', principal.user.name)
    if (principal.temporary) set('aws:MultiFactorAuthPresent', 'false')
  } else {
    set('aws:SourceIdentity', principal.sourceIdentity)
    set('aws:TokenIssueTime', principal.issuedAt.toISOString())
    set('aws:MultiFactorAuthPresent', 'false')
  }
  for (const [key, value] of Object.entries(more)) set(key, value)
  return context
}

/**
 * How a trust policy's `AWS` principal speaks of the caller: by name (which grants on its own within an account), by
 * account (which hands the decision to the caller's own policies), or not at all.
 *
 * @see IAM User Guide, "AWS JSON policy elements: Principal"
 */
export function namesPrincipal(pattern: PrincipalPattern, principal: Principal): 'itself' | 'account' | undefined {
  if (pattern.kind !== 'AWS') return undefined
  const { value } = pattern
  if (value === '*' || value === principal.arn || value === principalArn(principal)) return 'itself'
  const { id, partition } = principal.account
  return value === id || value === `arn:${partition}:iam::${id}:root` ? 'account' : undefined
}
