import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { type Login, readLogin } from '#client/active-login.ts'
import { awsConfigFiles, dropAwsProfiles } from '#client/aws-config.ts'
import { openKeyStore } from '#client/keystore.ts'
import { openProfileStore, type Profile, type ProfileStore } from '#client/profile.ts'
import { parseProxyAddress } from '#client/proxy-address.ts'
import { NotFound } from '#errors.ts'
import { connectSession, type GlobalOptions } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

/** `tsh logout`: ends app sessions and removes keys, certificates and profiles. */
export function logoutCommand(deps: TshDeps): Command {
  const command = new Command('logout')
    .description('log out: remove keys and certificates, and end app sessions')
    .option('--proxy <address>', 'only from this proxy')
    .option('--user <name>', 'only this user')
    .action(async (_: unknown, self: Command) => logout(deps, self.optsWithGlobals<GlobalOptions>()))
  return addExamples(command, [
    { command: 'tsh logout', says: 'everybody, everywhere' },
    { command: 'tsh logout --proxy=access.example.com --user=alice', says: 'one login alone' },
  ])
}

async function logout(deps: TshDeps, { proxy, user }: GlobalOptions): Promise<void> {
  const profiles = openProfileStore(deps.home)
  const host = proxy === undefined ? undefined : parseProxyAddress(proxy).host
  const all = await profiles.list()
  const chosen = all.filter(
    (profile) => (host === undefined || profile.name === host) && (user === undefined || profile.user === user),
  )
  if ((host !== undefined || user !== undefined) && chosen.length === 0) {
    throw new NotFound(`${user === undefined ? 'nobody is' : `${user} is not`} logged in at ${host ?? 'any proxy'}`, {
      hint: 'run "tsh status" to see who is logged in where',
    })
  }
  for (const profile of chosen) await leave(deps, profiles, { profile, everybody: user === undefined })
  if (host === undefined && user === undefined) await dropAwsProfiles(awsConfigFiles(deps.env, deps.userHome))
  deps.terminal.stdout.write(
    host === undefined && user === undefined
      ? 'Logged out all users from all proxies.\n'
      : chosen.map((profile) => `Logged out ${profile.user} from ${profile.name}.\n`).join(''),
  )
}

/** Sessions that cannot be ended now end by themselves: a logout must work without a network. */
async function leave(
  deps: TshDeps,
  profiles: ProfileStore,
  { profile, everybody }: { profile: Profile; everybody: boolean },
): Promise<void> {
  const login = await readLogin(deps.home, profile).catch(() => undefined)
  if (login !== undefined && login.identity.expires > deps.clock()) {
    await endAppSessions(deps, login).catch((error: unknown) => deps.log.warn('app sessions go on', { error }))
  }
  const keys = openKeyStore(deps.home, { proxyHost: profile.name, user: profile.user })
  await (everybody ? keys.removeProxy() : keys.removeUser())
  await profiles.remove(profile.name)
}

async function endAppSessions(deps: TshDeps, login: Login): Promise<void> {
  const { endAppLogin, isAppLoginValid, listAppLogins } = await import('#client/app-session.ts')
  const open = (await listAppLogins(login)).filter((found) => isAppLoginValid(found, deps.clock()))
  if (open.length === 0) return
  await using session = await connectSession(deps, login)
  for (const found of open) await endAppLogin(login, session.connection, found, { timeoutMs: 3_000 })
}
