import { type Command, CommanderError, Option } from 'commander'
import { nearest } from '#resources/nearest.ts'
import { exitCodes, reportError } from './report-error.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** A line of `--help`: `{ command: 'tsh apps login --aws-role Reader awsconsole', says: 'log in to an AWS app' }`. */
export interface Example {
  readonly command: string
  readonly says: string
}

/** Adds examples at the end of the help of `command`. */
export function addExamples(command: Command, examples: readonly Example[]): Command {
  const lines = examples.map(({ command: line, says }) => `  # ${says}\n  ${line}`)
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n\n')}\n`)
}

/**
 * Parses the arguments, runs the command that they name and gives the exit code. All programs behave alike in:
 * `--debug` and `--help` on every command, the nearest name for a misspelt option or command, errors as
 * `ERROR: …` with `hint: …`, help for a group without a command on stderr. Options stand before or after the
 * arguments, but not after the first argument of a command with `passThroughOptions()`.
 * `onDebug` is called before the action when `--debug` was given.
 */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  { terminal, onDebug = () => {} }: RunOptions,
): Promise<number> {
  let debug = false
  const help: string[] = []
  for (const command of commandsOf(program).toReversed()) {
    if (command !== program) acceptOptionsOf(program, command)
    share(command, { terminal, help }) // the program itself last, so that its own options are all that is copied
  }
  program.hook('preAction', (_, command) => {
    debug = command.optsWithGlobals<{ debug?: boolean }>().debug === true
    if (debug) onDebug()
  })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // help or version was asked for and shown
    if (help.length > 0) {
      terminal.stderr.write(help.join(''))
      return reportError(new UsageError('a command is missing', { hint: 'choose one of the commands above' }), {
        stderr: terminal.stderr,
      })
    }
    return reportError(error, { stderr: terminal.stderr, debug })
  }
}

export interface RunOptions {
  readonly terminal: Terminal
  readonly onDebug?: () => void
}

/** Gives the exit code of Ctrl-C once `signal` aborts. */
export async function interrupted(signal: AbortSignal): Promise<number> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  return exitCodes.interrupted
}

/** The command and all below it, parents first. */
export function commandsOf(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(commandsOf)]
}

/** The words that call a command: `tsh apps login`. */
export function commandPath(command: Command): string {
  return command.parent === null ? command.name() : `${commandPath(command.parent)} ${command.name()}`
}

/** Collects a repeatable option whose values may also be separated by commas: `--roles=a,b --roles=c`. */
export function collectList(text: string, before: readonly string[] | undefined): readonly string[] {
  const values = text
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '')
  return [...(before ?? []), ...values]
}

/**
 * Parses `key=value` pairs separated by commas, as labels are typed.
 *
 * @throws {UsageError} for a pair without `=` or without a key
 */
export function parsePairs(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(',').map((pair) => {
    const [, key = '', value = ''] = /^\s*([^=]+?)\s*=\s*(.*?)\s*$/.exec(pair) ?? []
    if (key === '') {
      throw new UsageError(`invalid key-value pair: ${JSON.stringify(pair)}`, { hint: 'write key=value,key2=value2' })
    }
    return [key, value] as const
  })
  return Object.fromEntries(pairs)
}

/** What the program takes before a command's name, each command takes after it too, as people are used to. */
function acceptOptionsOf(program: Command, command: Command): void {
  const taken = new Set(command.options.flatMap(({ long, short }) => [long, short]))
  for (const { flags, description, long, short } of program.options) {
    if (taken.has(long)) continue
    const free = short != null && taken.has(short) ? flags.replace(`${short}, `, '') : flags
    command.addOption(new Option(free, description).hideHelp())
  }
}

function share(command: Command, { terminal, help }: { terminal: Terminal; help: string[] }): void {
  command
    .option('-d, --debug', 'say on stderr what happens, and show where errors come from')
    .option('--no-color', 'accepted for scripts: the output has no colours')
    .helpOption('-h, --help', 'show this help')
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => help.push(text), // help that nobody asked for: shown with the error
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
      outputError: () => {}, // reported once, by `runProgram`
    })
    .exitOverride((error) => {
      if (error.exitCode === 0 || error.code === 'commander.help') throw error
      throw usageError(error, command)
    })
}

function usageError(error: CommanderError, command: Command): UsageError {
  const [message = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n')
  const [, option] = /^unknown option '(--[^=']+)/.exec(message) ?? []
  const names = command.options.flatMap(({ long }) => long ?? [])
  const [, meant = option === undefined ? undefined : nearest(option, names)] =
    /\(Did you mean (.*)\?\)/.exec(suggestion) ?? []
  return new UsageError(message, {
    hint: meant === undefined ? `run "${commandPath(command)} --help" to see what it takes` : `did you mean ${meant}?`,
  })
}
