import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatTable, formatYaml, parseFormat } from '#cli/output.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import type { AuthMember } from '#resources/member.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources } from '#tctl/resources.ts'

/** `tctl auth`: authorities and auth processes. */
export function authCommand(deps: TctlDeps): Command {
  return new Command('auth')
    .description('export certificate authorities, list auth processes')
    .addCommand(exportCommand(deps))
    .addCommand(lsCommand(deps))
}

const types = ['tls-host', 'tls-user', 'tls-user-der', 'tls-spiffe', 'windows', 'awsra']

function exportCommand(deps: TctlDeps): Command {
  const command = new Command('export')
    .description('print the certificates of an authority')
    .option('--type <type>', types.join(', '))
    .option('--keys', 'print its private keys instead: they can make any identity of the cluster')
    .action(async ({ type, keys }: { type?: string; keys?: boolean }, self: Command) => {
      await using connection = await connectToAuth(deps, self)
      const { pem, der } = await createClient(ClusterService, connection.rpc.transport).exportAuthorities({
        type: type ?? '',
        withKeys: keys === true,
      })
      deps.terminal.stdout.write(isBinary(type) ? der : pem)
    })
  return addExamples(command, [
    { command: 'tctl auth export --type=tls-spiffe > spiffe.pem', says: 'for the trust anchor of IAM Roles Anywhere' },
  ])
}

/** Types whose form is DER; all others are PEM. */
function isBinary(type = ''): boolean {
  return type.endsWith('-der') || type === 'windows'
}

function lsCommand(deps: TctlDeps): Command {
  return new Command('ls')
    .description('list the auth processes of the cluster')
    .option('--format <format>', 'text, json or yaml', 'text')
    .action(async (options: { format: string }, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json', 'yaml'])
      await using connection = await connectToAuth(deps, self)
      const found = await openResources(connection.rpc).list('auth_server')
      const servers = found as readonly AuthMember[] // of this kind, as was asked for
      if (format !== 'text') {
        deps.terminal.stdout.write(await (format === 'json' ? formatJson : formatYaml)(servers))
        return
      }
      const rows = servers.map(({ spec }) => [spec.hostname, spec.host_id, spec.listen_addr ?? '', spec.version ?? ''])
      deps.terminal.stdout.write(formatTable({ headers: ['Hostname', 'UUID', 'Address', 'Version'], rows }))
    })
}
