import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { Command, Option } from 'commander'
import { addExamples, collectList } from '#cli/command.ts'
import { parseFormat } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import type { AppLogin } from '#client/app-session.ts'
import { writePrivateFile } from '#client/private-file.ts'
import type { AwsLocalProxy } from '#local-proxy/aws.ts'
import { credentialsFile } from '#local-proxy/aws-environment.ts'
import { awsFormats, awsProxyText } from '#local-proxy/aws-formats.ts'
import { openAwsApp, openAwsProxy } from '#tsh/aws-proxy.ts'
import { openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

interface ProxyAwsOptions {
  readonly app?: readonly string[]
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
    .option('--app <name>', 'AWS app to use; give it again for more, each gets an AWS profile', collectList)
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
      await using session = await openClusterSession(deps, self)
      const [first = undefined, ...rest] = options.app ?? []
      const apps: [AppLogin, ...AppLogin[]] = [await openAwsApp(deps, session, first)]
      for (const name of new Set(rest.filter((name) => name !== first)))
        apps.push(await openAwsApp(deps, session, name))
      await using proxy = await openAwsProxy(deps, session, { apps, port })
      const app = apps[0].app
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
          ...(apps.length === 1 ? {} : { profiles: await writeProfiles(proxy, apps) }),
        }),
      )
      if (!deps.signal.aborted) await once(deps.signal, 'abort')
    })
  return addExamples(command, [
    { command: 'tsh proxy aws --port 23456', says: 'on a port that stays the same' },
    { command: 'tsh proxy aws --app staging --app production', says: 'two accounts at once, each as an AWS profile' },
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

/** A credentials file of our own beside the app's files: the user's own AWS files stay as they are. */
async function writeProfiles(
  proxy: AwsLocalProxy,
  apps: readonly AppLogin[],
): Promise<{ file: string; names: readonly string[] }> {
  const file = join(dirname(proxy.caFile), 'aws-profiles.ini')
  const names = apps.map(({ app }) => app)
  await writePrivateFile(file, credentialsFile(names.map((name) => ({ name, credentials: proxy.credentialsOf(name) }))))
  return { file, names }
}
