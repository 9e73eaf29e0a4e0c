/** The pages of the programs: every command with its arguments, options and examples, from the commands themselves. */
import { Command } from 'commander'
import { commandPath, commandsOf } from '#cli/command.ts'
import { addNamedCommand, type LazyCommand } from '#cli/lazy-command.ts'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { systemClock } from '#clock.ts'
import { commandsOfTeleport, teleportProgram } from '#daemon/main.ts'
import { silentLog } from '#log.ts'
import { commandsOfTctl, tctlProgram } from '#tctl/main.ts'
import { commandsOfTsh, tshProgram } from '#tsh/main.ts'
import { code, page, table } from './reference-page.ts'

/** Pages by the name of their program. */
export async function commandPages(): Promise<Readonly<Record<'teleport' | 'tsh' | 'tctl', string>>> {
  const surroundings = {
    terminal: memoryTerminal(),
    env: {},
    clock: systemClock,
    log: silentLog,
    home: '/home/alice/.tsh',
    userHome: '/home/alice',
    signal: new AbortController().signal,
    executable: 'teleport',
    pid: 1,
    onHangup: () => ({ [Symbol.dispose]() {} }),
  }
  const [tsh, tctl, teleport] = [tshProgram(), tctlProgram(), teleportProgram()]
  return {
    tsh: await programPage(tsh, commandsOfTsh(surroundings, tsh)),
    tctl: await programPage(tctl, commandsOfTctl(surroundings, tctl)),
    teleport: await programPage(teleport, commandsOfTeleport(surroundings)),
  }
}

async function programPage(program: Command, commands: readonly LazyCommand[]): Promise<string> {
  await addNamedCommand(program, commands, []) // none is named, so that all are added
  const [, ...below] = commandsOf(program)
  const shown = below.filter((command) => isVisible(command))
  return page(program.name(), [
    sentence(program.description()),
    'Every command takes `--help`, which shows it, and `--debug`, which says on stderr what happens. A failure ends with `ERROR:` and `hint:` on stderr and a code other than 0.',
    ...(program.options.length === 0
      ? []
      : ['Options that stand before or after every command:', optionTable(program)]),
    table(
      ['command', 'does'],
      shown
        .filter(({ commands }) => commands.length === 0)
        .map((command) => [`[\`${commandPath(command)}\`](#${anchor(command)})`, command.description()]),
    ),
    ...shown.map(section),
  ])
}

/** It and all above it are in the help. */
function isVisible(command: Command): boolean {
  const { parent } = command
  return parent === null || (new Command().createHelp().visibleCommands(parent).includes(command) && isVisible(parent))
}

function section(command: Command): string {
  const help = command.createHelp()
  const aliases = command.aliases().map((alias) => `\`${alias}\``)
  const withHelp = command.registeredArguments.map((argument) => [`\`${argument.name()}\``, argument.description])
  return [
    `${command.commands.length > 0 ? '##' : command.parent?.parent == null ? '##' : '###'} ${commandPath(command)}`,
    `${sentence(command.description())}${aliases.length > 0 ? ` Also: ${aliases.join(', ')}.` : ''}`,
    ...(command.commands.length > 0 ? [] : [code(help.commandUsage(command), 'text')]),
    ...(withHelp.length > 0 ? [table(['argument', 'is'], withHelp)] : []),
    ...(command.options.some(({ hidden }) => !hidden) ? [optionTable(command)] : []),
    ...examplesOf(command),
  ].join('\n\n')
}

function optionTable(command: Command): string {
  const help = command.createHelp()
  const options = help.visibleOptions(command).filter(({ long }) => long !== '--help')
  return table(
    ['option', 'means'],
    options.map((option) => [
      `\`${option.flags}\``,
      `${help.optionDescription(option)}${option.mandatory ? ' (needed)' : ''}`,
    ]),
  )
}

/** What stands after `Examples:` in the help. */
function examplesOf(command: Command): readonly string[] {
  let text = ''
  command.configureOutput({
    writeOut: (part) => {
      text += part
    },
  })
  command.outputHelp()
  const [, examples] = text.split('\nExamples:\n')
  return examples === undefined ? [] : [code(examples.replaceAll(/^ {2}/gm, '').trim(), 'sh')]
}

function anchor(command: Command): string {
  return commandPath(command).toLowerCase().replaceAll(' ', '-')
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}
