/**
 * Writes `src/aws/operations/table.json`: which method and path of which AWS service is which operation, from the public
 * service models of botocore, which `npm run tools` installs. Names, methods and paths alone are taken.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { toolFolder } from '#test/tools.ts'

/** What is read of a `service-2.json.gz`. */
interface Model {
  readonly metadata: {
    readonly protocol: string
    readonly endpointPrefix: string
    readonly signingName?: string
  }
  readonly operations: Readonly<Record<string, { readonly http?: { method: string; requestUri: string } }>>
}

/** One path, with what each method does there and the paths below it. */
interface Path {
  readonly operations: Map<string, string>
  readonly below: Map<string, Path>
}

interface Host {
  isRpc: boolean
  readonly root: Path
}

const file = new URL('../src/aws/operations/table.json', import.meta.url).pathname
const [data] = globSync(`${toolFolder(process.env)}/boto3-*/venv/lib/python*/site-packages/botocore/data`)
if (data === undefined) throw new Error('botocore is missing: run "npm run tools"')
const [version = ''] = globSync(`${dirname(dirname(data))}/botocore-*.dist-info`).map((path) =>
  basename(path, '.dist-info'),
)

const DATE = /^\/\d{4}-\d{2}-\d{2}(?=\/)/
const services = new Map<string, Map<string, Host>>()
for (const folder of globSync(`${data}/*/`).sort()) {
  // S3's own requests differ by more than method and path: operation-s3.ts knows them.
  if (basename(folder) !== 's3') addVersions(globSync(`${folder}/*/service-2.json{,.gz}`).sort().reverse().map(read))
}
// IAM Roles Anywhere is asked for credentials by a program of its own; botocore has no model of that call.
addVersions([
  {
    metadata: { protocol: 'rest-json', endpointPrefix: 'rolesanywhere' },
    operations: { CreateSession: { http: { method: 'POST', requestUri: '/sessions' } } },
  },
])
writeFileSync(file, render())
console.log(`${file}: ${services.size} signing names, ${(readFileSync(file).length / 1024).toFixed(0)} KiB`)

function read(path: string): Model {
  const bytes = readFileSync(path)
  return JSON.parse((path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')) as Model // as published
}

/** The versions of one service, the newest first: it says what a path means. */
function addVersions(models: readonly Model[]): void {
  const [newest] = models
  if (newest === undefined) return
  // Where every path begins with the one date of the API's version, older clients send older dates and mean the same.
  const dates = new Set(paths(newest).map((path) => DATE.exec(path)?.[0]))
  const isDated = models.length > 1 && dates.size === 1 && !dates.has(undefined)
  for (const model of models) {
    const { protocol, endpointPrefix, signingName = endpointPrefix } = model.metadata
    const hosts = services.getOrInsertComputed(signingName, () => new Map<string, Host>())
    const host = hosts.getOrInsertComputed(endpointPrefix, () => ({ isRpc: false, root: newPath() }))
    if (protocol.startsWith('rest-')) addRoutes(host.root, model, isDated)
    else host.isRpc = true
  }
}

function paths({ operations }: Model): string[] {
  return Object.values(operations).map(({ http }) => http?.requestUri ?? '/')
}

function addRoutes(root: Path, { operations }: Model, isDated: boolean): void {
  for (const [operation, { http }] of Object.entries(operations)) {
    if (http === undefined) throw new Error(`${operation} has no path`)
    addRoute(root, http.method, isDated ? http.requestUri.replace(DATE, '/#') : http.requestUri, operation)
  }
}

function addRoute(root: Path, method: string, uri: string, operation: string): void {
  const [path = '', query = ''] = uri.split('?')
  let at = root
  for (const part of path.split('/').filter((part) => part !== '')) {
    if (/[\s{}*]/.test(part.replace(/^\{[^{}]*\}$/, '')))
      throw new Error(`${operation}: what does "${part}" stand for?`)
    const pattern = part.startsWith('{') ? (part.endsWith('+}') ? '**' : '*') : part
    at = at.below.getOrInsertComputed(pattern, newPath)
  }
  const key = query === '' ? method : `${method}?${query}`
  at.operations.getOrInsert(key, operation)
}

function newPath(): Path {
  return { operations: new Map(), below: new Map() }
}

function render(): string {
  const table = [...services].sort(byName).map(([service, hosts]) => [service, renderHosts(hosts)] as const)
  const says = `${version}: written by scripts/generate-aws-operations.ts, read by src/aws/operation-table.ts`
  return `${JSON.stringify({ generated: says, services: Object.fromEntries(table) }, null, 2)}\n`
}

function renderHosts(hosts: ReadonlyMap<string, Host>): Readonly<Record<string, readonly string[]>> {
  const rendered = [...hosts].sort(byName).map(([name, { isRpc, root }]) => {
    return [name, [...(isRpc ? ['rpc'] : []), ...renderPath(root, '/', 0)]] as const
  })
  return Object.fromEntries(rendered)
}

/** A line for each path where something is done or where paths part, indented below the one that it continues. */
function renderPath({ operations, below }: Path, name: string, depth: number): string[] {
  const [only, ...more] = below
  if (operations.size === 0 && only !== undefined && more.length === 0) {
    return renderPath(only[1], name === '/' ? `/${only[0]}` : `${name}/${only[0]}`, depth)
  }
  const isRoot = depth === 0 && name === '/'
  const line = [' '.repeat(depth) + name, ...[...operations].sort(byName).map((pair) => pair.join(' '))].join(' ')
  const lines = isRoot && operations.size === 0 ? [] : [line]
  const next = lines.length === 0 || isRoot ? depth : depth + 1
  return [...lines, ...[...below].sort(byName).flatMap(([part, path]) => renderPath(path, `/${part}`, next))]
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
