/** AWS Identity and Access Management: what is created here is what is enforced. @see IAM API Reference */
import type { Account } from './account.ts'
import { AwsError } from './aws-error.ts'
import { type AwsService, type Call, callerOf, deniedText, mustBeAllowed, questionOf } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import { iamPolicyOperations } from './iam-policies.ts'
import { iamProfileOperations } from './iam-profiles.ts'
import { iamRoleOperations } from './iam-roles.ts'
import { iamUserOperations } from './iam-users.ts'
import { type Parameters, type QueryOperation, queryService } from './query-service.ts'
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

const operations: Readonly<Record<string, IamOperation>> = {
  ...iamRoleOperations,
  ...iamPolicyOperations,
  ...iamProfileOperations,
  ...iamUserOperations,
}

/** The service over the keys of all accounts. */
export function iam(keys: AccessKeys): AwsService {
  return queryService({
    name: 'iam',
    version: '2010-05-08',
    namespace: 'https://iam.amazonaws.com/doc/2010-05-08/',
    operations: Object.fromEntries(
      Object.entries(operations).map(([name, operation]): [string, QueryOperation] => [
        name,
        (call, parameters) => {
          const { principal } = callerOf(call)
          const iamCall: IamCall = { account: principal.account, parameters, call, keys }
          const question = questionOf(call, `iam:${name}`, operation.resource(iamCall), operation.context?.(iamCall))
          mustBeAllowed(
            call,
            question,
            (because) => new AwsError('AccessDenied', 403, deniedText(principal, question, because)),
          )
          return operation.run(iamCall)
        },
      ]),
    ),
  })
}
