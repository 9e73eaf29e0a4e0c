/**
 * Commands of the AWS CLI that only sign and call nobody. What they sign with placeholders is signed anew when it comes
 * back through us, and is worth nothing elsewhere: the user hears so, and what to do instead.
 */

interface OfflineCommand {
  /** What the command prints. */
  readonly what: string
  /** Where it still works, or what to do instead. */
  readonly instead: string
}

/**
 * What to say of a command line before it runs; nothing for commands that call AWS.
 *
 * @param program as it is started: `aws`, `/usr/local/bin/aws`
 */
export function offlineWarning(program: string, args: readonly string[]): readonly string[] {
  if (!/(^|[/\\])aws(\d|-v\d)?(\.exe)?$/.test(program)) return []
  const command = COMMANDS[commandOf(args).join(' ')]
  return command === undefined
    ? []
    : [
        `${command.what} is signed with placeholder keys: it works through "tsh aws" and "tsh proxy aws", and nowhere else. ${command.instead}`,
      ]
}

/** Service and operation: the first two words that are no options of the AWS CLI, and not the values of such. */
function commandOf(args: readonly string[]): readonly string[] {
  const words: string[] = []
  for (let index = 0; index < args.length && words.length < 2; index++) {
    const word = args[index] ?? ''
    if (!word.startsWith('-')) words.push(word)
    else if (!word.includes('=') && TAKES_VALUE.has(word)) index++
  }
  return words
}

const DATABASE_TOKEN: OfflineCommand = {
  what: 'this token',
  instead: 'The database would refuse it: use database access, or AWS credentials of your own',
}

const COMMANDS: Readonly<Record<string, OfflineCommand>> = {
  's3 presign': {
    what: 'this URL',
    instead:
      'Fetch it with "tsh aws --exec curl URL". AWS CLI version 1 signs URLs for us-east-1 with signature version 2, which is refused: run "aws configure set default.s3.signature_version s3v4" once',
  },
  'eks get-token': { what: 'this token', instead: 'The cluster would refuse it: use Kubernetes access' },
  'rds generate-db-auth-token': DATABASE_TOKEN,
  'dsql generate-db-connect-auth-token': DATABASE_TOKEN,
  'dsql generate-db-connect-admin-auth-token': DATABASE_TOKEN,
  'codecommit credential-helper': {
    what: 'this password',
    instead:
      'CodeCommit would refuse it: use the git remote helper "codecommit://" of git-remote-codecommit with AWS credentials of your own',
  },
}

/** Options of the AWS CLI that may stand before the service. @see AWS CLI Command Reference "Global options" */
const TAKES_VALUE: ReadonlySet<string> = new Set([
  '--ca-bundle',
  '--cli-binary-format',
  '--cli-connect-timeout',
  '--cli-error-format',
  '--cli-read-timeout',
  '--color',
  '--endpoint-url',
  '--output',
  '--profile',
  '--query',
  '--region',
])
