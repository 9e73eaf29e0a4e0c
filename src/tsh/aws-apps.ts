/** Which apps and roles `tsh aws` and `tsh proxy aws` are to serve. */
import type { RoleArn } from '#aws/arn.ts'
import { chooseRole, roleCandidates } from '#aws/role.ts'
import { formatTable } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import {
  type AppLogin,
  findApp,
  isAppLoginValid,
  listAppLogins,
  listVisibleApps,
  loginToApp,
  validAppLogin,
} from '#client/app-session.ts'
import { type AppView, viewApp } from '#client/visible-app.ts'
import { AccessDenied, NotFound } from '#errors.ts'
import type { ClusterSession } from './cluster-session.ts'
import type { TshDeps } from './deps.ts'

/**
 * One app as one role. `login`: the stored login, whatever role it has. `role`: a role that was named, in a session that
 * nobody else uses: two terminals with two roles of one app do not disturb each other.
 */
export type AwsTarget =
  | { readonly kind: 'login'; readonly app: string; readonly profile: string; readonly login: AppLogin }
  | { readonly kind: 'role'; readonly app: string; readonly profile: string; readonly awsRoleArn: string }

/** What is known of an app login when one is chosen. */
export interface AwsAppChoice {
  readonly app: string
  readonly awsRoleArn?: string | undefined
}

/**
 * Chooses the app among those that the user is logged in to. Only logins with an AWS role count.
 * `login`: there is none of this name yet, so it has to be made.
 *
 * @throws {UsageError} when several fit, or the named one is no AWS app
 * @throws {NotFound} when there is none to choose from
 */
export function chooseAwsApp(
  logins: readonly AwsAppChoice[],
  requested: string | undefined,
): { readonly app: string; readonly login: boolean } {
  if (requested !== undefined) {
    const found = logins.find(({ app }) => app === requested)
    if (found !== undefined && found.awsRoleArn === undefined) {
      throw new UsageError(`selected app ${JSON.stringify(requested)} is not an AWS application`, {
        hint: 'run "tsh apps ls" to see the apps',
      })
    }
    return { app: requested, login: found === undefined }
  }
  const [only, ...more] = logins.filter(({ awsRoleArn }) => awsRoleArn !== undefined)
  if (only === undefined) {
    throw new NotFound("please login to AWS App using 'tsh apps login' first", {
      hint: 'run "tsh apps ls" to see the apps, or name one with --app',
    })
  }
  if (more.length > 0) {
    const names = [only, ...more].map(({ app }) => app).join(', ')
    throw new UsageError(`multiple apps are available (${names}), please specify one via CLI argument`, {
      hint: `add --app ${only.app}, for example`,
    })
  }
  return { app: only.app, login: false }
}

/**
 * The login to the app that is meant, made or renewed where needed.
 *
 * @throws {UsageError} when a role has to be chosen first
 * @throws {NotFound}
 */
async function openAwsApp(
  deps: TshDeps,
  { login, connection }: ClusterSession,
  requested: string | undefined,
): Promise<AppLogin> {
  const stored = await listAppLogins(login)
  const choice = chooseAwsApp(
    stored.map(({ app, route }) => ({ app, awsRoleArn: route.awsRoleArn })),
    requested,
  )
  const now = deps.clock()
  const found = stored.find(({ app }) => app === choice.app)
  if (found !== undefined && isAppLoginValid(found, now)) return found
  if (!choice.login) return validAppLogin(login, () => connection, { app: choice.app, now })
  const role = findRole(deps, await findAwsApp(connection, choice.app), undefined)
  return loginToApp(login, connection, { app: choice.app, awsRoleArn: role.arn })
}

/** What the user asked for. */
export interface AwsAppRequest {
  /** `awsconsole`, or `awsconsole=Reader`. Empty: the one app that the user is logged in to. */
  readonly apps: readonly string[]
  /** Role of the apps that are named without one. */
  readonly awsRole?: string | undefined
}

/**
 * The apps that are named, each as the role that is asked for.
 *
 * @throws {UsageError} when an app or role has to be chosen first, or is named twice
 * @throws {NotFound}
 */
export async function openAwsTargets(
  deps: TshDeps,
  session: ClusterSession,
  { apps, awsRole }: AwsAppRequest,
): Promise<readonly [AwsTarget, ...AwsTarget[]]> {
  const [first = undefined, ...rest] = new Set(apps)
  const targets: [AwsTarget, ...AwsTarget[]] = [await openAwsTarget(deps, session, first, awsRole)]
  for (const text of rest) targets.push(await openAwsTarget(deps, session, text, awsRole))
  const names = targets.map(({ profile }) => profile)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new UsageError(`two of the apps would have the AWS profile ${JSON.stringify(twice)}`, {
      hint: 'name each app and role once',
    })
  }
  return targets
}

/**
 * Every AWS app that the user may open: as the stored login if there is one, as its role if it has one alone, and else
 * once for each role. With `awsRole`, those alone that have this role.
 *
 * @throws {NotFound} when there is none
 */
export async function listAwsTargets(
  { login, connection }: ClusterSession,
  awsRole: string | undefined,
): Promise<readonly [AwsTarget, ...AwsTarget[]]> {
  const logins = new Map((await listAppLogins(login)).map((found) => [found.app, found]))
  const apps = (await listVisibleApps(connection)).map((app) => viewApp(app)).filter(({ cloud }) => cloud === 'AWS')
  const [first, ...rest] = apps
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((app) => targetsOf(app, logins.get(app.name), awsRole))
  if (first !== undefined) return [first, ...rest]
  throw new NotFound(
    awsRole === undefined
      ? 'there is no AWS app that you may use'
      : `no app offers you the AWS role ${JSON.stringify(awsRole)}`,
    { hint: 'run "tsh apps ls" to see the apps; ask for a role whose app_labels and aws_role_arns match' },
  )
}

/** The targets of one app for `--all`. */
export function targetsOf(
  app: Pick<AppView, 'name' | 'awsRoleArns' | 'labels'>,
  login: AppLogin | undefined,
  awsRole: string | undefined,
): readonly AwsTarget[] {
  const { roles } = roleCandidates(app.awsRoleArns, app.labels.aws_account_id)
  const target = (role: RoleArn, profile = roleProfile(app.name, role, roles)): AwsTarget => ({
    kind: 'role',
    app: app.name,
    profile,
    awsRoleArn: role.arn,
  })
  if (awsRole !== undefined) {
    const isMeant = ({ arn, name, display }: RoleArn): boolean => [arn, name, display].includes(awsRole)
    return roles.filter(isMeant).map((role) => target(role))
  }
  const stored = login?.route.awsRoleArn === undefined ? undefined : login
  const own: readonly AwsTarget[] =
    stored === undefined ? [] : [{ kind: 'login', app: app.name, profile: app.name, login: stored }]
  const [only, ...more] = roles
  if (only !== undefined && more.length === 0) return stored === undefined ? [target(only, app.name)] : own
  return [...own, ...roles.map((role) => target(role))]
}

/** `awsconsole-Reader`; with the account where two of the app's roles have one name, with the path where that is not enough. */
function roleProfile(app: string, role: RoleArn, all: readonly RoleArn[]): string {
  const like = all.filter(({ display, arn }) => display === role.display && arn !== role.arn)
  if (like.length === 0) return `${app}-${role.display}`
  const isAlone = like.every(({ accountId }) => accountId !== role.accountId)
  return `${app}-${role.accountId}-${isAlone ? role.display : role.name.replaceAll('/', '.')}`
}

async function openAwsTarget(
  deps: TshDeps,
  session: ClusterSession,
  requested: string | undefined,
  awsRole: string | undefined,
): Promise<AwsTarget> {
  const [, name = requested, named = awsRole] = /^([^=]*)=(.+)$/.exec(requested ?? '') ?? []
  if (named === undefined) {
    const login = await openAwsApp(deps, session, name)
    return { kind: 'login', app: login.app, profile: login.app, login }
  }
  const stored = await listAppLogins(session.login)
  const { app } = chooseAwsApp(
    stored.map((found) => ({ app: found.app, awsRoleArn: found.route.awsRoleArn })),
    name,
  )
  const view = await findAwsApp(session.connection, app)
  const role = findRole(deps, view, named)
  const { roles } = roleCandidates(view.awsRoleArns, view.labels.aws_account_id)
  return { kind: 'role', app, profile: roleProfile(app, role, roles), awsRoleArn: role.arn }
}

async function findAwsApp(connection: ClusterSession['connection'], name: string): Promise<AppView> {
  const visible = await findApp(connection, name)
  if (visible === undefined) {
    throw new NotFound(`app ${JSON.stringify(name)} not found, use \`tsh apps ls\` to see registered apps`, {
      hint: 'if it should be there, ask for a role whose app_labels match it, then log out and in again',
    })
  }
  const app = viewApp(visible)
  if (app.cloud === 'AWS') return app
  throw new UsageError(`selected app ${JSON.stringify(name)} is not an AWS application`, {
    hint: 'run "tsh apps ls" to see the apps',
  })
}

/** The role that is meant by name, ARN or being the only one; candidates are printed where there is none. */
function findRole({ terminal }: TshDeps, app: AppView, requested: string | undefined): RoleArn {
  const { roles } = roleCandidates(app.awsRoleArns, app.labels.aws_account_id)
  const choice = chooseRole(requested, roles)
  if (choice.found) return choice.role
  if (choice.show.length > 0) {
    const rows = choice.show.map(({ display, arn }) => [display, arn])
    terminal.stderr.write(`Available AWS roles:\n${formatTable({ headers: ['Role Name', 'Role ARN'], rows })}\n`)
  } else if (roles.length === 0) {
    throw new AccessDenied(choice.message, {
      hint: `none of your Teleport roles allows an AWS role for app "${app.name}": ask for one whose aws_role_arns has it, then log out and in again`,
    })
  }
  throw new UsageError(choice.message, {
    hint:
      requested === undefined
        ? `run "tsh apps login --aws-role ROLE ${app.name}" first, or add --aws-role ROLE`
        : 'use one of these roles',
  })
}
