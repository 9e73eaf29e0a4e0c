import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { parseSpan } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { type Lock, parseLock } from '#resources/lock.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources } from '#tctl/resources.ts'

/** Flags that name whom a lock stops, and the field of the target that each sets. */
const targets = {
  user: 'user',
  role: 'role',
  login: 'login',
  mfaDevice: 'mfa_device',
  windowsDesktop: 'windows_desktop',
  accessRequest: 'access_request',
  device: 'device',
  serverId: 'server_id',
  botInstanceId: 'bot_instance_id',
  joinToken: 'join_token',
} as const

type LockOptions = Partial<Record<keyof typeof targets, string>> & {
  readonly message?: string
  readonly expires?: string
  readonly ttl?: string
}

/** `tctl lock`: puts a stop on someone or something, at once and everywhere. */
export function lockCommand(deps: TctlDeps): Command {
  const command = new Command('lock')
    .description('stop a user, a role, a machine ... at once')
    .option('--user <name>', 'this user')
    .option('--role <name>', 'everybody with this role')
    .option('--login <name>', 'this login name on hosts')
    .option('--mfa-device <id>', 'whoever used this device')
    .option('--windows-desktop <name>', 'this desktop')
    .option('--access-request <id>', 'whoever uses this access request')
    .option('--device <id>', 'this trusted device')
    .option('--server-id <uuid>', 'this agent')
    .option('--bot-instance-id <id>', 'this instance of a bot')
    .option('--join-token <name>', 'what joined with this token')
    .option('--message <text>', 'shown to whoever is stopped')
    .option('--expires <time>', 'when the lock ends: 2026-12-31T00:00:00Z')
    .option('--ttl <duration>', 'how long the lock lasts: 30m, 10h')
    .action(async (options: LockOptions, self: Command) => {
      const lock = newLock(options, deps.clock())
      await using connection = await connectToAuth(deps, self)
      const created = await openResources(connection.rpc).create(lock)
      deps.terminal.stdout.write(`Created a lock with name ${JSON.stringify(created.metadata.name)}.\n`)
      if (options.joinToken !== undefined) {
        // Certificates do not name the token of their holder: saying nothing would let somebody believe in a stop that is none.
        deps.terminal.stderr.write('WARNING: locks by join token stop nobody yet\n')
        deps.terminal.stderr.write(
          'hint: remove the token with "tctl tokens rm", and lock its machines by --server-id\n',
        )
      }
    })
  return addExamples(command, [
    { command: 'tctl lock --user=alice --message="call the help desk" --ttl=10h', says: 'one user, for ten hours' },
    { command: 'tctl get locks', says: 'list locks; "tctl rm lock/NAME" removes one' },
  ])
}

/** The lock that the flags describe. @throws {UsageError} for flags that contradict each other or name nobody */
export function newLock({ message, expires, ttl, ...flags }: LockOptions, now: Date): Lock {
  if (expires !== undefined && ttl !== undefined) {
    throw new UsageError('use only one of --expires and --ttl', { hint: 'leave one of them out' })
  }
  const target = Object.fromEntries(
    Object.entries(targets).flatMap(([flag, field]): [string, string][] => {
      const value = flags[flag as keyof typeof targets] // a key of `targets`, as the line above says
      return value === undefined ? [] : [[field, value]]
    }),
  )
  if (Object.keys(target).length === 0) {
    throw new UsageError('a lock needs to know whom it stops', {
      hint: 'add --user, --role or another flag of "tctl lock --help"',
    })
  }
  const until = ttl === undefined ? expires : new Date(now.getTime() + parseSpan(ttl, '--ttl')).toISOString()
  if (until !== undefined && !(Date.parse(until) > now.getTime())) {
    throw new UsageError(`--expires: ${JSON.stringify(until)} is not a time in the future`, {
      hint: 'write 2026-12-31T00:00:00Z',
    })
  }
  return parseLock({
    kind: 'lock',
    version: 'v2',
    metadata: { name: randomUUID() },
    spec: {
      target,
      ...(message === undefined ? {} : { message }),
      ...(until === undefined ? {} : { expires: new Date(until).toISOString() }),
    },
  })
}
