/**
 * The services of AWS as their public models describe them: who takes its operation from the request itself, and what
 * method and path mean for the others. The table is read when the first call is decoded, a service's part of it when the
 * first call to that service is.
 */

/** What is known of the services behind one signing name and host. */
export interface ServiceOperations {
  /** Whether a service there takes the operation's name from target header, `Action` or CBOR path. */
  readonly isRpc: boolean
  /** The operation of a REST request; `undefined` if there is none, or more than one that it could be. */
  find(request: RestRequest): string | undefined
}

interface RestRequest {
  readonly method: string
  /** As sent: `/2015-03-31/functions/my-function`. */
  readonly path: string
  /** As sent, without `?`. */
  readonly query: string
}

/**
 * @param signingName service of the credential scope: `sagemaker`
 * @param hostName what stands before the region: `runtime.sagemaker`; tells apart services with one signing name
 * @returns undefined for a service that the table does not have
 */
export async function findServiceOperations(
  signingName: string,
  hostName: string,
): Promise<ServiceOperations | undefined> {
  const services = await readTable()
  const hosts = Object.hasOwn(services, signingName) ? services[signingName] : undefined
  if (hosts === undefined) return undefined
  const named = Object.keys(hosts)
    .filter((name) => hostName === name || hostName.endsWith(`.${name}`) || hostName.endsWith(`-${name}`))
    .toSorted((a, b) => b.length - a.length)
    .slice(0, 1)
  const found = (named.length > 0 ? named : Object.keys(hosts)).map((name) => readService(hosts[name] ?? []))
  const [only] = found
  return found.length === 1 ? only : oneOf(found)
}

/** Lines by signing name and endpoint; each is a path with its operations, indented below the path that it continues. */
type Table = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

let table: Promise<Table> | undefined

function readTable(): Promise<Table> {
  table ??= import('#aws/operations/table.json', { with: { type: 'json' } }).then(
    ({ default: { services } }) => services,
  )
  return table
}

const read = new WeakMap<readonly string[], ServiceOperations>()

function readService(lines: readonly string[]): ServiceOperations {
  const known = read.get(lines)
  if (known !== undefined) return known
  const root = parseLines(lines)
  const service: ServiceOperations = { isRpc: lines[0] === 'rpc', find: (request) => findOperation(root, request) }
  read.set(lines, service)
  return service
}

/** Several services that the host does not tell apart: what they would call the request has to be one name. */
function oneOf(services: readonly ServiceOperations[]): ServiceOperations {
  return {
    isRpc: services.some(({ isRpc }) => isRpc),
    find(request) {
      const names = new Set(services.map((service) => service.find(request)).filter((name) => name !== undefined))
      return names.size === 1 ? [...names][0] : undefined
    },
  }
}

interface Route {
  readonly method: string
  /** Fields that the query has to have; an empty value stands for any. */
  readonly query: readonly (readonly [name: string, value: string])[]
  readonly operation: string
}

/** A path: `*` below it stands for one part, `**` for one or more, `#` for a date. */
interface Place {
  readonly routes: readonly Route[]
  readonly below: Map<string, Place>
}

function parseLines(lines: readonly string[]): Place {
  const root: Place = { routes: [], below: new Map() }
  const above: Place[] = []
  for (const line of lines) {
    const [path = '', ...words] = line.trimStart().split(' ')
    if (!path.startsWith('/')) continue
    const depth = line.length - line.trimStart().length
    const parts = path.split('/').filter((part) => part !== '')
    let at = depth === 0 ? root : (above[depth - 1] ?? root)
    for (const [index, part] of parts.entries()) {
      const routes = index === parts.length - 1 ? parseRoutes(words) : []
      at = at.below.getOrInsertComputed(part, () => ({ routes, below: new Map<string, Place>() }))
    }
    above[depth] = at
    if (parts.length === 0) root.below.set('', { routes: parseRoutes(words), below: new Map() })
  }
  return root
}

/** `GET ListUsers`, `POST?mode=import ImportKeys`: those that ask for more of the query first. */
function parseRoutes(words: readonly string[]): Route[] {
  const routes: Route[] = []
  for (let index = 0; index + 1 < words.length; index += 2) {
    const [method = '', query = ''] = (words[index] ?? '').split('?')
    routes.push({ method, query: [...new URLSearchParams(query)], operation: words[index + 1] ?? '' })
  }
  return routes.sort((a, b) => b.query.length - a.query.length)
}

function findOperation(root: Place, { method, path, query }: RestRequest): string | undefined {
  const parts = partsOf(path)
  if (parts === undefined) return undefined
  const fields = new URLSearchParams(query)
  const start = parts.length === 0 ? root.below.get('') : root
  return start === undefined ? undefined : findBelow(start, parts, (routes) => pick(routes, method, fields))
}

/**
 * The parts of a path, decoded. `undefined` for a path that no client of AWS writes and that services may read in more
 * than one way: parts that are empty or dots, escapes that need not be there or are none.
 */
function partsOf(path: string): readonly string[] | undefined {
  if (!path.startsWith('/')) return undefined
  const parts = path.replace(/\/$/, '').slice(1).split('/')
  if (parts.length === 1 && parts[0] === '') return []
  if (parts.some((part) => part === '.' || part === '..')) return undefined
  if (NEEDLESS_ESCAPE.test(path)) return undefined
  try {
    return parts.map(decodeURIComponent)
  } catch {
    return undefined
  }
}

/** Of a character that is never escaped (RFC 3986 §2.3). */
const NEEDLESS_ESCAPE = /%(2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])/

/** What is written out comes before what stands for anything, as Smithy's rules of precedence have it. */
function findBelow(
  place: Place,
  parts: readonly string[],
  choose: (routes: readonly Route[]) => string | undefined,
): string | undefined {
  const [part, ...rest] = parts
  if (part === undefined) return choose(place.routes)
  for (const name of part === ''
    ? []
    : [...(PATTERNS.has(part) ? [] : [part]), ...(DATE.test(part) ? ['#'] : []), '*']) {
    const below = place.below.get(name)
    const found = below && findBelow(below, rest, choose)
    if (found !== undefined) return found
  }
  const greedy = place.below.get('**')
  if (greedy === undefined) return undefined
  for (let taken = parts.length - 1; taken >= 1; taken--) {
    const found = findBelow(greedy, parts.slice(taken), choose)
    if (found !== undefined) return found
  }
  return choose(greedy.routes)
}

const PATTERNS: ReadonlySet<string> = new Set(['*', '**', '#'])
const DATE = /^\d{4}-\d{2}-\d{2}$/

function pick(routes: readonly Route[], method: string, fields: URLSearchParams): string | undefined {
  const mine = routes.filter((route) => route.method === method)
  // Which of two values a service would follow is not ours to guess.
  if (mine.some(({ query }) => query.some(([name]) => fields.getAll(name).length > 1))) return undefined
  return mine.find(({ query }) => query.every(([name, value]) => has(fields, name, value)))?.operation
}

function has(fields: URLSearchParams, name: string, value: string): boolean {
  return value === '' ? fields.has(name) : fields.get(name) === value
}
