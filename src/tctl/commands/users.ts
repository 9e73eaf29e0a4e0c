import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples, collectList } from '#cli/command.ts'
import { formatJson, formatShortSpan, formatTable, formatYaml, parseFormat, parseSpan } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { AlreadyExists } from '#errors.ts'
import { UserService, type UserToken } from '#gen/access/v1/access_pb.ts'
import type { Resource } from '#resources/resource.ts'
import type { User } from '#resources/user.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { encode, openResources, type Resources } from '#tctl/resources.ts'
import { addTraitFlags, traitFlags, traitsOf } from '#tctl/user-fields.ts'

/** `tctl users`: local users. */
export function usersCommand(deps: TctlDeps): Command {
  return new Command('users')
    .alias('user')
    .description('manage local users')
    .addCommand(addCommand(deps))
    .addCommand(updateCommand(deps))
    .addCommand(lsCommand(deps))
    .addCommand(rmCommand(deps))
    .addCommand(resetCommand(deps))
}

const HOUR_MS = 3_600_000
const MAX_INVITE_MS = 48 * HOUR_MS
const MAX_RESET_MS = 24 * HOUR_MS

interface AddOptions {
  readonly roles: readonly string[]
  readonly ttl: string
  readonly format: string
}

function addCommand(deps: TctlDeps): Command {
  const command = addTraitFlags(
    new Command('add')
      .description('create a user and print the URL of the invite')
      .argument('<account>', 'name of the user')
      .requiredOption('--roles <list>', 'roles, separated by commas', collectList)
      .option('--ttl <duration>', 'how long the invite is valid, at most 48h', '1h')
      .option('--format <format>', 'text or json', 'text'),
    '',
  ).action(async (account: string, options: AddOptions, self: Command) => {
    const format = parseFormat(options.format, ['text', 'json'])
    const ttlMs = parseTtl(options.ttl, MAX_INVITE_MS)
    const traits = traitsOf(self.opts(), '')
    await using connection = await connectToAuth(deps, self)
    await checkRoles(openResources(connection.rpc), options.roles)
    const user: Resource = {
      kind: 'user',
      version: 'v2',
      metadata: { name: account },
      spec: { roles: options.roles, traits },
    }
    const users = createClient(UserService, connection.rpc.transport)
    try {
      const token = await users.createUser({ user: encode(user), ttlSeconds: BigInt(Math.round(ttlMs / 1000)) })
      const said = `User ${JSON.stringify(account)} has been created but requires a password. Share this URL with the user to complete user setup, link is valid for ${formatShortSpan(ttlMs)}:`
      deps.terminal.stdout.write(format === 'json' ? tokenJson(token) : tokenText(said, token))
    } catch (error) {
      if (error instanceof AlreadyExists) {
        deps.terminal.stderr.write(
          `To change an existing user, run:\n  tctl users update ${account} --set-roles ${options.roles.join(',')}  # replace roles\n`,
        )
      }
      throw error
    }
  })
  return addExamples(command, [
    { command: 'tctl users add alice --roles=access,aws-ro-access', says: 'a user with two roles' },
    {
      command: 'tctl users add bob --roles=access --aws-role-arns=arn:aws:iam::123456789012:role/ReadOnly',
      says: 'with an AWS role of their own, for roles that name {{internal.aws_role_arns}}',
    },
  ])
}

function updateCommand(deps: TctlDeps): Command {
  const command = addTraitFlags(
    new Command('update')
      .description('change roles and traits of a user')
      .argument('<account>', 'name of the user')
      .option('--set-roles <list>', 'replace the roles', collectList),
    'set-',
  ).action(async (account: string, options: { setRoles?: readonly string[] }, self: Command) => {
    const traits = traitsOf(self.opts(), 'set-')
    const { setRoles } = options
    if (setRoles === undefined && Object.keys(traits).length === 0) {
      throw new UsageError('Nothing to update. Please provide at least one --set flag.', {
        hint: `add --set-roles, for example; see "tctl users update --help"`,
      })
    }
    await using connection = await connectToAuth(deps, self)
    const resources = openResources(connection.rpc)
    if (setRoles !== undefined) await checkRoles(resources, setRoles)
    const user = (await resources.get('user', account)) as User // of this kind, as was asked for
    const spec = {
      ...user.spec,
      ...(setRoles === undefined ? {} : { roles: setRoles }),
      traits: { ...user.spec.traits, ...traits },
    }
    await resources.update({ ...user, spec })
    deps.terminal.stdout.write(`User ${account} has been updated:\n${changesText(setRoles, traits)}`)
  })
  return addExamples(command, [
    { command: 'tctl users update alice --set-roles=access,editor', says: 'these roles and no others' },
  ])
}

function lsCommand(deps: TctlDeps): Command {
  return new Command('ls')
    .description('list users')
    .option('--format <format>', 'text, json or yaml', 'text')
    .action(async (options: { format: string }, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json', 'yaml'])
      await using connection = await connectToAuth(deps, self)
      const users = (await openResources(connection.rpc).list('user')) as readonly User[] // of this kind, as was asked for
      if (format === 'json') deps.terminal.stdout.write(formatJson(users))
      else if (format === 'yaml') deps.terminal.stdout.write(await formatYaml(users))
      else if (users.length === 0) deps.terminal.stdout.write('No users found\n')
      else {
        const rows = users.map(({ metadata, spec }) => [metadata.name, spec.roles.join(',')])
        deps.terminal.stdout.write(formatTable({ headers: ['User', 'Roles'], rows }))
      }
    })
}

function rmCommand(deps: TctlDeps): Command {
  return new Command('rm')
    .alias('del')
    .description('delete users')
    .argument('<accounts>', 'names, separated by commas')
    .action(async (accounts: string, _: unknown, self: Command) => {
      await using connection = await connectToAuth(deps, self)
      const { service } = openResources(connection.rpc)
      for (const name of collectList(accounts, [])) {
        await service.delete({ kind: 'user', name })
        deps.terminal.stdout.write(`User ${JSON.stringify(name)} has been deleted\n`)
      }
    })
}

function resetCommand(deps: TctlDeps): Command {
  return new Command('reset')
    .description('take password and devices from a user and print the URL to set new ones')
    .argument('<account>', 'name of the user')
    .option('--ttl <duration>', 'how long the URL is valid, at most 24h', '8h')
    .option('--format <format>', 'text or json', 'text')
    .action(async (account: string, options: { ttl: string; format: string }, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json'])
      const ttlMs = parseTtl(options.ttl, MAX_RESET_MS)
      await using connection = await connectToAuth(deps, self)
      const users = createClient(UserService, connection.rpc.transport)
      const token = await users.resetUser({ name: account, ttlSeconds: BigInt(Math.round(ttlMs / 1000)) })
      const said = `User ${JSON.stringify(account)} has been reset. Share this URL with the user to complete password reset, link is valid for ${formatShortSpan(ttlMs)}:`
      deps.terminal.stdout.write(format === 'json' ? tokenJson(token) : tokenText(said, token))
    })
}

function parseTtl(text: string, maxMs: number): number {
  const ms = parseSpan(text, '--ttl')
  if (ms <= maxMs) return ms
  throw new UsageError(`--ttl: ${text} is too long`, { hint: `give at most ${formatShortSpan(maxMs)}` })
}

/** The server would say so too, but only after it had made the user. @throws {NotFound} of the first role that does not exist */
async function checkRoles(resources: Resources, roles: readonly string[]): Promise<void> {
  if (roles.length === 0) throw new UsageError('no role is named', { hint: 'a user needs at least one role' })
  for (const role of roles) await resources.get('role', role)
}

/** What `tctl users add` and `reset` print: the sentence, the URL, and whom it must reach. */
export function tokenText(said: string, { url }: Pick<UserToken, 'url'>): string {
  const [, host = url] = /^https:\/\/([^/]+)/.exec(url) ?? [] // without a proxy it holds a placeholder
  return `${said}\n${url}\n\nNOTE: Make sure ${host} points at a Teleport proxy which users can access.\n`
}

function tokenJson({ token, user, url, expires, created }: UserToken): string {
  const at = (time: UserToken['expires']): string | undefined =>
    time === undefined ? undefined : new Date(Number(time.seconds) * 1000).toISOString()
  return formatJson({
    kind: 'user_token',
    version: 'v3',
    metadata: { name: token, expires: at(expires) },
    spec: { user, url, created: at(created) },
  })
}

/** One line for each field that changed, with a tab before it. */
export function changesText(
  roles: readonly string[] | undefined,
  traits: Readonly<Record<string, readonly string[]>>,
): string {
  const named = traitFlags.flatMap(({ trait, label }): [string, readonly string[]][] =>
    traits[trait] === undefined ? [] : [[label, traits[trait]]],
  )
  const known = new Set(traitFlags.map(({ trait }) => trait))
  const free = Object.entries(traits).filter(([trait]) => !known.has(trait))
  const lines = [...(roles === undefined ? [] : [['roles', roles] as const]), ...named, ...free]
  return lines.map(([label, values]) => `\tNew ${label}: ${values.join(',')}\n`).join('')
}
