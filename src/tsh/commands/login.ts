import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { UsageError } from '#cli/usage-error.ts'
import { type Login, readLogin } from '#client/active-login.ts'
import { openProfileStore, type Profile } from '#client/profile.ts'
import { formatProxyAddress, parseProxyAddress } from '#client/proxy-address.ts'
import { connectSession, type GlobalOptions } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'
import { showStatus } from './status.ts'

interface LoginOptions extends GlobalOptions {
  readonly ttl?: number
  readonly caPin?: string
  readonly auth?: string
  readonly format: string
  readonly out?: string
}

/** `tsh login`: password and code for a certificate; with a valid login it shows the status. */
export function loginCommand(deps: TshDeps): Command {
  const command = new Command('login')
    .description('log in to a cluster, or show the login that is there')
    .argument('[cluster]', 'your cluster: renew the certificate without a password, until no later than before')
    .option('--proxy <address>', 'address of the proxy: host or host:port')
    .option('--user <name>', 'name of the user')
    .option('--ttl <minutes>', 'how long the login lasts', parseMinutes)
    .option('--auth <connector>', 'how to log in: local')
    .option('--ca-pin <pin>', "accept the proxy's certificate when this authority vouches for it")
    .option('--insecure', "do not check the proxy's certificate: for test set-ups alone")
    .option('--skip-version-check', 'log in even if the versions do not fit')
    .option('-f, --format <format>', 'how to show the status: text, json or yaml', 'text')
    .option('-o, --out <file>', 'also write key, certificate and authorities to an identity file')
    .action(async (cluster: string | undefined, _: unknown, self: Command) =>
      login(deps, cluster, self.optsWithGlobals<LoginOptions>()),
    )
  return addExamples(command, [
    { command: 'tsh login --proxy=access.example.com --user=alice', says: 'the first login' },
    { command: 'tsh login', says: 'log in again where you were, or see that you still are' },
    { command: 'tsh login --ttl=60', says: 'for an hour' },
  ])
}

async function login(deps: TshDeps, cluster: string | undefined, options: LoginOptions): Promise<void> {
  const { proxy, profile, user } = await whereAndWho(deps, options)
  const before = profile === undefined ? undefined : await readLogin(deps.home, profile).catch(() => undefined)
  const isValid = before !== undefined && before.identity.expires > deps.clock() && profile?.user === user
  if (cluster !== undefined) checkClusterName(cluster, profile)
  if (isValid && cluster !== undefined) await renew(deps, before)
  else if (!isValid || options.ttl !== undefined) await logInAnew(deps, { proxy, user, profile, options })
  else if (profile !== undefined) await openProfileStore(deps.home).save(profile) // makes it the current one
  if (options.out !== undefined) await writeIdentity(deps, options.out)
  await showStatus(deps, options.format, proxy.host)
}

interface WhereAndWho {
  readonly proxy: ReturnType<typeof parseProxyAddress>
  /** What an earlier login to that proxy left. */
  readonly profile: Profile | undefined
  readonly user: string
}

async function whereAndWho({ home, env }: TshDeps, options: LoginOptions): Promise<WhereAndWho> {
  const profiles = openProfileStore(home)
  const asked = options.proxy ?? env.TELEPORT_PROXY
  const current = await profiles.findCurrent()
  const proxy = asked === undefined || asked === '' ? current?.proxy : parseProxyAddress(asked)
  if (proxy === undefined) {
    throw new UsageError('no proxy is named', { hint: 'add --proxy=HOST, the public address of your cluster' })
  }
  const found = await profiles.find(proxy.host)
  const profile =
    found !== undefined && formatProxyAddress(found.proxy) === formatProxyAddress(proxy) ? found : undefined
  const user = options.user ?? env.TELEPORT_USER ?? profile?.user ?? env.USER ?? env.LOGNAME
  if (user === undefined || user === '') {
    throw new UsageError('no user is named', { hint: 'add --user=NAME' })
  }
  return { proxy, profile, user }
}

function checkClusterName(cluster: string, profile: Profile | undefined): void {
  if (profile !== undefined && cluster === profile.cluster) return
  throw new UsageError(`no cluster ${JSON.stringify(cluster)} is known at this proxy`, {
    hint: 'leave the name out; another cluster is named by --proxy',
  })
}

async function renew(deps: TshDeps, before: Login): Promise<void> {
  const { reissueLogin } = await import('#client/login.ts')
  await using session = await connectSession(deps, before)
  await reissueLogin(before, session.connection)
}

async function logInAnew(
  deps: TshDeps,
  { proxy, user, profile, options }: WhereAndWho & { options: LoginOptions },
): Promise<void> {
  const { logIn, trustOf } = await import('#tsh/log-in.ts')
  const known = await trustOf(deps.home, profile)
  await logIn(deps, {
    proxy,
    user,
    trust: {
      ...known,
      ...(options.caPin === undefined ? {} : { caPin: options.caPin }),
      ...(options.insecure === undefined ? {} : { allowUntrustedProxy: options.insecure }),
    },
    ...(options.ttl === undefined ? {} : { ttlSeconds: options.ttl * 60 }),
    ...(options.auth === undefined ? {} : { authConnector: options.auth }),
    skipVersionCheck: options.skipVersionCheck === true,
  })
}

async function writeIdentity(deps: TshDeps, file: string): Promise<void> {
  const { writePrivateFile } = await import('#client/private-file.ts')
  const login = await readLogin(deps.home, await openProfileStore(deps.home).getCurrent())
  if (login === undefined) return
  await writePrivateFile(
    file,
    [login.privateKeyPem, login.certificatePem, ...login.hostAuthorities].map(endLine).join(''),
  )
  deps.terminal.stderr.write(`The identity has been written to ${file}: whoever reads it is you until it expires.\n`)
}

function endLine(pem: string): string {
  return pem.endsWith('\n') ? pem : `${pem}\n`
}

function parseMinutes(text: string): number {
  const minutes = Number(text)
  if (!Number.isInteger(minutes) || minutes < 1) {
    throw new UsageError(`--ttl: ${JSON.stringify(text)} is not a number of minutes`, {
      hint: 'write minutes, such as --ttl=480',
    })
  }
  return minutes
}
