import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import type { Environment } from '#cli/terminal.ts'
import { Conflict, InvalidInput } from '#errors.ts'
import { parseDocuments } from '#resources/parse.ts'
import type { Resource } from '#resources/resource.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { parseNamedRef } from '#tctl/resource-ref.ts'
import { openResources, warningsOf } from '#tctl/resources.ts'
import { writtenText } from '#tctl/write-resource.ts'
import { documentsYaml } from './get.ts'

/** `tctl edit`: one resource in the user's editor, saved only if nobody changed it meanwhile. */
export function editCommand(deps: TctlDeps): Command {
  const command = new Command('edit')
    .description('change a resource in your editor: $TELEPORT_EDITOR, $VISUAL, $EDITOR or vi')
    .argument('<ref>', 'KIND/NAME')
    .action(async (text: string, _: unknown, self: Command) => {
      const { kind, name } = parseNamedRef(text)
      await using connection = await connectToAuth(deps, self)
      const store = openResources(connection.rpc)
      const before = await store.get(kind.kind, name, true)
      const original = await documentsYaml([before])
      await editFile(deps, { name: `${kind.kind}.yaml`, original }, async (changed, file) => {
        if (changed === original) {
          deps.terminal.stdout.write('Nothing has changed.\n')
          return
        }
        const resource = readEdited(changed, { file, before })
        for (const warning of warningsOf(resource)) deps.terminal.stderr.write(`WARNING: ${warning}\n`)
        deps.terminal.stdout.write(writtenText(await store.update(resource), 'updated'))
      })
    })
  return addExamples(command, [{ command: 'EDITOR=nano tctl edit role/aws-ro-access', says: 'one role' }])
}

/** The one resource of the edited text, with the revision that was read. @throws {InvalidInput} */
export function readEdited(text: string, { file, before }: { file: string; before: Resource }): Resource {
  const [resource, ...more] = parseDocuments(text, file)
  if (resource === undefined || more.length > 0) {
    throw new InvalidInput('the file must hold one resource', { hint: 'use "tctl create -f" for several' })
  }
  if (resource.kind !== before.kind || resource.metadata.name !== before.metadata.name) {
    throw new InvalidInput('kind and name cannot be changed by an edit', {
      hint: 'use "tctl create" for a new resource',
    })
  }
  const { revision } = before.metadata
  return { ...resource, metadata: { ...resource.metadata, ...(revision === undefined ? {} : { revision }) } }
}

/**
 * Runs the editor on a private file and hands what was saved to `save`. When that fails the file stays,
 * and the error says where, so that nobody types it twice.
 */
async function editFile(
  deps: TctlDeps,
  { name, original }: { name: string; original: string },
  save: (text: string, file: string) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'tctl-edit-')) // 0700
  const file = join(directory, name)
  let isKept = false
  try {
    await writeFile(file, original, { mode: 0o600 })
    await runEditor(deps.env, file)
    const text = await readFile(file, 'utf8')
    try {
      await save(text, file)
    } catch (error) {
      isKept = true
      deps.terminal.stderr.write(`What you wrote is kept in ${file}\n`)
      if (error instanceof Conflict) {
        throw new Conflict(error.message, {
          hint: `somebody changed it meanwhile: run "tctl edit" again and take your changes over from ${file}`,
          cause: error,
        })
      }
      throw error
    }
  } finally {
    if (!isKept) await rm(directory, { recursive: true, force: true })
  }
}

/** The variable may hold arguments too, as in `code --wait`: a shell splits it, as git and crontab have it. */
async function runEditor(env: Environment, file: string): Promise<void> {
  const editor = env.TELEPORT_EDITOR || env.VISUAL || env.EDITOR || 'vi'
  const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' })
  const [code] = await once(child, 'close')
  if (code !== 0) {
    throw new InvalidInput(`the editor ${JSON.stringify(editor)} failed`, {
      hint: 'nothing was saved; set $EDITOR to an editor that is installed',
    })
  }
}
