import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatTable, formatYaml, parseFormat } from '#cli/output.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { authorityTypes, type CertAuthority } from '#resources/cert-authority.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources } from '#tctl/resources.ts'

/** `tctl status`: name and version of the cluster, its authorities and its pins. */
export function statusCommand(deps: TctlDeps): Command {
  const command = new Command('status')
    .description('show the cluster: name, version, certificate authorities and CA pins')
    .option('-f, --format <format>', 'text, json or yaml', 'text')
    .action(async (options: { format: string }, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json', 'yaml'])
      await using connection = await connectToAuth(deps, self)
      const ping = await createClient(ClusterService, connection.rpc.transport).ping({})
      const resources = openResources(connection.rpc)
      const authorities = await Promise.all(
        authorityTypes.map(async (type): Promise<[string, string]> => {
          try {
            const found = await resources.get('cert_authority', type)
            return [type, rotationText(found.spec as CertAuthority['spec'])] // of this kind, as was asked for
          } catch (error) {
            return [type, error instanceof Error ? error.message : String(error)]
          }
        }),
      )
      if (format !== 'text') {
        const document = {
          cluster: ping.clusterName,
          version: ping.serverVersion,
          compatible_version: ping.compatibleVersion,
          authorities: Object.fromEntries(authorities),
          ca_pins: ping.caPins,
        }
        deps.terminal.stdout.write(await (format === 'json' ? formatJson : formatYaml)(document))
        return
      }
      const rows = [
        ['Cluster', ping.clusterName],
        ['Version', `${ping.serverVersion} (compatible with ${ping.compatibleVersion})`],
        ...authorities.map(([type, text]) => [`${type} CA`, text]),
        ...ping.caPins.map((pin) => ['CA pin', pin]),
      ]
      deps.terminal.stdout.write(formatTable({ rows }))
    })
  return addExamples(command, [
    { command: "tctl status --format=json | jq -r '.ca_pins[]'", says: 'the pin, for "tsh login --ca-pin"' },
  ])
}

/** `never updated`, `rotated <date>`, or the phase of a rotation under way. */
export function rotationText({ rotation = {} }: Pick<CertAuthority['spec'], 'rotation'>): string {
  const { state, phase, mode, started, last_rotated: last } = rotation
  if (typeof state === 'string' && state === 'in_progress') {
    return `${String(phase)} (mode: ${String(mode)}, started: ${String(started)})`
  }
  return typeof last === 'string' && !last.startsWith('0001-') ? `rotated ${last}` : 'never updated'
}
