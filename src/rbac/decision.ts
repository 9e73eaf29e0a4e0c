/** The answer to "may they?", with its reason. A denial is a value: the edge makes it an error. */
export type Decision =
  | { readonly allowed: true; readonly grantedBy: readonly string[] }
  | { readonly allowed: false; readonly reason: DenyReason; readonly deniedBy?: string }

/** Why not. `explain` in this file turns each into a sentence for the caller. */
export type DenyReason =
  | 'denied-by-role'
  | 'no-role-matches'
  | 'aws-role-not-allowed'
  | 'azure-identity-not-allowed'
  | 'mfa-required'
  | 'role-unreadable'
