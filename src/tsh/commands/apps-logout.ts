import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { endAppLogin, findAppLogin, isAppLoginValid } from '#client/app-session.ts'
import { awsConfigFiles, dropAwsProfiles } from '#client/aws-config.ts'
import { NotFound } from '#errors.ts'
import { type ClusterSession, openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

/** `tsh apps logout`: ends the session at the cluster and removes its files. */
export function appsLogoutCommand(deps: TshDeps): Command {
  const command = new Command('logout')
    .description('log out of an app, or of all apps')
    .argument('[app]', 'name of the app; left out: all')
    .action(async (app: string | undefined, _: unknown, self: Command) => {
      await using session = await openClusterSession(deps, self)
      const known = await session.login.keys.listApps(session.login.profile.cluster)
      const chosen = app === undefined ? known : known.filter((name) => name === app)
      const ended: string[] = []
      for (const name of chosen) if (await leaveApp(deps, session, name)) ended.push(name)
      await dropProfiles(deps, app)
      if (app !== undefined && ended.length === 0) {
        throw new NotFound(`not logged into app ${JSON.stringify(app)}`, {
          hint: 'run "tsh apps ls": apps that you are logged in to are marked with ">"',
        })
      }
      deps.terminal.stdout.write(
        ended.length === 1 ? `Logged out of app ${JSON.stringify(ended[0])}\n` : 'Logged out of all apps\n',
      )
    })
  return addExamples(command, [{ command: 'tsh apps logout awsconsole', says: 'one app' }])
}

/** Removes the AWS profiles of one app, or of all. */
async function dropProfiles({ env, userHome, terminal }: TshDeps, app: string | undefined): Promise<void> {
  const { kept } = await dropAwsProfiles(awsConfigFiles(env, userHome), app)
  for (const title of kept)
    terminal.stderr.write(
      `WARNING: section ${JSON.stringify(title)} of the AWS config file contains other keys and stays\n`,
    )
}

/** Removes what is there, half a login too; tells whether there was a whole one. */
async function leaveApp(deps: TshDeps, { login, connection }: ClusterSession, name: string): Promise<boolean> {
  const found = await findAppLogin(login, name).catch(() => undefined)
  if (found !== undefined && isAppLoginValid(found, deps.clock())) await endAppLogin(login, connection, found)
  else await login.keys.removeApp(login.profile.cluster, name)
  return found !== undefined
}
