import { unreachable } from '#errors.ts'

/** The answer to "may they?", with its reason. A denial is a value: the edge makes it an error. */
export type Decision =
  | { readonly allowed: true; readonly grantedBy: readonly string[] }
  | {
      readonly allowed: false
      readonly reason: DenyReason
      /** Role that denies: one of the caller's own, for the log alone. */
      readonly deniedBy?: string
      /** What was asked of a kind of resource: `{ verb: 'create', kind: 'role' }`. */
      readonly action?: { readonly verb: string; readonly kind: string }
    }

/** Why not. `explain` in this file turns each into a sentence for the caller. */
type DenyReason =
  | 'denied-by-role'
  | 'no-role-matches'
  | 'aws-role-not-allowed'
  | 'azure-identity-not-allowed'
  | 'gcp-account-not-allowed'
  | 'mfa-required'
  | 'device-required'
  | 'rule-missing'
  | 'role-unreadable'

/**
 * Why a caller may not, and what is missing, for the caller: names fields of roles and never roles.
 * Empty for a decision that allows.
 */
export function explain(decision: Decision): string {
  if (decision.allowed) return ''
  const { reason, action } = decision
  const verb = action ? `perform action ${JSON.stringify(action.verb)} on ${JSON.stringify(action.kind)}` : ''
  switch (reason) {
    case 'denied-by-role':
      return action
        ? `access denied to ${verb}: a deny rule of one of your roles forbids it`
        : 'one of your roles denies it'
    case 'rule-missing':
      return `access denied to ${verb}: none of your roles has it in allow.rules`
    case 'no-role-matches':
      return 'none of your roles has allow.app_labels that match the labels of this app'
    case 'aws-role-not-allowed':
      return 'none of your roles whose allow.app_labels match this app lists this ARN in allow.aws_role_arns'
    case 'azure-identity-not-allowed':
      return 'none of your roles whose allow.app_labels match this app lists this identity in allow.azure_identities'
    case 'gcp-account-not-allowed':
      return 'none of your roles whose allow.app_labels match this app lists this account in allow.gcp_service_accounts'
    case 'mfa-required':
      return 'access to resource requires MFA'
    case 'device-required':
      return 'access to resource requires a trusted device'
    case 'role-unreadable':
      return 'one of your roles was written by a newer version and cannot be read here, so what it allows does not count'
    default:
      throw unreachable(reason)
  }
}
