/** What `tsh aws` and `tsh proxy aws` share: which apps are meant, and the local proxy for them. */
import { chooseRole, roleCandidates } from '#aws/role.ts'
import { formatTable } from '#cli/output.ts'
import { printable } from '#cli/report-error.ts'
import { UsageError } from '#cli/usage-error.ts'
import {
  type AppLogin,
  findApp,
  isAppLoginValid,
  listAppLogins,
  loginToApp,
  validAppLogin,
} from '#client/app-session.ts'
import { dialApp } from '#client/dial.ts'
import { viewApp } from '#client/visible-app.ts'
import { InvalidInput, NotFound } from '#errors.ts'
import { type AwsLocalProxy, type LocalProxyApp, startAwsLocalProxy } from '#local-proxy/aws.ts'
import type { Notice } from '#local-proxy/aws-forward.ts'
import type { PlaceholderCredentials } from '#local-proxy/placeholder-credentials.ts'
import { Secret } from '#secret.ts'
import type { ClusterSession } from './cluster-session.ts'
import type { TshDeps } from './deps.ts'

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
export async function openAwsApp(
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
  const visible = await findApp(connection, choice.app)
  if (visible === undefined) {
    throw new NotFound(`app ${JSON.stringify(choice.app)} not found, use \`tsh apps ls\` to see registered apps`, {
      hint: 'if it should be there, ask for a role whose app_labels match it, then log out and in again',
    })
  }
  const app = viewApp(visible)
  if (app.cloud !== 'AWS') {
    throw new UsageError(`selected app ${JSON.stringify(choice.app)} is not an AWS application`, {
      hint: 'run "tsh apps ls" to see the apps',
    })
  }
  const role = chooseRole(undefined, roleCandidates(app.awsRoleArns, app.labels.aws_account_id).roles)
  if (!role.found) {
    if (role.show.length > 0) {
      const rows = role.show.map(({ display, arn }) => [display, arn])
      deps.terminal.stderr.write(`Available AWS roles:\n${formatTable({ headers: ['Role Name', 'Role ARN'], rows })}\n`)
    }
    throw new UsageError(role.message, { hint: `run "tsh apps login --aws-role ROLE ${choice.app}" first` })
  }
  return loginToApp(login, connection, { app: choice.app, awsRoleArn: role.role.arn })
}

/** Starts the proxy for these app logins; their certificates are renewed as they expire. */
export async function openAwsProxy(
  deps: TshDeps,
  session: ClusterSession,
  { apps: [first, ...rest], port }: { readonly apps: readonly [AppLogin, ...AppLogin[]]; readonly port?: number },
): Promise<AwsLocalProxy> {
  const chosen = rest.length === 0 ? chosenCredentials(deps.env) : undefined
  const maxBodyBytes = parseMaxBody(deps.env.TELEPORT_AWS_MAX_BODY_BYTES)
  return startAwsLocalProxy({
    apps: [localApp(deps, session, first, chosen), ...rest.map((app) => localApp(deps, session, app, undefined))],
    ...(port === undefined ? {} : { port }),
    egress: session.egress,
    log: deps.log.child('aws-proxy'),
    clock: deps.clock,
    onNotice: (notice) => deps.terminal.stderr.write(`${noticeText(notice)}\n`),
    ...(maxBodyBytes === undefined ? {} : { maxBodyBytes }),
  })
}

/** `ERROR: no role grants …`; one line of printable text. */
export function noticeText({ kind, app, text }: Notice): string {
  return printable(`${kind === 'error' ? 'ERROR' : 'INFO'}: ${app === undefined ? '' : `${app}: `}${text}`)
}

/**
 * Keys that the user wants instead of the derived ones.
 *
 * @throws {InvalidInput} when only one of the two is set, or one cannot be used in a signature
 */
export function chosenCredentials(env: TshDeps['env']): PlaceholderCredentials | undefined {
  const { TELEPORT_AWS_ACCESS_KEY_ID: accessKeyId = '', TELEPORT_AWS_SECRET_ACCESS_KEY: secret = '' } = env
  if (accessKeyId === '' && secret === '') return undefined
  if (!/^[\w-]{16,128}$/.test(accessKeyId) || secret === '') {
    throw new InvalidInput('TELEPORT_AWS_ACCESS_KEY_ID and TELEPORT_AWS_SECRET_ACCESS_KEY do not make a key pair', {
      hint: 'set both, the first to 16 to 128 letters, digits, "_" or "-"; or unset both',
    })
  }
  return { accessKeyId, secretAccessKey: new Secret(secret) }
}

function parseMaxBody(text = ''): number | undefined {
  if (text === '') return undefined
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new InvalidInput('TELEPORT_AWS_MAX_BODY_BYTES is not a number of bytes', {
      hint: 'write it in digits, such as 10000000000',
    })
  }
  return Number(text)
}

function localApp(
  deps: TshDeps,
  { login, connection, egress }: ClusterSession,
  { app, privateKeyPem, paths }: AppLogin,
  chosen: PlaceholderCredentials | undefined,
): LocalProxyApp {
  let renewal: Promise<AppLogin> | undefined
  // Many connections may be opened at once: one of them renews, the others wait for it.
  const current = (): Promise<AppLogin> => {
    const soon = new Date(deps.clock().getTime() + RENEW_EARLY_MS)
    renewal ??= validAppLogin(login, () => connection, { app, now: soon }).finally(() => {
      renewal = undefined
    })
    return renewal
  }
  return {
    name: app,
    privateKeyPem,
    caFile: paths.localCa,
    ...(chosen === undefined ? {} : { credentials: chosen }),
    async dial(signal) {
      const valid = await current()
      const socket = await dialApp({
        app,
        proxyAddr: login.profile.proxy,
        egress,
        serverName: valid.route.serverName,
        certificate: valid.certificatePem,
        key: valid.privateKeyPem,
        hostAuthorities: login.hostAuthorities,
        signal,
      })
      return { socket, expires: valid.expires }
    },
  }
}

const RENEW_EARLY_MS = 60_000
