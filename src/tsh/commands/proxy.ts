import { once } from 'node:events'
import { Command, Option } from 'commander'
import { addExamples, collectList } from '#cli/command.ts'
import { parseFormat } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { type AwsConfigFiles, awsConfigFiles, dropAwsProfiles, writeAwsProfiles } from '#client/aws-config.ts'
import type { AwsLocalProxy } from '#local-proxy/aws.ts'
import { awsFormats, awsProxyText } from '#local-proxy/aws-formats.ts'
import { type AwsTarget, listAwsTargets, openAwsTargets } from '#tsh/aws-apps.ts'
import { openAwsProxy } from '#tsh/aws-proxy.ts'
import { openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

interface ProxyAwsOptions {
  readonly app?: readonly string[]
  readonly all?: boolean
  readonly awsRole?: string
  readonly undo?: boolean
  readonly port?: string
  readonly format: string
  readonly endpointUrl?: boolean
}

/** `tsh proxy`: local proxies that run until they are interrupted. */
export function proxyCommand(deps: TshDeps): Command {
  return new Command('proxy').description('run a local proxy').addCommand(proxyAwsCommand(deps))
}

function proxyAwsCommand(deps: TshDeps): Command {
  const command = new Command('aws')
    .description('run a local proxy for AWS clients and SDKs')
    .option(
      '--app <name>',
      'AWS app to use, with NAME=ROLE as one of its roles; give it again for more, each gets an AWS profile',
      collectList,
    )
    .option('--all', 'every AWS app that you may use, each as an AWS profile; one for each role where you have several')
    .option('--aws-role <role>', 'AWS role to use, for apps that are named without one: its name or its ARN')
    .option('--undo', 'remove the AWS profiles from the AWS config file, and start nothing')
    .option('-p, --port <port>', 'port of the proxy; any free one unless given')
    .option('-f, --format <format>', awsFormats.join(', '), process.platform === 'win32' ? 'powershell' : 'unix')
    .addOption(new Option('-e, --endpoint-url', 'no longer supported').hideHelp())
    .action(async (options: ProxyAwsOptions, self: Command) => {
      if (options.endpointUrl === true) {
        throw new UsageError('--endpoint-url is no longer supported, use HTTPS proxy instead (default mode)', {
          hint: 'leave --endpoint-url out',
        })
      }
      const format = parseFormat(options.format, awsFormats)
      const port = parsePort(options.port)
      const files = awsConfigFiles(deps.env, deps.userHome)
      if (options.undo === true) return undo(deps, files)
      if (options.all === true && options.app !== undefined) {
        throw new UsageError('--all and --app exclude each other', { hint: 'leave one of them out' })
      }
      await using session = await openClusterSession(deps, self)
      const { app: apps = [], awsRole } = options
      const targets = await (options.all === true
        ? listAwsTargets(session, awsRole)
        : openAwsTargets(deps, session, { apps, awsRole }))
      await using proxy = await openAwsProxy(deps, session, { targets, port })
      const hasProfiles = options.all === true || targets.length > 1
      if (hasProfiles) await writeProfiles(proxy, targets, files)
      const app = targets[0].profile
      const {
        TELEPORT_AWS_REGION: region,
        TELEPORT_AWS_KEYSTORE: keystore,
        TELEPORT_AWS_WORKGROUP: workgroup,
      } = deps.env
      deps.terminal.stdout.write(
        awsProxyText({
          format,
          app,
          facts: { url: proxy.url, caFile: proxy.caFile, credentials: proxy.credentialsOf(app) },
          isRandomPort: port === 0,
          athena: { region: region || undefined, keystore: keystore || undefined, workgroup: workgroup || undefined },
          ...(hasProfiles ? { profiles: { file: files.config, names: targets.map(({ profile }) => profile) } } : {}),
        }),
      )
      if (!deps.signal.aborted) await once(deps.signal, 'abort')
    })
  return addExamples(command, [
    { command: 'tsh proxy aws --port 23456', says: 'on a port that stays the same' },
    { command: 'tsh proxy aws --app staging --app production', says: 'two accounts at once, each as an AWS profile' },
    { command: 'tsh proxy aws --app staging=Reader --app staging=Admin', says: 'two roles of one app at once' },
    { command: 'tsh proxy aws --all --port 23456', says: 'every account that you may use' },
  ])
}

/** 0 for any free one. @throws {UsageError} */
export function parsePort(text: string | undefined): number {
  const port = Number(text ?? '0')
  if (!/^\d{1,5}$/.test(text ?? '0') || port > 65535) {
    throw new UsageError(`${JSON.stringify(text)} is not a port`, { hint: 'use a number from 1 to 65535' })
  }
  return port
}

/** The keys are the same at each start: programs with these profiles go on when the proxy does. */
async function writeProfiles(
  proxy: AwsLocalProxy,
  targets: readonly AwsTarget[],
  files: AwsConfigFiles,
): Promise<void> {
  const profiles = targets.map(({ app, profile }) => {
    const { accessKeyId, secretAccessKey } = proxy.credentialsOf(profile)
    return {
      name: profile,
      app,
      settings: [
        ['aws_access_key_id', accessKeyId],
        ['aws_secret_access_key', secretAccessKey.reveal()],
        ['ca_bundle', proxy.caFile],
      ],
    } as const
  })
  await writeAwsProfiles(files, profiles)
}

async function undo({ terminal }: TshDeps, files: AwsConfigFiles): Promise<void> {
  const { removed, kept } = await dropAwsProfiles(files)
  terminal.stdout.write(`Removed ${removed.length} of our sections from ${files.config}.\n`)
  for (const title of kept)
    terminal.stderr.write(`WARNING: section ${JSON.stringify(title)} contains other keys and stays\n`)
}
