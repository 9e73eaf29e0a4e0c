import { InvalidInput } from '#errors.ts'

/** `arn:aws:iam::123456789012:role/team/Reader` in its parts. */
interface Arn {
  /** `aws`, `aws-cn`, `aws-us-gov` … */
  readonly partition: string
  readonly service: string
  /** Empty for global services. */
  readonly region: string
  /** Empty where the resource has no account in its name, as S3 buckets. */
  readonly account: string
  readonly resource: string
}

/** An ARN that names an IAM role, with the names people use for it. */
export interface RoleArn {
  readonly arn: string
  readonly partition: string
  /** Twelve digits. */
  readonly accountId: string
  /** Everything after `role/`: `team/Reader`. */
  readonly name: string
  /** Last part of the name: `Reader`. */
  readonly display: string
}

/** Text that is not the ARN that it has to be. */
export class InvalidArn extends InvalidInput {}

/**
 * Parses `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
 *
 * @throws {InvalidArn}
 * @see AWS "Identify AWS resources with Amazon Resource Names (ARNs)"
 */
function parseArn(text: string): Arn {
  if (text.length > MAX_LENGTH) throw invalid(`invalid AWS ARN: longer than ${MAX_LENGTH} characters`)
  const [, partition, service, region = '', account = '', resource] = ARN.exec(text) ?? []
  if (partition === undefined || service === undefined || resource === undefined) {
    throw invalid(`invalid AWS ARN: ${JSON.stringify(text)}`)
  }
  return { partition, service, region, account, resource }
}

/**
 * Parses the ARN of an IAM role.
 *
 * @throws {InvalidArn} with a text that says which part is wrong
 */
export function parseRoleArn(text: string): RoleArn {
  const { partition, service, account, resource } = parseArn(text)
  const [kind, ...path] = resource.split('/')
  if (service !== 'iam' || kind !== 'role') throw invalid(`${JSON.stringify(text)} is not an AWS IAM role ARN`)
  const display = path.at(-1) ?? ''
  if (display === '') throw invalid(`${JSON.stringify(text)} is missing AWS IAM role name`)
  if (!/^\d{12}$/.test(account)) throw invalid(`${JSON.stringify(text)} invalid account ID: ${JSON.stringify(account)}`)
  return { arn: text, partition, accountId: account, name: path.join('/'), display }
}

const MAX_LENGTH = 2048
const ARN = /^arn:([a-z][a-z0-9-]*):([A-Za-z0-9-]+):([a-z0-9-]*):([A-Za-z0-9-]*):([^\s\p{Cc}]+)$/u

function invalid(message: string): InvalidArn {
  return new InvalidArn(message, { hint: 'write it as arn:aws:iam::123456789012:role/NAME' })
}
