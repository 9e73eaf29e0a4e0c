/** The local proxy of `tsh aws` and `tsh proxy aws`, for logins of this profile. */
import { printable } from '#cli/report-error.ts'
import { type Login, LoginExpired, NotLoggedIn, readLogin } from '#client/active-login.ts'
import { type AppLogin, isAppLoginValid, openAppSession, validAppLogin } from '#client/app-session.ts'
import { dialApp } from '#client/dial.ts'
import type { LocalProxyKey } from '#client/keystore.ts'
import { InvalidInput } from '#errors.ts'
import { type AwsLocalProxy, type LocalProxyApp, startAwsLocalProxy } from '#local-proxy/aws.ts'
import type { Notice } from '#local-proxy/aws-forward.ts'
import { type PlaceholderCredentials, placeholderCredentials } from '#local-proxy/placeholder-credentials.ts'
import { Secret } from '#secret.ts'
import type { AwsTarget } from './aws-apps.ts'
import { type ClusterSession, connectSession } from './cluster-session.ts'
import type { TshDeps } from './deps.ts'

/**
 * Starts the proxy for these apps and roles; their certificates are renewed as they expire, and after a new "tsh login" as
 * well. The keys of one stored login are its own; those of several, and of named roles, are those of the user's profiles.
 */
export async function openAwsProxy(
  deps: TshDeps,
  session: ClusterSession,
  {
    targets: [first, ...rest],
    port,
  }: { readonly targets: readonly [AwsTarget, ...AwsTarget[]]; readonly port?: number },
): Promise<AwsLocalProxy> {
  await using stack = new AsyncDisposableStack()
  const way: Way = { deps, current: followLogin(deps, session, stack) }
  const chosen = rest.length === 0 ? chosenCredentials(deps.env) : undefined
  const shared = rest.length === 0 && first.kind === 'login' ? undefined : await session.login.keys.localProxyKey()
  const maxBodyBytes = parseMaxBody(deps.env.TELEPORT_AWS_MAX_BODY_BYTES)
  const { cluster } = session.login.profile
  const app = (target: AwsTarget): LocalProxyApp => ({
    name: target.profile,
    ...keysOf(target, { shared, chosen, cluster }),
    ...(target.kind === 'login' ? { assumedRolesFile: target.login.paths.assumedRoles } : {}),
    dial: dialer(way, target),
  })
  const proxy = stack.use(
    await startAwsLocalProxy({
      apps: [app(first), ...rest.map(app)],
      ...(port === undefined ? {} : { port }),
      egress: session.egress,
      log: deps.log.child('aws-proxy'),
      clock: deps.clock,
      onNotice: (notice) => deps.terminal.stderr.write(`${noticeText(notice)}\n`),
      ...(maxBodyBytes === undefined ? {} : { maxBodyBytes }),
    }),
  )
  const owned = stack.move()
  return { ...proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() }
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

interface KeySources {
  readonly shared: LocalProxyKey | undefined
  readonly chosen: PlaceholderCredentials | undefined
  readonly cluster: string
}

function keysOf(
  target: AwsTarget,
  { shared, chosen, cluster }: KeySources,
): Pick<LocalProxyApp, 'privateKeyPem' | 'caFile' | 'credentials'> {
  const { privateKeyPem, localCa: caFile } =
    target.kind === 'login' && shared === undefined
      ? { privateKeyPem: target.login.privateKeyPem, localCa: target.login.paths.localCa }
      : orThrow(shared)
  if (chosen !== undefined) return { privateKeyPem, caFile, credentials: chosen }
  if (shared === undefined) return { privateKeyPem, caFile }
  const role = target.kind === 'role' ? [target.awsRoleArn] : []
  return { privateKeyPem, caFile, credentials: placeholderCredentials(privateKeyPem, [cluster, target.app, ...role]) }
}

function orThrow(shared: LocalProxyKey | undefined): LocalProxyKey {
  if (shared === undefined) throw new Error('a named role has the key of the user')
  return shared
}

/** The login as it is now, with a connection that it opens. */
interface Current {
  readonly login: Login
  readonly session: ClusterSession
}

interface Way {
  readonly deps: TshDeps
  readonly current: () => Promise<Current>
}

/** Reads the login anew for each connection: somebody may have logged in again since this proxy started. */
function followLogin(deps: TshDeps, first: ClusterSession, stack: AsyncDisposableStack): () => Promise<Current> {
  let known: Current = { login: first.login, session: first }
  return async () => {
    const login = await readLogin(deps.home, known.login.profile)
    if (login === undefined) throw new NotLoggedIn()
    if (login.identity.expires <= deps.clock()) throw new LoginExpired()
    if (login.certificatePem !== known.login.certificatePem) {
      const session = await connectSession(deps, login)
      if (login.certificatePem !== known.login.certificatePem) known = { login, session: stack.use(session) }
      else await session[Symbol.asyncDispose]()
    }
    return known
  }
}

function dialer({ deps, current }: Way, target: AwsTarget): LocalProxyApp['dial'] {
  let open: AppLogin | undefined
  let renewal: Promise<AppLogin> | undefined
  const renew = async ({ login, session }: Current): Promise<AppLogin> => {
    const soon = new Date(deps.clock().getTime() + RENEW_EARLY_MS)
    if (target.kind === 'login') {
      return validAppLogin(login, () => session.connection, { app: target.app, now: soon })
    }
    if (open === undefined || !isAppLoginValid(open, soon)) {
      open = await openAppSession(login, session.connection, { app: target.app, awsRoleArn: target.awsRoleArn })
    }
    return open
  }
  return async (signal) => {
    const now = await current()
    // Many connections may be opened at once: one of them renews, the others wait for it.
    renewal ??= renew(now).finally(() => {
      renewal = undefined
    })
    const valid = await renewal
    const socket = await dialApp({
      app: target.app,
      proxyAddr: now.login.profile.proxy,
      egress: now.session.egress,
      serverName: valid.route.serverName,
      certificate: valid.certificatePem,
      key: valid.privateKeyPem,
      hostAuthorities: now.login.hostAuthorities,
      signal,
    })
    return { socket, expires: valid.expires }
  }
}

const RENEW_EARLY_MS = 60_000
