import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples, collectList } from '#cli/command.ts'
import { formatJson, formatTable, formatYaml, parseFormat, parseSpan } from '#cli/output.ts'
import { UsageError } from '#cli/usage-error.ts'
import { fieldsOf } from '#client/web-client.ts'
import { AuditService } from '#gen/access/v1/access_pb.ts'
import { connectToAuth } from '#tctl/connect.ts'
import type { TctlDeps } from '#tctl/deps.ts'

interface LsOptions {
  readonly from?: string
  readonly to?: string
  readonly last?: string
  readonly type?: readonly string[]
  readonly user?: string
  readonly text?: string
  readonly limit: string
  readonly format: string
}

/** `tctl audit`: the audit log. */
export function auditCommand(deps: TctlDeps): Command {
  return new Command('audit').description('search the audit log').addCommand(lsCommand(deps))
}

function lsCommand(deps: TctlDeps): Command {
  const command = new Command('ls')
    .description('list events, the newest first')
    .option('--from <time>', 'not before this time: 2026-11-20T05:00:00Z')
    .option('--to <time>', 'not after this time')
    .option('--last <duration>', 'of this span until now: 1h, 7d')
    .option('--type <types>', 'of these types, separated by commas: app.session.request', collectList)
    .option('--user <name>', 'of this user')
    .option('--text <text>', 'in which this text occurs')
    .option('--limit <count>', 'at most so many', '100')
    .option('--format <format>', 'text, json or yaml', 'text')
    .action(async (options: LsOptions, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json', 'yaml'])
      const limit = parseLimit(options.limit)
      const range = parseRange(options, deps.clock())
      await using connection = await connectToAuth(deps, self)
      const audit = createClient(AuditService, connection.rpc.transport)
      const events: unknown[] = []
      let after = ''
      do {
        const page = await audit.search({
          ...range,
          types: [...(options.type ?? [])],
          user: options.user ?? '',
          text: options.text ?? '',
          limit: Math.min(limit - events.length, PAGE),
          descending: true,
          after,
        })
        events.push(...page.eventsJson.map((json): unknown => JSON.parse(json)))
        after = page.next
      } while (after !== '' && events.length < limit)
      deps.terminal.stdout.write(
        format === 'text'
          ? eventsTable(events, deps.terminal.stdout.columns)
          : await (format === 'json' ? formatJson : formatYaml)(events),
      )
    })
  return addExamples(command, [
    {
      command: 'tctl audit ls --last=1h --type=app.session.request',
      says: 'calls to apps and clouds in the last hour',
    },
    { command: 'tctl audit ls --user=alice --format=json', says: 'what alice did, with every field' },
  ])
}

const PAGE = 500
const MAX_EVENTS = 100_000

function parseLimit(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit > 0 && limit <= MAX_EVENTS) return limit
  throw new UsageError(`--limit: ${JSON.stringify(text)} is not a number of events`, {
    hint: `write 1 to ${MAX_EVENTS}`,
  })
}

interface Range {
  readonly from?: { readonly seconds: bigint; readonly nanos: number }
  readonly to?: { readonly seconds: bigint; readonly nanos: number }
}

function parseRange({ from, to, last }: LsOptions, now: Date): Range {
  if (from !== undefined && last !== undefined) {
    throw new UsageError('use only one of --from and --last', { hint: 'leave one of them out' })
  }
  const start = last === undefined ? parseTime(from, '--from') : new Date(now.getTime() - parseSpan(last, '--last'))
  const end = parseTime(to, '--to')
  return {
    ...(start === undefined ? {} : { from: wireTime(start) }),
    ...(end === undefined ? {} : { to: wireTime(end) }),
  }
}

function parseTime(text: string | undefined, flag: string): Date | undefined {
  if (text === undefined) return undefined
  const at = new Date(text)
  if (!Number.isNaN(at.getTime())) return at
  throw new UsageError(`${flag}: ${JSON.stringify(text)} is not a time`, {
    hint: 'write 2026-11-20T05:00:00Z or 2026-11-20',
  })
}

function wireTime(at: Date): { readonly seconds: bigint; readonly nanos: number } {
  return { seconds: BigInt(Math.floor(at.getTime() / 1000)), nanos: (at.getTime() % 1000) * 1_000_000 }
}

/** When, what, who, and the few fields that say the most. */
export function eventsTable(events: readonly unknown[], width?: number): string {
  const rows = events.map((event) => {
    const fields = fieldsOf(event)
    const text = (key: string): string => (fields[key] === undefined ? '' : String(fields[key]))
    return [text('time'), text('event'), text('code'), userOf(fields, text), detailsOf(fields, text)]
  })
  return formatTable({
    headers: ['Time', 'Event', 'Code', 'User', 'Details'],
    rows,
    ...(width === undefined ? {} : { width }),
  })
}

/** A member of the cluster by its roles and the beginning of its id: `Admin 0b9ac238`. JSON has the whole name. */
function userOf(
  { user_kind: kind, user_roles: roles }: Readonly<Record<string, unknown>>,
  text: (key: string) => string,
): string {
  const [, id] = /^([0-9a-f]{8})-[0-9a-f-]{27}\./.exec(text('user')) ?? []
  return kind === 3 && id !== undefined && Array.isArray(roles) ? `${roles.join(',')} ${id}` : text('user')
}

function detailsOf(fields: Readonly<Record<string, unknown>>, text: (key: string) => string): string {
  const refused = fields.success === false || fields.decision === 'denied'
  const why = [text('reason'), text('error') || text('message')].filter((part) => part !== '').join(', ')
  const outcome = refused
    ? [`${fields.decision === 'denied' ? 'denied' : 'failed'}${why === '' ? '' : ` (${why})`}`]
    : []
  return [...outcome, ...telling.map(text)].filter((part) => part !== '').join(' ')
}

/** Fields worth a place in a line, in this order. */
const telling = [
  'name',
  'app_name',
  'kubernetes_cluster',
  'aws_operation',
  'azure_operation',
  'verb',
  'aws_resource',
  'aws_role_arn',
  'azure_identity',
  'status_code',
  'response_code',
  'outcome',
]
