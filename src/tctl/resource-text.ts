import { formatLabels, formatSpan, formatTable } from '#cli/output.ts'
import type { Resource } from '#resources/resource.ts'

export interface TextOptions {
  readonly now: Date
  /** Columns of the terminal; left out: nothing is cut. */
  readonly width?: number | undefined
}

/** A table for each kind, in the order in which the kinds first occur. */
export function resourcesText(resources: readonly Resource[], options: TextOptions): string {
  const kinds = [...new Set(resources.map(({ kind }) => kind))]
  return kinds
    .map((kind) =>
      kindTable(
        kind,
        resources.filter((each) => each.kind === kind),
        options,
      ),
    )
    .join('\n')
}

interface Column {
  readonly header: string
  readonly cell: (resource: Resource, now: Date) => string
}

function kindTable(kind: string, resources: readonly Resource[], { now, width }: TextOptions): string {
  const columns = columnsByKind[kind] ?? [name, version, labels]
  return formatTable({
    headers: columns.map(({ header }) => header),
    rows: resources.map((resource) => columns.map(({ cell }) => cell(resource, now))),
    ...(width === undefined ? {} : { width }),
  })
}

/** A field of the spec by path, as text; nothing where it is not there. */
function field(header: string, ...path: readonly string[]): Column {
  return { header, cell: ({ spec }) => textOf(path.reduce<unknown>((value, key) => fieldOf(value, key), spec)) }
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([each]) => each === key)?.[1]
    : undefined
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map(textOf).join(',')
  if (typeof value === 'object') {
    return Object.entries(value)
      .map(([key, each]) => `${key}=${textOf(each)}`)
      .join(',')
  }
  return String(value)
}

const name: Column = { header: 'Name', cell: ({ metadata }) => metadata.name }
const version: Column = { header: 'Version', cell: (resource) => resource.version }
const labels: Column = { header: 'Labels', cell: ({ metadata }) => formatLabels(metadata.labels ?? {}) }
const description: Column = { header: 'Description', cell: ({ metadata }) => metadata.description ?? '' }
const expires: Column = {
  header: 'Expires',
  cell: ({ metadata }, now) =>
    metadata.expires === undefined ? 'never' : `in ${formatSpan(Date.parse(metadata.expires) - now.getTime())}`,
}

const columnsByKind: Readonly<Record<string, readonly Column[]>> = {
  role: [
    { ...name, header: 'Role' },
    field('Allowed AWS roles', 'allow', 'aws_role_arns'),
    field('App labels', 'allow', 'app_labels'),
    labels,
  ],
  user: [{ ...name, header: 'User' }, field('Roles', 'roles'), field('Traits', 'traits')],
  token: [{ ...name, header: 'Token' }, field('Type', 'roles'), field('Join Method', 'join_method'), labels, expires],
  app: [
    { ...name, header: 'Application' },
    description,
    field('Public Address', 'public_addr'),
    field('URI', 'uri'),
    labels,
  ],
  app_server: [
    field('Host', 'hostname'),
    field('Application', 'app', 'metadata', 'name'),
    field('Public Address', 'app', 'spec', 'public_addr'),
    field('URI', 'app', 'spec', 'uri'),
    field('Version', 'version'),
    expires,
  ],
  lock: [{ ...name, header: 'ID' }, field('Target', 'target'), field('Message', 'message'), expires],
  proxy: [field('Host', 'hostname'), field('Address', 'public_addr'), field('Version', 'version'), expires],
  auth_server: [field('Host', 'hostname'), field('Address', 'listen_addr'), field('Version', 'version'), expires],
  cert_authority: [{ ...name, header: 'Authority' }, field('Type', 'type'), field('Cluster', 'cluster_name')],
}
