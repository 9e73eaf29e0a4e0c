import { randomBytes } from 'node:crypto'
import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples, parsePairs } from '#cli/command.ts'
import { formatJson, formatYaml, parseFormat, parseSpan } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { AlreadyExists, Unavailable } from '#errors.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { type JoinToken, parseJoinToken } from '#resources/join-token.ts'
import type { AuthMember, ProxyMember } from '#resources/member.ts'
import { connectToAuth, type TctlConnection } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'
import { openResources } from '#tctl/resources.ts'
import { byExpiry, instructionsText, maskedName, tokensTable } from '#tctl/token-text.ts'

/** `tctl tokens`: join tokens. */
export function tokensCommand(deps: TctlDeps): Command {
  return new Command('tokens')
    .alias('token')
    .description('manage the tokens with which machines join')
    .addCommand(addCommand(deps))
    .addCommand(lsCommand(deps))
    .addCommand(rmCommand(deps))
}

interface AddOptions {
  readonly type: string
  readonly value?: string
  readonly labels?: string
  readonly ttl: string
  readonly appName: string
  readonly appUri: string
  readonly format?: string
}

function addCommand(deps: TctlDeps): Command {
  const command = new Command('add')
    .description('create a token')
    .requiredOption(
      '--type <roles>',
      'what may join: app, kube, proxy, discovery, bot ..., several separated by commas',
    )
    .option('--value <token>', 'the token itself; left out: a random one')
    .option('--labels <pairs>', 'labels for what joins: key=value,key2=value2')
    .option('--ttl <duration>', 'how long it is valid', '30m')
    .option('--app-name <name>', 'app to put into the instructions', 'example-app')
    .option('--app-uri <uri>', 'its address', 'http://localhost:8080')
    .option('--db-name <name>', 'accepted and not used: databases are not served')
    .option('--db-protocol <protocol>', 'as --db-name')
    .option('--db-uri <uri>', 'as --db-name')
    .option('--format <format>', 'text: the token alone; json, yaml; left out: instructions')
    .action(async (options: AddOptions, self: Command) => {
      const format = options.format === undefined ? undefined : parseFormat(options.format, ['text', 'json', 'yaml'])
      const ttlMs = parseSpan(options.ttl, '--ttl')
      const token = newToken(options, new Date(deps.clock().getTime() + ttlMs))
      await using connection = await connectToAuth(deps, self)
      const instructions = format === undefined ? await gatherFacts(connection, { token, ttlMs, options }) : ''
      await openResources(connection.rpc)
        .create(token)
        .catch((error: unknown) => {
          if (!(error instanceof AlreadyExists)) throw error
          throw new AlreadyExists(
            `failed to create token (${JSON.stringify(token.metadata.name)} already exists), please use another name`,
            { hint: 'leave --value out for a random token', cause: error },
          )
        })
      deps.terminal.stdout.write(format === undefined ? instructions : await createdText(token, format))
    })
  return addExamples(command, [
    { command: 'tctl tokens add --type=app --ttl=1h --format=text > /tmp/token', says: 'for an Application Service' },
    { command: 'tctl tokens add --type=kube', says: 'with the helm command to run' },
  ])
}

/** Checked by the schema of its kind, so that a misspelt role is named before anything is sent. */
function newToken({ type, value, labels }: AddOptions, expires: Date): JoinToken {
  const asked = type.split(',').map((role) => role.trim())
  const roles = asked.length === 1 && asked[0]?.toLowerCase() === 'kube' ? ['Kube', 'App', 'Discovery'] : asked
  const suggested = labels === undefined ? {} : { suggested_labels: parsePairs(labels) }
  return parseJoinToken({
    kind: 'token',
    version: 'v2',
    metadata: { name: value ?? randomBytes(16).toString('hex'), expires: expires.toISOString() },
    spec: { roles, join_method: 'token', ...suggested },
  })
}

async function createdText({ metadata, spec }: JoinToken, format: 'text' | 'json' | 'yaml'): Promise<string> {
  if (format === 'text') return `${metadata.name}\n`
  const facts = { token: metadata.name, roles: spec.roles, expires: metadata.expires }
  return format === 'json' ? JSON.stringify(facts, undefined, 1) : formatYaml(facts)
}

interface NewToken {
  readonly token: JoinToken
  readonly ttlMs: number
  readonly options: AddOptions
}

async function gatherFacts({ rpc }: TctlConnection, { token, ttlMs, options }: NewToken): Promise<string> {
  const resources = openResources(rpc)
  const { caPins } = await createClient(ClusterService, rpc.transport).ping({})
  const { roles } = token.spec
  const needsProxy = roles.some((role) => ['Kube', 'App', 'Db'].includes(role))
  const members = await resources.list(needsProxy ? 'proxy' : 'auth_server')
  const [member] = members as readonly (ProxyMember | AuthMember)[] // of these kinds, as was asked for
  if (member === undefined) {
    throw new Unavailable(needsProxy ? 'cluster has no proxies' : 'this cluster has no auth servers', {
      hint: needsProxy
        ? 'start a Proxy Service first, or add --format=text for the token alone'
        : 'look at the log of the Auth Service, or add --format=text for the token alone',
    })
  }
  return instructionsText({
    token: token.metadata.name,
    roles,
    minutes: Math.round(ttlMs / 60_000),
    address: member.spec.public_addr ?? member.spec.listen_addr ?? member.spec.hostname,
    caPins,
    appName: options.appName,
    appUri: options.appUri,
  })
}

function lsCommand(deps: TctlDeps): Command {
  return new Command('ls')
    .description('list tokens')
    .option('--format <format>', 'text: names alone; json or yaml; left out: a table')
    .option('--with-secrets', 'show the tokens themselves')
    .option('--labels <pairs>', 'only those with these labels')
    .action(async (options: { format?: string; withSecrets?: boolean; labels?: string }, self: Command) => {
      const format = options.format === undefined ? undefined : parseFormat(options.format, ['text', 'json', 'yaml'])
      const labels = options.labels === undefined ? {} : parsePairs(options.labels)
      await using connection = await connectToAuth(deps, self)
      const found = await openResources(connection.rpc).list('token', options.withSecrets === true)
      const tokens = (found as readonly JoinToken[]) // of this kind, as was asked for
        .filter(({ spec }) => hasLabels(spec.suggested_labels ?? {}, labels))
        .toSorted(byExpiry)
      const name = (token: JoinToken): string =>
        options.withSecrets === true ? token.metadata.name : maskedName(token)
      deps.terminal.stdout.write(await listText(tokens, { format, name, now: deps.clock() }))
    })
}

interface ListOptions {
  readonly format: 'text' | 'json' | 'yaml' | undefined
  readonly name: (token: JoinToken) => string
  readonly now: Date
}

async function listText(tokens: readonly JoinToken[], { format, name, now }: ListOptions): Promise<string> {
  const masked = tokens.map((token) => ({ ...token, metadata: { ...token.metadata, name: name(token) } }))
  if (format === 'json') return formatJson(masked)
  if (format === 'yaml') return formatYaml(masked)
  if (tokens.length === 0) return 'No active tokens found.\n'
  return format === 'text'
    ? masked.map(({ metadata }) => `${metadata.name}\n`).join('')
    : tokensTable(tokens, { now, name })
}

function hasLabels(labels: Readonly<Record<string, unknown>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => [labels[key]].flat().includes(value))
}

function rmCommand(deps: TctlDeps): Command {
  return new Command('rm')
    .alias('del')
    .description('delete a token')
    .argument('[token]', 'the token itself')
    .action(async (token: string | undefined, _: unknown, self: Command) => {
      if (token === undefined) {
        throw new UsageError('Need an argument: token', {
          hint: 'run "tctl tokens ls --with-secrets" to see the tokens',
        })
      }
      await using connection = await connectToAuth(deps, self)
      await openResources(connection.rpc).service.delete({ kind: 'token', name: token })
      deps.terminal.stdout.write(`Token ${token} has been deleted\n`)
    })
}
