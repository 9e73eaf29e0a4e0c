import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { Command, Option } from 'commander'
import { addExamples } from '#cli/command.ts'
import { ExitWith, UsageError } from '#cli/usage-error.ts'
import { NotFound } from '#errors.ts'
import { childEnvironment } from '#local-proxy/aws-environment.ts'
import { openAwsTargets } from '#tsh/aws-apps.ts'
import { offlineWarning } from '#tsh/aws-offline.ts'
import { openAwsProxy } from '#tsh/aws-proxy.ts'
import { openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

interface AwsOptions {
  readonly app?: string
  readonly awsRole?: string
  readonly exec: string
  readonly endpointUrl?: boolean
}

/** `tsh aws`: runs the AWS CLI, or another program, with the AWS role of an app login. Its exit code becomes ours. */
export function awsCommand(deps: TshDeps): Command {
  const command = new Command('aws')
    .description('run the AWS CLI as your AWS role')
    .argument('[arguments...]', 'arguments of the AWS CLI; options of tsh stand before them')
    .option('--app <name>', 'AWS app to use, when you are logged in to several')
    .option('--aws-role <role>', 'AWS role for this command alone: its name or its ARN')
    .option('--exec <program>', 'program to run instead of the AWS CLI', 'aws')
    .addOption(new Option('-e, --endpoint-url', 'no longer supported').hideHelp())
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (args: string[], options: AwsOptions, self: Command) => {
      if (options.endpointUrl === true) {
        throw new UsageError('--endpoint-url is no longer supported, use HTTPS proxy instead (default mode)', {
          hint: 'leave it out; for the option of the AWS CLI, write it behind its command: tsh aws s3 ls --endpoint-url URL',
        })
      }
      await using session = await openClusterSession(deps, self)
      const { app, awsRole } = options
      const targets = await openAwsTargets(deps, session, { apps: app === undefined ? [] : [app], awsRole })
      await using proxy = await openAwsProxy(deps, session, { targets })
      const { env, warnings } = childEnvironment(deps.env, {
        url: proxy.url,
        caFile: proxy.caFile,
        credentials: proxy.credentialsOf(targets[0].profile),
      })
      for (const warning of [...warnings, ...offlineWarning(options.exec, args)])
        deps.terminal.stderr.write(`WARNING: ${warning}\n`)
      const exitCode = await runChild(options.exec, args, env)
      if (exitCode !== 0) throw new ExitWith(exitCode)
    })
  return addExamples(command, [
    { command: 'tsh aws s3 ls', says: 'list buckets' },
    { command: 'tsh aws --app awsconsole ec2 describe-instances', says: 'with one of several apps' },
    {
      command: 'tsh aws --app awsconsole --aws-role Admin iam list-users',
      says: 'as another of your roles, this once',
    },
    { command: 'tsh aws --exec terraform plan', says: 'another program that speaks to AWS' },
  ])
}

/**
 * Runs a program on this terminal and gives its exit code; 128 and the signal's number if one ended it, as shells do.
 * Ctrl-C is the program's own affair: `aws ssm start-session` hands it on to the remote side. SIGTERM is handed on.
 *
 * @throws {NotFound} when there is no such program
 */
export async function runChild(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(program, args, { env, stdio: 'inherit', shell: false })
  const handOn = (): void => void child.kill('SIGTERM')
  process.on('SIGTERM', handOn)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code !== 'ENOENT' && code !== 'EACCES') throw cause
    throw new NotFound(`exec: ${JSON.stringify(program)}: executable file not found in $PATH`, {
      hint:
        program === 'aws'
          ? 'install the AWS CLI, or name another program with --exec'
          : 'check the name or give its full path',
      cause,
    })
  } finally {
    process.off('SIGTERM', handOn)
  }
}
