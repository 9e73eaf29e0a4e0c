import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { formatJson, formatTable, formatYaml, parseFormat } from '#cli/output.ts'
import { openPrompt } from '#cli/prompt.ts'
import { UsageError } from '#cli/usage-error.ts'
import { type MfaDevice, UserService } from '#gen/access/v1/access_pb.ts'
import { openClusterSession } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'
import { askCode, showTotpSecret } from '#tsh/new-secrets.ts'

/** `tsh mfa`: the second factors of the user. */
export function mfaCommand(deps: TshDeps): Command {
  return new Command('mfa')
    .description('manage your second factors')
    .addCommand(lsCommand(deps))
    .addCommand(addCommand(deps))
    .addCommand(rmCommand(deps))
}

function lsCommand(deps: TshDeps): Command {
  return new Command('ls')
    .description('list your devices')
    .option('-f, --format <format>', 'text, json or yaml', 'text')
    .action(async (_: unknown, self: Command) => {
      const format = parseFormat(self.opts<{ format: string }>().format, ['text', 'json', 'yaml'])
      await using session = await openClusterSession(deps, self)
      const { devices } = await createClient(UserService, session.connection.transport).listMfaDevices({})
      deps.terminal.stdout.write(
        format === 'text'
          ? devicesTable(devices)
          : await (format === 'json' ? formatJson : formatYaml)(devices.map(deviceDocument)),
      )
    })
}

function addCommand(deps: TshDeps): Command {
  const command = new Command('add')
    .description('add an authenticator app')
    .option('--name <name>', 'name of the device')
    .option('--type <type>', 'TOTP', 'TOTP')
    .action(async (options: { name?: string; type: string }, self: Command) => {
      if (options.type.toUpperCase() !== 'TOTP') {
        throw new UsageError(`devices of type ${JSON.stringify(options.type)} cannot be added`, {
          hint: 'use --type=TOTP',
        })
      }
      await using session = await openClusterSession(deps, self)
      const users = createClient(UserService, session.connection.transport)
      using prompt = openPrompt(deps.terminal)
      const name = options.name ?? (await prompt.line('Enter a name for the device:'))
      const { devices } = await users.listMfaDevices({})
      const code = devices.length === 0 ? '' : await askCode(prompt, 'Enter an OTP token of a device that you have:')
      const begun = await users.beginAddMfaDevice({ name, totpCode: code })
      await showTotpSecret(deps.terminal.stdout, { secret: begun.totpSecret, uri: begun.totpUri })
      const first = await askCode(prompt, 'Enter the code that the app shows:')
      await users.finishAddMfaDevice({ enrolmentId: begun.enrolmentId, totpCode: first })
      deps.terminal.stdout.write(`MFA device ${JSON.stringify(name)} added.\n`)
    })
  return addExamples(command, [{ command: 'tsh mfa add --name=phone', says: 'a second authenticator app' }])
}

function rmCommand(deps: TshDeps): Command {
  return new Command('rm')
    .description('remove a device')
    .argument('<device>', 'name or id, as "tsh mfa ls" shows it')
    .action(async (device: string, _: unknown, self: Command) => {
      await using session = await openClusterSession(deps, self)
      using prompt = openPrompt(deps.terminal)
      const code = await askCode(prompt)
      await createClient(UserService, session.connection.transport).deleteMfaDevice({ device, totpCode: code })
      deps.terminal.stdout.write(`MFA device ${JSON.stringify(device)} removed.\n`)
    })
}

function devicesTable(devices: readonly MfaDevice[]): string {
  const rows = devices.map(({ name, type, added, lastUsed }) => [name, type, formatTime(added), formatTime(lastUsed)])
  return formatTable({ headers: ['Name', 'Type', 'Added at', 'Last used'], rows })
}

function deviceDocument({ id, name, type, added, lastUsed }: MfaDevice): object {
  return { id, name, type, added: isoTime(added), last_used: isoTime(lastUsed) }
}

type WireTime = MfaDevice['added']

function isoTime(time: WireTime): string | undefined {
  return time === undefined ? undefined : new Date(Number(time.seconds) * 1000).toISOString().replace('.000Z', 'Z')
}

function formatTime(time: WireTime): string {
  return time === undefined ? 'never' : new Date(Number(time.seconds) * 1000).toUTCString()
}
