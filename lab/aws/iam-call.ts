/** One IAM request, and what an operation says about itself. */
import type { Account } from './account.ts'
import type { Call } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import type { Parameters } from './query-service.ts'
import type { XmlValue } from './xml.ts'

/** What an operation gets: the caller's own account, its parameters, and who calls. */
export interface IamCall {
  readonly account: Account
  readonly parameters: Parameters
  readonly call: Call
  readonly keys: AccessKeys
}

/** One operation: on what it acts, for the caller's policies, and what it does. */
export interface IamOperation {
  /** ARN of what it acts on; `*` where it lists. */
  readonly resource: (iam: IamCall) => string
  /** Further condition keys, such as `iam:PolicyARN`. */
  readonly context?: (iam: IamCall) => Readonly<Record<string, string | undefined>>
  readonly run: (iam: IamCall) => XmlValue
}
