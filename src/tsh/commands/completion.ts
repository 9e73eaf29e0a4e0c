import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { completionScript, completionShells } from '#cli/completion.ts'
import type { Terminal } from '#cli/terminal.ts'

/** `tsh completion bash`: a script for the shell. `program` is asked when all commands are in it. */
export function completionCommand({ terminal }: { readonly terminal: Terminal }, program: () => Command): Command {
  const command = new Command('completion')
    .description('print a script that completes commands and options in your shell')
    .argument('<shell>', completionShells.join(', '))
    .action((shell: string) => {
      terminal.stdout.write(completionScript(program(), shell))
    })
  return addExamples(command, [{ command: 'source <(tsh completion bash)', says: 'for this shell, from now on' }])
}
