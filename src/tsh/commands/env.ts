import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, parseFormat } from '#cli/output.ts'
import { formatProxyAddress } from '#client/proxy-address.ts'
import { getLogin } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

/** `tsh env`: variables that make other shells use the same login. */
export function envCommand(deps: TshDeps): Command {
  const command = new Command('env')
    .description('print variables that make a shell use this login, whatever you log in to elsewhere')
    .option('--unset', 'print how to forget them')
    .option('-f, --format <format>', 'text or json', 'text')
    .action(async (options: { unset?: boolean; format: string }, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json'])
      const { profile, home } = await getLogin(deps, self)
      const variables = {
        TELEPORT_PROXY: formatProxyAddress(profile.proxy),
        TELEPORT_CLUSTER: profile.cluster,
        TELEPORT_HOME: home,
      }
      const lines = Object.entries(variables).map(([key, value]) =>
        options.unset === true ? `unset ${key}\n` : `export ${key}=${shellQuote(value)}\n`,
      )
      deps.terminal.stdout.write(format === 'json' ? formatJson(variables) : lines.join(''))
    })
  return addExamples(command, [{ command: 'eval $(tsh env)', says: 'for this shell' }])
}

/** As one word for a POSIX shell, whatever is in it. */
function shellQuote(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
