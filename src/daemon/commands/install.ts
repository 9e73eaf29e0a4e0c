import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { UsageError } from '#cli/usage-error.ts'
import type { DaemonDeps } from '#daemon/deps.ts'
import { systemdUnit } from '#daemon/systemd-unit.ts'
import { product } from '#product.ts'

interface SystemdOptions {
  readonly envFile: string
  readonly pidFile: string
  readonly fdLimit: string
  readonly teleportPath: string
  readonly output: string
}

/** `teleport install systemd`: prints or writes the unit file. */
export function installCommand({ terminal, executable }: DaemonDeps): Command {
  const systemd = new Command('systemd')
    .description('write the unit file for systemd')
    .option('--env-file <file>', 'file with environment variables', '/etc/default/teleport')
    .option('--pid-file <file>', 'where the process id is written', '/run/teleport.pid')
    .option('--fd-limit <number>', 'most open files', '524288')
    .option('--teleport-path <file>', 'program that is run', executable)
    .option('-o, --output <where>', 'stdout or a path', 'stdout')
    .action(async ({ fdLimit, output, ...options }: SystemdOptions) => {
      const limit = Number(fdLimit)
      if (!Number.isInteger(limit) || limit < 1) {
        throw new UsageError(`--fd-limit must be a whole number, found ${JSON.stringify(fdLimit)}`, {
          hint: 'leave it out for 524288',
        })
      }
      const unit = systemdUnit({ ...options, fdLimit: limit, configFile: product.configFile })
      if (output === 'stdout') terminal.stdout.write(unit)
      else await writeFile(output, unit, { mode: 0o644 })
    })
  return new Command('install').description('install this program as a service').addCommand(systemd)
}
