/** The diagnostics listener: whether this process lives, whether it is ready, and how much it uses. Plain HTTP, for the machine's own monitoring. */

import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { InvalidInput } from '#errors.ts'
import type { Log } from '#log.ts'
import { product } from '#product.ts'
import type { Address } from './address.ts'

/**
 * What each part of the process last said of itself.
 *
 *   starting    until every part has said that it runs; nothing leads back to it
 *   ok          a part's work succeeds
 *   degraded    one failure leads here from any state
 *   recovering  the first success after a failure; the second one within it leads to ok
 */
type PartState = 'starting' | 'ok' | 'recovering' | 'degraded'

/** Where parts say how they are. */
export interface Health {
  /** A part that must run for the process to be ready. */
  expect(part: string): void
  succeeded(part: string): void
  failed(part: string): void
  /** Shows in the metrics how old the part's copy of the cluster state is. */
  showAge(part: string, asOf: () => Date): void
  /** Ages of those copies in seconds; a part that never had one is left out. */
  ages(now: Date): ReadonlyMap<string, number>
  /** Shows in the metrics how many things an agent's look ahead has found not to work. They make no part unready. */
  showPreflight(failures: () => number): void
  /** That number; undefined where no agent runs. */
  preflightFailures(): number | undefined
  /** The worst state of all parts, and which part has it. */
  worst(): { readonly state: PartState; readonly part: string }
}

export function createHealth(): Health {
  const parts = new Map<string, PartState>()
  const copies = new Map<string, () => Date>()
  let preflight: (() => number) | undefined
  const severity: readonly PartState[] = ['ok', 'recovering', 'degraded', 'starting']
  return {
    expect: (part) => void parts.set(part, 'starting'),
    succeeded(part) {
      parts.set(part, parts.get(part) === 'degraded' ? 'recovering' : 'ok')
    },
    failed(part) {
      if (parts.get(part) !== 'starting') parts.set(part, 'degraded')
    },
    showAge: (part, asOf) => void copies.set(part, asOf),
    ages: (now) =>
      new Map(
        [...copies]
          .map(([part, asOf]) => [part, asOf().getTime()] as const)
          .filter(([, asOf]) => asOf > 0)
          .map(([part, asOf]) => [part, Math.max(0, now.getTime() - asOf) / 1000]),
      ),
    showPreflight(failures) {
      preflight = failures
    },
    preflightFailures: () => preflight?.(),
    worst() {
      const [worst] = [...parts].sort(([, a], [, b]) => severity.indexOf(b) - severity.indexOf(a))
      return worst ? { part: worst[0], state: worst[1] } : { part: 'process', state: 'starting' }
    },
  }
}

/** A running listener; `port` is the one it got. */
export interface HealthListener extends AsyncDisposable {
  readonly port: number
}

export interface HealthOptions {
  readonly address: Address
  readonly health: Health
  readonly log: Log
}

/** Monitoring needs a few; the rest of the process needs its descriptors. */
const MAX_CONNECTIONS = 256

/** @throws {InvalidInput} where the address cannot be listened on */
export async function listenForHealth({ address, health, log }: HealthOptions): Promise<HealthListener> {
  const started = Date.now()
  const server = createServer((request, response) => {
    // Not `new URL`, which throws for some of what a client may send, such as "//".
    const [pathname] = (request.url ?? '/').split('?', 1)
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, { error: 'only GET is served here' })
    if (pathname === '/healthz') return send(response, 200, { status: 'ok' })
    if (pathname === '/readyz') return send(response, ...readiness(health))
    if (pathname === '/metrics') return sendText(response, metrics(health, started))
    return send(response, 404, { error: 'try /healthz, /readyz or /metrics' })
  })
  server.requestTimeout = 10_000
  server.headersTimeout = 10_000
  server.maxConnections = MAX_CONNECTIONS
  try {
    server.listen(address.port, address.host)
    await once(server, 'listening')
  } catch (cause) {
    throw new InvalidInput(`cannot listen on diag_addr ${address.host}:${address.port}`, {
      hint: 'choose another address or stop what uses it',
      cause,
    })
  }
  const { port } = server.address() as AddressInfo // TCP, so never a path or null
  log.info('diagnostics are served', { addr: `${address.host}:${port}` })
  return { port, [Symbol.asyncDispose]: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}

function readiness(health: Health): [status: number, body: object] {
  const { state, part } = health.worst()
  const pid = process.pid
  switch (state) {
    case 'starting':
      return [400, { status: "teleport is starting and hasn't joined the cluster yet", pid }]
    case 'degraded':
      return [503, { status: `teleport is in a degraded state, failing component: ${part}`, pid }]
    case 'recovering':
      return [400, { status: `teleport is recovering from a degraded state, check back soon, component: ${part}`, pid }]
    case 'ok':
      return [200, { status: 'ok', pid }]
  }
}

/** The few numbers that any process has, in the Prometheus text format. */
function metrics(health: Health, started: number): string {
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const states: readonly PartState[] = ['ok', 'recovering', 'degraded', 'starting']
  const rows: readonly (readonly [name: string, type: string, help: string, value: number])[] = [
    ['process_start_time_seconds', 'gauge', 'Start of the process since the epoch', started / 1000],
    ['process_cpu_seconds_total', 'counter', 'User and system time used', (user + system) / 1e6],
    ['process_resident_memory_bytes', 'gauge', 'Resident memory', rss],
    ['nodejs_heap_size_used_bytes', 'gauge', 'Heap in use', heapUsed],
    ['process_state', 'gauge', '0 ok, 1 recovering, 2 degraded, 3 starting', states.indexOf(health.worst().state)],
  ]
  const ages = [...health.ages(new Date())].map(
    ([part, age]) => `teleport_cluster_state_age_seconds{part="${part}"} ${age}\n`,
  )
  const staleness =
    ages.length === 0
      ? ''
      : `# HELP teleport_cluster_state_age_seconds Age of the live copy of the cluster state: seconds while the Auth Service is reached\n# TYPE teleport_cluster_state_age_seconds gauge\n${ages.join('')}`
  const failures = health.preflightFailures()
  const preflight =
    failures === undefined
      ? ''
      : `# HELP teleport_app_preflight_failures Roles of AWS that cannot be assumed, and other things that would make calls to AWS fail\n# TYPE teleport_app_preflight_failures gauge\nteleport_app_preflight_failures ${failures}\n`
  const build = `# HELP teleport_build_info Version of this process\n# TYPE teleport_build_info gauge\nteleport_build_info{version="${product.version}"} 1\n`
  return (
    rows
      .map(([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`)
      .join('') +
    staleness +
    preflight +
    build
  )
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}

function sendText(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
}
