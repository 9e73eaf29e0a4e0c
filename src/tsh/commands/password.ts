import { Command } from 'commander'
import { openPrompt } from '#cli/prompt.ts'
import { openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'
import { askCode, askNewPassword } from '#tsh/new-secrets.ts'

/** `tsh password`: changes the password of the user who is logged in. */
export function passwordCommand(deps: TshDeps): Command {
  return new Command('password')
    .aliases(['change-password', 'passwd'])
    .description('change your password')
    .action(async (_: unknown, self: Command) => {
      const [{ createClient }, { UserService }] = await Promise.all([
        import('@connectrpc/connect'),
        import('#gen/access/v1/access_pb.ts'),
      ])
      await using session = await openClusterSession(deps, self)
      const users = createClient(UserService, session.connection.transport)
      const { devices } = await users.listMfaDevices({})
      using prompt = openPrompt(deps.terminal)
      const old = await prompt.secret('Enter your present password:')
      const fresh = await askNewPassword(prompt, session.login.identity.name)
      const code = devices.length === 0 ? '' : await askCode(prompt)
      await users.changePassword({ oldPassword: old.reveal(), newPassword: fresh.reveal(), totpCode: code })
      deps.terminal.stdout.write('Your password has been changed.\n')
    })
}
