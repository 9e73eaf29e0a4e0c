import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatTable } from '#cli/output.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { authorityTypes, type CertAuthority } from '#resources/cert-authority.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources } from '#tctl/resources.ts'

/** `tctl status`: name and version of the cluster, its authorities and its pins. */
export function statusCommand(deps: TctlDeps): Command {
  const command = new Command('status')
    .description('show the cluster: name, version, certificate authorities and CA pins')
    .action(async (_: unknown, self: Command) => {
      await using connection = await connectToAuth(deps, self)
      const ping = await createClient(ClusterService, connection.rpc.transport).ping({})
      const resources = openResources(connection.rpc)
      const authorities = await Promise.all(
        authorityTypes.map(async (type): Promise<[string, string]> => {
          try {
            const found = await resources.get('cert_authority', type)
            return [`${type} CA`, rotationText(found.spec as CertAuthority['spec'])] // of this kind, as was asked for
          } catch (error) {
            return [`${type} CA`, error instanceof Error ? error.message : String(error)]
          }
        }),
      )
      const rows = [
        ['Cluster', ping.clusterName],
        ['Version', `${ping.serverVersion} (compatible with ${ping.compatibleVersion})`],
        ...authorities,
        ...ping.caPins.map((pin) => ['CA pin', pin]),
      ]
      deps.terminal.stdout.write(formatTable({ rows }))
    })
  return addExamples(command, [
    { command: "tctl status | awk '/CA pin/ { print $3 }'", says: 'the pin, for "tsh login --ca-pin"' },
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
