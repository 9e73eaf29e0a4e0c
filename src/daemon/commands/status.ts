import { Command } from 'commander'
import type { DaemonDeps } from '#daemon/deps.ts'

/** `teleport status`: inside an SSH session of the reference it describes that session; elsewhere it says that there is none. */
export function statusCommand({ terminal, env }: DaemonDeps): Command {
  return new Command('status').description('describe the SSH session that this shell is in').action(() => {
    const { SSH_TELEPORT_USER: user, SSH_SESSION_ID: session, SSH_TELEPORT_CLUSTER_NAME: cluster } = env
    if (!user || !session || !cluster) {
      terminal.stdout.write('You are not inside of a Teleport SSH session\n')
      return
    }
    const proxy = env.SSH_SESSION_WEBPROXY_ADDR ?? ''
    const rows = [
      ['User ID', `${user}, logged in as ${env.USER ?? ''} from ${(env.SSH_CLIENT ?? '').split(' ')[0]}`],
      ['Cluster Name', cluster],
      ['Host UUID', env.SSH_TELEPORT_HOST_UUID ?? ''],
      ['Session ID', session],
      ['Session URL', `https://${proxy}/web/cluster/${cluster}/console/session/${session}`],
    ]
    terminal.stdout.write(rows.map(([name = '', value = '']) => `${name.padEnd(12)}: ${value}\n`).join(''))
  })
}
