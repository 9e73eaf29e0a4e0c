import { createClient } from '@connectrpc/connect'
import { Command } from 'commander'
import { addExamples, parsePairs } from '#cli/command.ts'
import { formatJson, formatLabels, formatTable, formatYaml, parseFormat } from '#cli/output.ts'
import { type Login, readLogin } from '#client/active-login.ts'
import { isAppLoginValid, listAppLogins } from '#client/app-session.ts'
import { openProfileStore } from '#client/profile.ts'
import { formatProxyAddress } from '#client/proxy-address.ts'
import { type AppView, viewApp } from '#client/visible-app.ts'
import { AppService } from '#gen/access/v1/access_pb.ts'
import { type AppFilter, matchesApp, parseAppFilter } from '#tsh/app-filter.ts'
import { connectSession, getLogin } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'

interface LsOptions {
  readonly verbose?: boolean
  readonly format: string
  readonly search?: string
  readonly query?: string
  readonly all?: boolean
}

/** Apps of one cluster, with the names of those that the user is logged in to. */
interface ClusterApps {
  readonly proxy: string
  readonly cluster: string
  readonly apps: readonly AppView[]
  readonly open: ReadonlySet<string>
}

/** `tsh apps ls`: the apps that the user's roles show. */
export function appsLsCommand(deps: TshDeps): Command {
  const command = new Command('ls')
    .description('list the apps that you may open')
    .argument('[labels]', 'only those with these labels: key=value,key2=value2')
    .option('-v, --verbose', 'more columns, and labels at full length')
    .option('-f, --format <format>', 'text, json or yaml', 'text')
    .option('--search <words>', 'only those in which all of these words occur, separated by commas')
    .option('--query <expression>', 'only those for which this holds: labels["env"] == "prod" && name != "a"')
    .option('-R, --all', 'of all clusters that you are logged in to')
    .action(async (labels: string | undefined, options: LsOptions, self: Command) => {
      const format = parseFormat(options.format, ['text', 'json', 'yaml'])
      const filter = parseAppFilter({
        labels: labels === undefined ? {} : parsePairs(labels),
        search: options.search,
        query: options.query,
      })
      const logins = options.all === true ? await validLogins(deps) : [await getLogin(deps, self)]
      const clusters: ClusterApps[] = []
      for (const login of logins) clusters.push(await listApps(deps, { login, filter }))
      deps.terminal.stdout.write(
        format === 'text'
          ? appsTable(clusters, { ...options, width: deps.terminal.stdout.columns })
          : await (format === 'json' ? formatJson : formatYaml)(appsDocument(clusters, options)),
      )
    })
  return addExamples(command, [
    { command: 'tsh apps ls', says: 'all' },
    { command: 'tsh apps ls env=prod -v', says: 'those with a label, with all columns' },
    { command: `tsh apps ls --query='labels["env"] == "prod"'`, says: 'the same by an expression' },
  ])
}

async function validLogins(deps: TshDeps): Promise<readonly Login[]> {
  const profiles = await openProfileStore(deps.home).list()
  const logins = await Promise.all(profiles.map((profile) => readLogin(deps.home, profile).catch(() => undefined)))
  return logins.filter((login) => login !== undefined && login.identity.expires > deps.clock()) as readonly Login[] // those left are logins
}

async function listApps(deps: TshDeps, { login, filter }: { login: Login; filter: AppFilter }): Promise<ClusterApps> {
  await using session = await connectSession(deps, login)
  const answer = await createClient(AppService, session.connection.transport).listApps({})
  const apps = answer.apps.map((app) => viewApp(app, login.profile.proxy.host)).filter((app) => matchesApp(app, filter))
  const open = (await listAppLogins(login)).filter((found) => isAppLoginValid(found, deps.clock()))
  return {
    proxy: formatProxyAddress(login.profile.proxy),
    cluster: login.profile.cluster,
    apps: apps.sort((a, b) => (a.name < b.name ? -1 : 1)),
    open: new Set(open.map(({ app }) => app)),
  }
}

/** The table of `tsh apps ls`. An app with a live certificate is marked by `> `. */
function appsTable(
  clusters: readonly ClusterApps[],
  { verbose = false, all = false, width }: { verbose?: boolean; all?: boolean; width?: number | undefined },
): string {
  const rows = clusters.flatMap(({ proxy, cluster, apps, open }) =>
    apps.map((app) => [
      ...(all ? [proxy, cluster] : []),
      open.has(app.name) ? `> ${app.name}` : app.name,
      app.description,
      app.protocol,
      app.publicAddr,
      ...(verbose ? [app.uri] : []),
      formatLabels(app.labels),
    ]),
  )
  const headers = [
    ...(all ? ['Proxy', 'Cluster'] : []),
    'Application',
    'Description',
    'Type',
    'Public Address',
    ...(verbose ? ['URI'] : []),
    'Labels',
  ]
  return formatTable({ headers, rows, ...(verbose || width === undefined ? {} : { width }) })
}

function appsDocument(clusters: readonly ClusterApps[], { all = false }: { all?: boolean }): readonly unknown[] {
  return clusters.flatMap(({ proxy, cluster, apps }) =>
    apps.map(({ resource }) => (all ? { proxy, cluster, app: resource } : resource)),
  )
}
