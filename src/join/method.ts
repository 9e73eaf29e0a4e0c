/**
 * The seam of the join methods: how a machine proves that it may become a member. Each method is a folder with two halves,
 * `attest.ts` on the machine and `verify.ts` at Auth. What is common to all methods is decided here.
 */
import { AccessDenied } from '#errors.ts'
import { type SystemRole, systemRoles } from '#identity/identity.ts'
import type { JoinMethod, JoinToken } from '#resources/join-token.ts'

/** What a machine sends to prove itself. */
export interface Evidence {
  readonly method: JoinMethod
  /** Name of the token resource; for the method `token` it is the secret itself. */
  readonly token: string
}

/** A claim to membership as it arrives at Auth: nothing in it is true yet. */
export interface JoinAttempt {
  readonly method: string
  readonly token: string
  /** System role asked for. */
  readonly role: string
}

/** Auth's half: checks the evidence against the token that it names. @throws {JoinRefused} */
export type Verify = (attempt: JoinAttempt, context: VerifyContext) => Promise<VerifiedJoin>

interface VerifyContext {
  readonly findToken: (name: string) => Promise<JoinToken | undefined>
  readonly now: Date
}

export interface VerifiedJoin {
  readonly token: JoinToken
  readonly role: SystemRole
}

/**
 * A join that is refused. Who is not a member learns nothing from it: neither which tokens exist, nor what is wrong with one.
 * `reason` is for the log and the audit event.
 */
export class JoinRefused extends AccessDenied {
  readonly reason: JoinRefusal

  constructor(reason: JoinRefusal) {
    super('the join was refused', {
      hint: 'check that the token exists, has not expired, and allows this role and this join method; the audit log at the Auth Service has the reason',
    })
    this.reason = reason
  }
}

export type JoinRefusal =
  | 'no such token'
  | 'token expired'
  | 'wrong join method'
  | 'role not allowed by token'
  | 'unknown role'

/**
 * The checks that every method shares: the token is in force, is for this method and allows the role.
 * @throws {JoinRefused}
 */
export function checkToken(token: JoinToken, { method, role }: JoinAttempt, now: Date): VerifiedJoin {
  const { expires } = token.metadata
  if (expires !== undefined && !(now < new Date(expires))) throw new JoinRefused('token expired')
  if (token.spec.join_method !== method) throw new JoinRefused('wrong join method')
  const known = joinableRoles.find((joinable) => joinable === role)
  if (known === undefined) throw new JoinRefused('unknown role')
  if (!token.spec.roles.some((allowed) => allowed === known)) throw new JoinRefused('role not allowed by token')
  return { token, role: known }
}

/** `Instance` stands for several roles in a certificate, and `Admin` never leaves the Auth host. */
const joinableRoles = systemRoles.filter((role) => role !== 'Instance' && role !== 'Admin')
