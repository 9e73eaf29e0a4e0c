import type { AuthPreference } from '#resources/cluster-config.ts'
import type { TotpRule } from './local-users.ts'

/**
 * Whether a login needs a code: always; only of users who have a device; never.
 * The list `second_factors` wins over the older word, and the default is `otp`.
 * @see the reference's `cluster_auth_preference`
 */
export function totpRuleOf({ spec }: AuthPreference): TotpRule {
  if (spec.second_factors !== undefined && spec.second_factors.length > 0) return 'required'
  switch (spec.second_factor) {
    case 'off':
      return 'off'
    case 'optional':
      return 'optional'
    default:
      return 'required'
  }
}
