import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { UsageError } from '#cli/usage-error.ts'
import { isNoSuchFile } from '#client/private-file.ts'
import { NotFound } from '#errors.ts'
import { parseDocuments } from '#resources/parse.ts'
import type { Resource } from '#resources/resource.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources, warningsOf } from '#tctl/resources.ts'
import { writeResource, writtenText } from '#tctl/write-resource.ts'

interface CreateOptions {
  readonly force?: boolean
  readonly confirm?: boolean
}

/** `tctl create`: writes the resources of a file, or of standard input. */
export function createCommand(deps: TctlDeps): Command {
  const command = new Command('create')
    .description('create resources from a YAML or JSON file, or from standard input')
    .argument('[file]', 'many documents may be in it; left out: standard input')
    .option('-f, --force', 'replace those that exist')
    .option('--confirm', 'replace even what the configuration file of the cluster owns')
    .action(async (file: string | undefined, options: CreateOptions, self: Command) => {
      const resources = parseDocuments(await readInput(deps, file), file ?? 'standard input')
      if (resources.length === 0) {
        throw new UsageError(`${file ?? 'standard input'} holds no resource`, {
          hint: 'write kind, version, metadata and spec',
        })
      }
      for (const resource of resources) {
        for (const warning of warningsOf(resource)) deps.terminal.stderr.write(`WARNING: ${warning}\n`)
      }
      await using connection = await connectToAuth(deps, self)
      const store = openResources(connection.rpc)
      for (const [index, resource] of resources.entries()) {
        try {
          const written = await writeResource(store, resource, {
            force: options.force === true,
            confirm: options.confirm === true,
          })
          deps.terminal.stdout.write(writtenText(written.resource, written.created ? 'created' : 'updated'))
        } catch (error) {
          if (resources.length > 1)
            deps.terminal.stderr.write(whereItStopped(resource, { index, count: resources.length }))
          throw error
        }
      }
    })
  return addExamples(command, [
    { command: 'tctl create aws-ro-access.yaml', says: 'new resources alone' },
    { command: 'tctl create -f aws-ro-access.yaml', says: 'replace those that exist' },
  ])
}

async function readInput({ terminal }: TctlDeps, file: string | undefined): Promise<string> {
  if (file === undefined || file === '-') {
    if (terminal.stdin.isTTY === true) terminal.stderr.write('Reading resources from the terminal; end with Ctrl-D.\n')
    return readAll(terminal.stdin)
  }
  return readFile(file, 'utf8').catch((error: unknown) => {
    throw isNoSuchFile(error) ? new NotFound(`${file} does not exist`, { hint: 'check the path' }) : error
  })
}

function whereItStopped({ kind, metadata }: Resource, { index, count }: { index: number; count: number }): string {
  const before = index === 0 ? 'nothing was written' : `the ${index} before it ${index === 1 ? 'is' : 'are'} written`
  const after = count - index - 1
  const rest = after === 0 ? '' : `, the ${after} after it ${after === 1 ? 'was' : 'were'} not tried`
  return `Stopped at ${kind} ${JSON.stringify(metadata.name)}, number ${index + 1} of ${count}: ${before}${rest}.\n`
}
