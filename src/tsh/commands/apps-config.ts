import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatTable, formatYaml } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import type { Login } from '#client/active-login.ts'
import { type AppLogin, listAppLogins } from '#client/app-session.ts'
import { proxyUrl } from '#client/proxy-address.ts'
import { NotFound } from '#errors.ts'
import { getLogin } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

/** `tsh apps config`: where the files of an app login are, for other programs. */
export function appsConfigCommand(deps: TshDeps): Command {
  const command = new Command('config')
    .description('show where key, certificate and address of an app are')
    .argument('[app]', 'name of the app, when you are logged in to several')
    .option('-f, --format <format>', 'default, uri, ca, cert, key, curl, json or yaml', 'default')
    .action(async (app: string | undefined, options: { format: string }, self: Command) => {
      const login = await getLogin(deps, self)
      const found = chooseLogin(await listAppLogins(login), app)
      deps.terminal.stdout.write(await appConfigText(found, { login, format: options.format }))
    })
  return addExamples(command, [
    { command: 'curl --cert $(tsh apps config -f cert) …', says: 'a path for another program' },
  ])
}

/** The login that is meant. @throws {NotFound} @throws {UsageError} when several are there and none is named */
function chooseLogin(logins: readonly AppLogin[], app: string | undefined): AppLogin {
  const [only, ...more] = app === undefined ? logins : logins.filter((each) => each.app === app)
  if (only === undefined) {
    throw app === undefined || logins.length === 0
      ? new NotFound("please login using 'tsh apps login' first", { hint: 'run "tsh apps ls" to see the apps' })
      : new NotFound(`not logged into app ${JSON.stringify(app)}`, { hint: `run "tsh apps login ${app}"` })
  }
  if (more.length > 0) {
    const names = logins.map((each) => each.app).join(', ')
    throw new UsageError(`multiple apps are available (${names}), please specify one via CLI argument`, {
      hint: `run "tsh apps config ${only.app}", for example`,
    })
  }
  return only
}

/** The text of `tsh apps config` in one of its formats. @throws {UsageError} for another format */
async function appConfigText(
  found: AppLogin,
  { login, format }: { login: Pick<Login, 'profile' | 'keys'>; format: string },
): Promise<string> {
  const facts = factsOf(found, login)
  switch (format.toLowerCase()) {
    case '':
    case 'default':
      return formatTable({ rows: tableRows(facts) })
    case 'uri':
    case 'ca':
    case 'cert':
    case 'key':
    case 'curl':
      return `${facts[format.toLowerCase() as 'uri' | 'ca' | 'cert' | 'key' | 'curl']}\n` // one of the cases above
    case 'json':
      return formatJson(facts)
    case 'yaml':
      return formatYaml(facts)
    case 'aws-credential-process':
      return '' // only an app of Roles Anywhere has credentials in its certificate
    default:
      throw new UsageError(
        `invalid format, expected one of [uri ca cert key curl json yaml], got ${JSON.stringify(format)}`,
        {
          hint: 'leave --format out for a table',
        },
      )
  }
}

interface AppFacts {
  readonly name: string
  readonly uri: string
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly curl: string
  readonly aws_role_arn?: string
  readonly azure_identity?: string
}

function factsOf({ app, route, paths }: AppLogin, { profile, keys }: Pick<Login, 'profile' | 'keys'>): AppFacts {
  const uri = proxyUrl({ host: route.publicAddr, port: profile.proxy.port })
  const insecure = profile.isInsecure ? '--insecure ' : ''
  const curl = `curl ${insecure}\\\n  --cert ${JSON.stringify(paths.certificate)} \\\n  --key ${JSON.stringify(paths.key)} \\\n  ${uri}`
  return {
    name: app,
    uri,
    ca: keys.paths.hostAuthorities(profile.cluster),
    cert: paths.certificate,
    key: paths.key,
    curl,
    ...(route.awsRoleArn === undefined ? {} : { aws_role_arn: route.awsRoleArn }),
    ...(route.azureIdentity === undefined ? {} : { azure_identity: route.azureIdentity }),
  }
}

function tableRows({
  name,
  uri,
  ca,
  cert,
  key,
  aws_role_arn,
  azure_identity,
}: AppFacts): readonly (readonly string[])[] {
  return [
    ['Name:     ', name],
    ['URI:', uri],
    ['CA:', ca],
    ['Cert:', cert],
    ['Key:', key],
    ...(aws_role_arn === undefined ? [] : [['AWS ARN:', aws_role_arn]]),
    ...(azure_identity === undefined ? [] : [['Azure Id:', azure_identity]]),
  ]
}
