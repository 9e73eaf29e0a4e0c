import { Command } from 'commander'
import { chooseRole, roleCandidates } from '#aws/role.ts'
import { addExamples } from '#cli/command.ts'
import { formatTable } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { findApp, findAppLogin, isAppLoginValid, loginToApp } from '#client/app-session.ts'
import { proxyUrl } from '#client/proxy-address.ts'
import { type AppView, viewApp } from '#client/visible-app.ts'
import { AccessDenied, NotFound } from '#errors.ts'
import { type ClusterSession, openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

interface LoginOptions {
  readonly awsRole?: string
  readonly azureIdentity?: string
  readonly targetPort?: number
  readonly quiet?: boolean
}

/** `tsh apps login`: a certificate that opens one app as one cloud principal. */
export function appsLoginCommand(deps: TshDeps): Command {
  const command = new Command('login')
    .description('log in to an app')
    .argument('<app>', 'name of the app, as "tsh apps ls" shows it')
    .option('--aws-role <role>', 'AWS role to use: its name or its ARN')
    .option('--azure-identity <identity>', 'Azure managed identity to use: its resource id')
    .option('--target-port <port>', 'port of a TCP app with several', Number)
    .option('-q, --quiet', 'print nothing on success')
    .action(async (app: string, options: LoginOptions, self: Command) => {
      await using session = await openClusterSession(deps, self)
      await logIntoApp(deps, session, { app, options })
    })
  return addExamples(command, [
    {
      command: 'tsh apps login --aws-role ExampleReadOnlyAccess awsconsole',
      says: 'an AWS app, with one of your roles',
    },
    {
      command: 'tsh apps login --aws-role arn:aws:iam::123456789012:role/Admin awsconsole',
      says: 'another role of it',
    },
  ])
}

/**
 * Logs in to an app and says so. A valid login to it is kept, unless another principal is asked for.
 *
 * @throws {NotFound} `app "x" not found, …`
 * @throws {UsageError} when the role is missing, unknown or ambiguous; the candidates are printed before
 */
async function logIntoApp(
  deps: TshDeps,
  { login, connection }: ClusterSession,
  { app: name, options }: { app: string; options: LoginOptions },
): Promise<void> {
  const visible = await findApp(connection, name)
  if (visible === undefined) {
    throw new NotFound(`app ${JSON.stringify(name)} not found, use \`tsh apps ls\` to see registered apps`, {
      hint: 'if it should be there, ask for a role whose app_labels match it, then run "tsh logout" and log in again',
    })
  }
  const app = viewApp(visible, login.profile.proxy.host)
  if (options.targetPort !== undefined) {
    throw new UsageError(
      `cannot specify target port ${options.targetPort} because app ${JSON.stringify(name)} does not provide access to multiple ports`,
      { hint: 'leave --target-port out' },
    )
  }
  const found = await findAppLogin(login, name).catch(() => undefined)
  const valid = found !== undefined && isAppLoginValid(found, deps.clock()) ? found : undefined
  const keepsRole = options.awsRole === undefined && options.azureIdentity === undefined
  if (valid === undefined || !keepsRole) {
    const awsRoleArn = app.cloud === 'AWS' ? chooseAwsRole(deps, app, options.awsRole) : undefined
    const isOpen = valid !== undefined && valid.route.awsRoleArn === awsRoleArn && options.azureIdentity === undefined
    if (!isOpen) {
      await loginToApp(login, connection, {
        app: name,
        ...(awsRoleArn === undefined ? {} : { awsRoleArn }),
        ...(options.azureIdentity === undefined ? {} : { azureIdentity: options.azureIdentity }),
      })
    }
  }
  if (options.quiet === true) return
  const made = await findAppLogin(login, name)
  deps.terminal.stdout.write(
    app.cloud === 'AWS'
      ? awsSuccessText(name, made?.route.awsRoleArn ?? '')
      : httpSuccessText(app, {
          certificate: made?.paths.certificate ?? '',
          key: made?.paths.key ?? '',
          proxy: login.profile.proxy,
        }),
  )
}

/** What the guide shows after a login to an AWS app. */
function awsSuccessText(app: string, roleArn: string): string {
  return [
    `Logged into AWS app ${JSON.stringify(app)}.`,
    '',
    'Your IAM role:',
    `  ${roleArn}`,
    '',
    'Example AWS CLI command:',
    '  tsh aws s3 ls',
    '',
    'Or start a local proxy:',
    `  tsh proxy aws --app ${app}`,
    '',
  ].join('\n')
}

/** Resolves `--aws-role` among the roles that the cluster offers for this app, printing them where none is chosen. */
function chooseAwsRole({ terminal, log }: TshDeps, app: AppView, requested: string | undefined): string {
  const { roles, invalid } = roleCandidates(app.awsRoleArns, app.labels.aws_account_id)
  if (invalid.length > 0) log.warn('roles of yours are no IAM roles', { invalid })
  const choice = chooseRole(requested, roles)
  if (choice.found) {
    if (choice.byDefault) log.info('the only role is selected', { role: choice.role.arn })
    return choice.role.arn
  }
  if (choice.show.length > 0) {
    const rows = choice.show.map(({ display, arn }) => [display, arn])
    terminal.stdout.write(`Available AWS roles:\n${formatTable({ headers: ['Role Name', 'Role ARN'], rows })}\n`)
  } else if (roles.length === 0) {
    throw new AccessDenied(choice.message, {
      hint: `none of your Teleport roles allows an AWS role for app "${app.name}": ask for one whose aws_role_arns has it, then log out and in again`,
    })
  }
  throw new UsageError(choice.message, {
    hint: `run "tsh apps login --aws-role ROLE ${app.name}" with one of these roles`,
  })
}

function httpSuccessText(
  app: AppView,
  { certificate, key, proxy }: { certificate: string; key: string; proxy: Parameters<typeof proxyUrl>[0] },
): string {
  if (app.protocol === 'TCP') {
    return `Logged into TCP app ${app.name}. Start a local proxy for it:\n\n  tsh proxy app ${app.name}\n`
  }
  const url = proxyUrl({ host: app.publicAddr, port: proxy.port })
  return [
    `Logged into app ${app.name}. Example curl command:`,
    '',
    'curl \\',
    `  --cert ${JSON.stringify(certificate)} \\`,
    `  --key ${JSON.stringify(key)} \\`,
    `  ${url}`,
    '',
  ].join('\n')
}
