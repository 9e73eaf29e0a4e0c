import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { parseNamedRef } from '#tctl/resource-ref.ts'
import { openResources } from '#tctl/resources.ts'

/** `tctl rm`: deletes resources; what there is one of goes back to its defaults. */
export function rmCommand(deps: TctlDeps): Command {
  const command = new Command('rm')
    .aliases(['del', 'delete'])
    .description('delete resources')
    .argument('<refs>', 'KIND/NAME, several separated by commas')
    .action(async (text: string, _: unknown, self: Command) => {
      const refs = text.split(',').map(parseNamedRef)
      await using connection = await connectToAuth(deps, self)
      const { service } = openResources(connection.rpc)
      for (const { kind, name } of refs) {
        await service.delete({ kind: kind.kind, name })
        deps.terminal.stdout.write(
          kind.singletonName === undefined
            ? `${kind.kind} ${JSON.stringify(name)} has been deleted\n`
            : `${kind.kind} has been reset to defaults\n`,
        )
      }
    })
  return addExamples(command, [{ command: 'tctl rm role/aws-ro-access', says: 'one role' }])
}
