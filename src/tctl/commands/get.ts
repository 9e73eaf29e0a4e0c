import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatYaml, parseFormat } from '#cli/output.ts'
import { AccessDenied } from '#errors.ts'
import type { Resource } from '#resources/resource.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { parseRefs, type ResourceRef } from '#tctl/resource-ref.ts'
import { resourcesText } from '#tctl/resource-text.ts'
import { openResources, type Resources } from '#tctl/resources.ts'

interface GetOptions {
  readonly format: string
  readonly withSecrets?: boolean
  readonly verbose?: boolean
}

/** `tctl get`: resources as YAML, JSON or tables. */
export function getCommand(deps: TctlDeps): Command {
  const command = new Command('get')
    .description('print resources')
    .argument('<refs>', 'KIND or KIND/NAME, several separated by commas, or all')
    .option('-f, --format <format>', 'yaml, json or text', 'yaml')
    .option('--with-secrets', 'with private keys and other secrets')
    .option('-v, --verbose', 'text: labels at full length')
    .action(async (text: string, options: GetOptions, self: Command) => {
      const format = parseFormat(options.format, ['yaml', 'json', 'text'])
      const refs = parseRefs(text)
      await using connection = await connectToAuth(deps, self)
      const found = await fetchAll(deps, openResources(connection.rpc), {
        refs,
        withSecrets: options.withSecrets === true,
        skipDenied: text.split(',').includes('all'),
      })
      if (options.withSecrets === true) {
        deps.terminal.stderr.write(
          'WARNING: this holds private keys and other secrets: keep it where nobody else reads it.\n',
        )
      }
      const width = options.verbose === true ? undefined : deps.terminal.stdout.columns
      deps.terminal.stdout.write(
        format === 'yaml'
          ? await documentsYaml(found)
          : format === 'json'
            ? formatJson(found)
            : resourcesText(found, { now: deps.clock(), width }),
      )
    })
  return addExamples(command, [
    { command: 'tctl get role/access', says: 'one resource' },
    { command: 'tctl get users,roles --format=json', says: 'all of two kinds' },
    { command: 'tctl get all > backup.yaml', says: 'everything that can be written back with "tctl create -f"' },
  ])
}

interface Fetch {
  readonly refs: readonly ResourceRef[]
  readonly withSecrets: boolean
  /** Kinds that the caller may not list are left out, with a word about it. */
  readonly skipDenied: boolean
}

async function fetchAll(
  { terminal }: TctlDeps,
  resources: Resources,
  { refs, withSecrets, skipDenied }: Fetch,
): Promise<readonly Resource[]> {
  const found: Resource[] = []
  for (const { kind, name } of refs) {
    try {
      if (name === undefined) found.push(...(await resources.list(kind.kind, withSecrets)))
      else found.push(await resources.get(kind.kind, name, withSecrets))
    } catch (error) {
      if (!(skipDenied && error instanceof AccessDenied)) throw error
      terminal.stderr.write(`WARNING: ${kind.plural} are left out: ${error.message}\n`)
    }
  }
  return found
}

/** Documents separated by `---`. */
export async function documentsYaml(resources: readonly Resource[]): Promise<string> {
  return (await Promise.all(resources.map(formatYaml))).join('---\n')
}
