/** May this caller do this? Identity policies, narrowed by session policies; explicit deny wins. */
import type { Role } from './account.ts'
import { askPolicies, type Question } from './policy.ts'
import { namesPrincipal, type Principal } from './principal.ts'

/** A refusal says why in the words that AWS adds to its messages. */
export type Authorization = { readonly allowed: true } | { readonly allowed: false; readonly because: string }

const granted: Authorization = { allowed: true }

/** What the caller's own policies say. @see IAM User Guide, "Policy evaluation logic" */
export function authorize(principal: Principal, question: Question): Authorization {
  const { account } = principal
  const identity = principal.kind === 'user' ? principal.user : principal.role
  const own = askPolicies(account.policiesOf(identity), question)
  if (own === 'deny') return { allowed: false, because: 'with an explicit deny in an identity-based policy' }
  const narrowed = principal.kind === 'session' && principal.policies.length > 0
  const session = narrowed ? askPolicies(principal.policies, question) : 'allow'
  if (session === 'deny') return { allowed: false, because: 'with an explicit deny in a session policy' }
  if (own === 'silent') {
    return { allowed: false, because: `because no identity-based policy allows the ${question.action} action` }
  }
  if (session === 'silent') {
    return { allowed: false, because: `because no session policy allows the ${question.action} action` }
  }
  return granted
}

/**
 * May this caller assume the role? Its trust policy must say so. In the role's own account a trust policy that names
 * the caller is enough; one that names the account, and any other account, needs the caller's own policies as well.
 */
export function authorizeAssume(principal: Principal, role: Role, account: string, question: Question): Authorization {
  const trust = askPolicies([role.trust], question, (pattern) => namesPrincipal(pattern, principal) !== undefined)
  if (trust === 'deny') return { allowed: false, because: 'with an explicit deny in a resource-based policy' }
  if (trust === 'silent') {
    return { allowed: false, because: `because no resource-based policy allows the ${question.action} action` }
  }
  const own = authorize(principal, question)
  if (own.allowed) return own
  const byName = askPolicies([role.trust], question, (pattern) => namesPrincipal(pattern, principal) === 'itself')
  const silent = own.because.startsWith('because no identity-based')
  return silent && byName === 'allow' && principal.account.id === account ? granted : own
}
