import { Command } from 'commander'
import { product } from '#product.ts'
import { formatJson, formatYaml, parseFormat } from './output.ts'
import type { Terminal } from './terminal.ts'

/** `version`: the version of this product, and the release line that it is compatible with. */
export function versionCommand({ terminal }: { readonly terminal: Terminal }): Command {
  return new Command('version')
    .description('show the version of this program')
    .option('-f, --format <format>', 'text, json or yaml', 'text')
    .option('--client', 'accepted for scripts: the cluster is never asked')
    .action(async ({ format: text }: { format: string }) => {
      const format = parseFormat(text, ['text', 'json', 'yaml'])
      const facts = {
        version: product.version,
        compatible_version: product.compatibleVersion,
        runtime: `node${process.versions.node}`,
      }
      terminal.stdout.write(
        format === 'text'
          ? `${product.name} v${facts.version} (compatible with v${facts.compatible_version}) ${facts.runtime}\n`
          : await (format === 'json' ? formatJson : formatYaml)(facts),
      )
    })
}
