/** AWS Identity and Access Management: what is created here is what is enforced. @see IAM API Reference */
import { AwsError } from './aws-error.ts'
import { type AwsService, callerOf, deniedText, mustBeAllowed, questionOf } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import type { IamCall, IamOperation } from './iam-call.ts'
import { iamPolicyOperations } from './iam-policies.ts'
import { iamProfileOperations } from './iam-profiles.ts'
import { iamRoleOperations } from './iam-roles.ts'
import { iamUserOperations } from './iam-users.ts'
import { type QueryOperation, queryService } from './query-service.ts'

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
