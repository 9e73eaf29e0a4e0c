import { join } from 'node:path'
import { Command } from 'commander'
import { interrupted, runProgram } from '#cli/command.ts'
import { addNamedCommand, type LazyCommand } from '#cli/lazy-command.ts'
import type { Environment, Terminal } from '#cli/terminal.ts'
import { terminalLog } from '#cli/terminal-log.ts'
import type { Clock } from '#clock.ts'
import { product } from '#product.ts'
import type { TctlDeps } from './deps.ts'

/** What surrounds one run of tctl; `bin` fills it from the process. */
export interface TctlRun {
  readonly argv: readonly string[]
  readonly env: Environment
  readonly terminal: Terminal
  readonly clock: Clock
  /** Home directory of the user of this machine. */
  readonly userHome: string
  readonly signal: AbortSignal
}

/** Runs tctl and gives its exit code. Whatever fails is printed before. */
export async function runTctl({ argv, env, terminal, clock, userHome, signal }: TctlRun): Promise<number> {
  let isDebug = env.TELEPORT_DEBUG === '1'
  const deps: TctlDeps = {
    terminal,
    env,
    clock,
    signal,
    log: terminalLog(terminal.stderr, () => isDebug),
    home: env.TELEPORT_HOME || join(userHome, product.profileDir),
  }
  const program = tctlProgram()
  const named = await addNamedCommand(program, commandsOfTctl(deps, program), argv)
  const running = runProgram(program, argv, {
    terminal,
    onDebug: () => {
      isDebug = true
    },
  })
  return named?.handlesInterrupt === true ? running : Promise.race([running, interrupted(signal)])
}

/** tctl without its commands: its name, and the options that may stand before all of them. */
export function tctlProgram(): Command {
  return new Command('tctl')
    .description(`${product.name}: administer a cluster`)
    .option('-c, --config <file>', `configuration of the local Auth Service (${product.configFile})`)
    .option('-i, --identity <file>', 'identity file to call the cluster with')
    .option('--auth-server <address>', 'address of the Auth Service or of a proxy')
}

/** Its commands, each loaded when it is wanted. */
export function commandsOfTctl(deps: TctlDeps, program: Command): readonly LazyCommand[] {
  return [
    { names: ['status'], load: async () => (await import('#tctl/commands/status.ts')).statusCommand(deps) },
    { names: ['get'], load: async () => (await import('#tctl/commands/get.ts')).getCommand(deps) },
    { names: ['create'], load: async () => (await import('#tctl/commands/create.ts')).createCommand(deps) },
    {
      names: ['edit'],
      handlesInterrupt: true, // Ctrl-C belongs to the editor
      load: async () => (await import('#tctl/commands/edit.ts')).editCommand(deps),
    },
    { names: ['rm', 'del', 'delete'], load: async () => (await import('#tctl/commands/rm.ts')).rmCommand(deps) },
    { names: ['users', 'user'], load: async () => (await import('#tctl/commands/users.ts')).usersCommand(deps) },
    { names: ['tokens', 'token'], load: async () => (await import('#tctl/commands/tokens.ts')).tokensCommand(deps) },
    { names: ['auth'], load: async () => (await import('#tctl/commands/auth.ts')).authCommand(deps) },
    { names: ['lock'], load: async () => (await import('#tctl/commands/lock.ts')).lockCommand(deps) },
    { names: ['audit'], load: async () => (await import('#tctl/commands/audit.ts')).auditCommand(deps) },
    { names: ['version'], load: async () => (await import('#cli/version-command.ts')).versionCommand(deps) },
    {
      names: ['completion'],
      needsAll: true,
      load: async () => (await import('#cli/completion.ts')).completionCommand(deps, () => program),
    },
  ]
}
