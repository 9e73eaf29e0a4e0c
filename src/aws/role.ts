/** Which IAM role a user means: candidates from the ARNs they may use, and `--aws-role` among them. */
import { InvalidArn, parseRoleArn, type RoleArn } from './arn.ts'

/** Roles to choose from, and what could not be read as a role. */
export interface RoleCandidates {
  /** By display name, case-insensitive. */
  readonly roles: readonly RoleArn[]
  readonly invalid: readonly string[]
}

/** The role, or why there is none: `show` are the candidates to print before the message. */
export type RoleChoice =
  | { readonly found: true; readonly role: RoleArn; readonly byDefault: boolean }
  | { readonly found: false; readonly message: string; readonly show: readonly RoleArn[] }

/** @param accountId keeps only roles of this account, as the app's label `aws_account_id` asks for; left out or empty: all */
export function roleCandidates(arns: readonly string[], accountId?: string): RoleCandidates {
  const roles: RoleArn[] = []
  const invalid: string[] = []
  for (const arn of new Set(arns)) {
    try {
      roles.push(parseRoleArn(arn))
    } catch (error) {
      if (!(error instanceof InvalidArn)) throw error
      invalid.push(arn)
    }
  }
  const fitting = roles.filter((role) => accountId === undefined || accountId === '' || role.accountId === accountId)
  return { roles: fitting.toSorted((a, b) => compare(a.display.toLowerCase(), b.display.toLowerCase())), invalid }
}

/** Resolves what the user typed for `--aws-role`: nothing, a full ARN, or a role name with or without its path. */
export function chooseRole(requested: string | undefined, candidates: readonly RoleArn[]): RoleChoice {
  if (requested === undefined || requested === '') {
    const [only, ...more] = candidates
    if (only !== undefined && more.length === 0) return { found: true, role: only, byDefault: true }
    return { found: false, message: '--aws-role flag is required', show: candidates }
  }
  if (requested.startsWith('arn:')) {
    const role = candidates.find(({ arn }) => arn === requested)
    if (role !== undefined) return { found: true, role, byDefault: false }
    return { found: false, message: `failed to find the ${JSON.stringify(requested)} role ARN`, show: candidates }
  }
  const matches = candidates.filter(({ name, display }) => name === requested || display === requested)
  const [role] = matches
  if (role === undefined) {
    return { found: false, message: `failed to find the ${JSON.stringify(requested)} role name`, show: candidates }
  }
  if (matches.length === 1) return { found: true, role, byDefault: false }
  const message = `provided role name ${JSON.stringify(requested)} is ambiguous, please specify full role ARN`
  return { found: false, message, show: matches }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
