import { Command, Option } from 'commander'
import { addExamples, commandPath, commandsOf } from './command.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** Shells that a completion script can be written for. */
export const completionShells = ['bash', 'zsh', 'fish'] as const

/** `completion bash`: prints the script. `program` is asked when all commands are in it. */
export function completionCommand({ terminal }: { readonly terminal: Terminal }, program: () => Command): Command {
  const command = new Command('completion')
    .description('print a script that completes commands and options in your shell')
    .argument('<shell>', completionShells.join(', '))
    .action((shell: string) => {
      terminal.stdout.write(completionScript(program(), shell))
    })
  return addExamples(command, [
    { command: `source <(${program().name()} completion bash)`, says: 'for this shell, from now on' },
  ])
}

/**
 * A script that completes commands and options, to be evaluated by the shell:
 * `source <(tsh completion bash)`. It knows the commands as they are now and calls nothing.
 *
 * @throws {UsageError} for another shell
 */
export function completionScript(program: Command, shell: string): string {
  switch (shell) {
    case 'bash':
      return bashScript(program)
    case 'zsh':
      // zsh runs the bash form through its own adapter
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(program)}`
    case 'fish':
      return fishScript(program)
    default:
      throw new UsageError(`no completion for the shell ${JSON.stringify(shell)}`, {
        hint: `use one of ${completionShells.join(', ')}`,
      })
  }
}

/** Words that may follow each command: `tsh apps` → `ls login logout config --debug --help`. */
function wordsByPath(program: Command): readonly (readonly [path: string, words: readonly string[]])[] {
  return commandsOf(program).map((command) => {
    const help = command.createHelp()
    const names = help.visibleCommands(command).flatMap((child) => [child.name(), ...child.aliases()])
    const flags = [...help.visibleOptions(command), new Option('--help')].flatMap(({ long }) => long ?? [])
    return [commandPath(command), [...new Set([...names, ...flags])]]
  })
}

function bashScript(program: Command): string {
  const name = program.name()
  const cases = wordsByPath(program).map(([path, words]) => `    ${quote(path)}) words=${quote(words.join(' '))} ;;`)
  return [
    `_${name}_complete() {`,
    `  local at=${quote(name)} word words="" i`,
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    `    word="\${COMP_WORDS[i]}"`,
    `    case "$at $word" in ${wordsByPath(program)
      .slice(1)
      .map(([path]) => quote(path))
      .join('|')}) at="$at $word" ;; esac`,
    '  done',
    '  case "$at" in',
    ...cases,
    '  esac',
    `  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))`,
    '}',
    `complete -o default -F _${name}_complete ${name}`,
    '',
  ].join('\n')
}

function fishScript(program: Command): string {
  const name = program.name()
  const lines = commandsOf(program).flatMap((command) => {
    const path = commandPath(command).split(' ').slice(1)
    const help = command.createHelp()
    const children = help.visibleCommands(command)
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`)
    const notYet =
      children.length > 0 ? [`not __fish_seen_subcommand_from ${children.map((c) => c.name()).join(' ')}`] : []
    const condition = [...seen, ...notYet].join('; and ')
    const when = condition === '' ? '' : ` -n ${quote(condition)}`
    return [
      ...children.map(
        (child) => `complete -c ${name} -f${when} -a ${quote(child.name())} -d ${quote(child.description())}`,
      ),
      ...help
        .visibleOptions(command)
        .flatMap(({ long, description }) =>
          long == null ? [] : [`complete -c ${name}${when} -l ${long.slice(2)} -d ${quote(description)}`],
        ),
    ]
  })
  return `${lines.join('\n')}\n`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
