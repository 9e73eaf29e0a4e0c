import { Command } from 'commander'
import { runProgram } from '#cli/command.ts'
import { addNamedCommand, type LazyCommand } from '#cli/lazy-command.ts'
import { product } from '#product.ts'
import type { DaemonDeps } from './deps.ts'

/** Runs the daemon's program and gives its exit code. Whatever fails is printed before. */
export async function runTeleport(deps: DaemonDeps, argv: readonly string[]): Promise<number> {
  const program = teleportProgram()
  await addNamedCommand(program, commandsOfTeleport(deps), argv)
  return runProgram(program, argv, { terminal: deps.terminal })
}

/** The daemon's program without its commands: its name, and the options that may stand before all of them. */
export function teleportProgram(): Command {
  return new Command(product.daemon).description(
    `${product.name}: the Auth Service, the Proxy Service and the agents in front of apps`,
  )
}

/** Its commands, each loaded when it is wanted. */
export function commandsOfTeleport(deps: DaemonDeps): readonly LazyCommand[] {
  return [
    { names: ['start'], load: async () => (await import('#daemon/commands/start.ts')).startCommand(deps) },
    {
      names: ['app'],
      load: async () => {
        const { appStartCommand } = await import('#daemon/commands/start.ts')
        return new Command('app').description('the Application Service').addCommand(appStartCommand(deps))
      },
    },
    { names: ['configure'], load: async () => (await import('#daemon/commands/configure.ts')).configureCommand(deps) },
    { names: ['install'], load: async () => (await import('#daemon/commands/install.ts')).installCommand(deps) },
    { names: ['status'], load: async () => (await import('#daemon/commands/status.ts')).statusCommand(deps) },
    { names: ['version'], load: async () => (await import('#cli/version-command.ts')).versionCommand(deps) },
  ]
}
