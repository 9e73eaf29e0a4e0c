import { partitionOfArn, partitionText } from '#aws/partition.ts'
import { type App, awsConsolePartition } from '#resources/app.ts'

/** What to tell whoever asks for a role of one partition at an app of another. */
export interface PartitionMismatch {
  readonly message: string
  readonly hint: string
}

/**
 * Whether the role can be one of the app's partition, which the console in its URI names: accounts, and with them roles,
 * are of one partition alone. An app without such a URI takes roles of every partition.
 */
export function partitionMismatch(app: App, roleArn: string): PartitionMismatch | undefined {
  const expected = awsConsolePartition(app.spec.uri)
  const partition = partitionOfArn(roleArn)
  if (expected === undefined || partition === undefined || expected === partition) return undefined
  const name = app.metadata.name
  return {
    message: `${roleArn} is a role of AWS partition ${partitionText(partition)}, and app ${JSON.stringify(name)} is of ${partitionText(expected)}`,
    hint: `choose a role whose ARN begins with "arn:${expected}:" for this app, or the app of partition ${partition}`,
  }
}
