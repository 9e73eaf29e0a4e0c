import { join } from 'node:path'
import { Command } from 'commander'
import { interrupted, runProgram } from '#cli/command.ts'
import { addNamedCommand, type LazyCommand } from '#cli/lazy-command.ts'
import type { Environment, Terminal } from '#cli/terminal.ts'
import { terminalLog } from '#cli/terminal-log.ts'
import type { Clock } from '#clock.ts'
import { product } from '#product.ts'
import type { TshDeps } from './deps.ts'

/** What surrounds one run of tsh; `bin` fills it from the process. */
export interface TshRun {
  readonly argv: readonly string[]
  readonly env: Environment
  readonly terminal: Terminal
  readonly clock: Clock
  /** Home directory of the user of this machine. */
  readonly userHome: string
  readonly signal: AbortSignal
}

/** Runs tsh and gives its exit code. Whatever fails is printed before. */
export async function runTsh({ argv, env, terminal, clock, userHome, signal }: TshRun): Promise<number> {
  let isDebug = env.TELEPORT_DEBUG === '1'
  const deps: TshDeps = {
    terminal,
    env,
    clock,
    signal,
    userHome,
    log: terminalLog(terminal.stderr, () => isDebug),
    home: env.TELEPORT_HOME || join(userHome, product.profileDir),
  }
  const program = tshProgram()
  const named = await addNamedCommand(program, commandsOfTsh(deps, program), argv)
  const running = runProgram(program, argv, {
    terminal,
    onDebug: () => {
      isDebug = true
    },
  })
  return named?.handlesInterrupt === true ? running : Promise.race([running, interrupted(signal)])
}

/** tsh without its commands: its name, and the options that may stand before all of them. */
export function tshProgram(): Command {
  return new Command('tsh')
    .description(`${product.name}: log in, and reach clouds and clusters as your roles allow`)
    .option('--proxy <address>', 'address of the proxy: host or host:port')
    .option('--user <name>', 'name of the user')
    .option('--insecure', "do not check the proxy's certificate: for test set-ups alone")
    .option('--skip-version-check', 'go on even if the versions do not fit')
}

/** Its commands, each loaded when it is wanted. */
export function commandsOfTsh(deps: TshDeps, program: Command): readonly LazyCommand[] {
  return [
    { names: ['login'], load: async () => (await import('#tsh/commands/login.ts')).loginCommand(deps) },
    { names: ['logout'], load: async () => (await import('#tsh/commands/logout.ts')).logoutCommand(deps) },
    { names: ['status'], load: async () => (await import('#tsh/commands/status.ts')).statusCommand(deps) },
    { names: ['env'], load: async () => (await import('#tsh/commands/env.ts')).envCommand(deps) },
    { names: ['signup'], load: async () => (await import('#tsh/commands/signup.ts')).signupCommand(deps) },
    {
      names: ['password', 'change-password', 'passwd'],
      load: async () => (await import('#tsh/commands/password.ts')).passwordCommand(deps),
    },
    { names: ['mfa'], load: async () => (await import('#tsh/commands/mfa.ts')).mfaCommand(deps) },
    { names: ['apps', 'app'], load: async () => (await import('#tsh/commands/apps.ts')).appsCommand(deps) },
    {
      names: ['aws'],
      handlesInterrupt: true,
      load: async () => (await import('#tsh/commands/aws.ts')).awsCommand(deps),
    },
    {
      names: ['proxy'],
      handlesInterrupt: true,
      load: async () => (await import('#tsh/commands/proxy.ts')).proxyCommand(deps),
    },
    { names: ['version'], load: async () => (await import('#cli/version-command.ts')).versionCommand(deps) },
    {
      names: ['completion'],
      needsAll: true,
      load: async () => (await import('#cli/completion.ts')).completionCommand(deps, () => program),
    },
  ]
}
