import type { Command } from 'commander'

/** A command whose file is loaded only when the command line names it: start-up is what people wait for. */
export interface LazyCommand {
  /** Name and aliases. */
  readonly names: readonly string[]
  readonly load: () => Promise<Command>
  /** It ends by itself on Ctrl-C, as a command does that runs another program; all others are simply left. */
  readonly handlesInterrupt?: boolean
  /** It looks at all other commands. */
  readonly needsAll?: boolean
}

/**
 * Adds to `program` the command that `argv` names, and gives it. Where none is named, or an unknown one, all are added,
 * so that help lists them and a misspelt name finds its nearest.
 */
export async function addNamedCommand(
  program: Command,
  commands: readonly LazyCommand[],
  argv: readonly string[],
): Promise<LazyCommand | undefined> {
  program.enablePositionalOptions() // asked for by commands that pass options through, before they are added
  const word = commandWord(program, argv)
  const named = commands.find(({ names }) => word !== undefined && names.includes(word))
  const needed = named === undefined || named.needsAll === true ? commands : [named]
  for (const { load } of needed) program.addCommand(await load())
  return named
}

/** The first word that is neither an option of the program nor the value of one. */
function commandWord(program: Command, argv: readonly string[]): string | undefined {
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? ''
    if (!word.startsWith('-')) return word
    const option = program.options.find(({ long, short }) => word === long || word === short)
    if (option?.required === true) index++
  }
  return undefined
}
