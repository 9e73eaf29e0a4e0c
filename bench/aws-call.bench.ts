import { availableParallelism, cpus } from 'node:os'
import { type AwsBed, openAwsBed, ourParts } from './aws-bed.ts'
import type { AwsWay } from './aws-connection.ts'
import type { FlatOutResult, RateResult } from './aws-load.ts'
import { type Bench, type BenchOptions, type Metric, median } from './bench.ts'
import { cpuTimes } from './process-use.ts'

/** Calls a second at which latency is compared. */
const RATE = 500
const CONNECTIONS = 32
const REACH_P50_MS = 2
const REACH_P99_MS = 8
const REACH_PER_SECOND = 2_000
/** Open rates that are tried, as shares of what goes flat out. */
const SHARES = [1, 0.9, 0.8, 0.7, 0.6]

/** One call, the whole way: placeholder signature checked, decided, signed anew, recorded, to AWS and back. */
export const bench: Bench = {
  name: 'aws-call',
  says: 'small S3 reads through local proxy, proxy and agent, against the same client straight to the same server',
  async run({ long, say }) {
    const seconds = long ? 20 : 4
    const pairs = long ? 5 : 3
    say('starting Auth, proxy, agent, local proxy, a bare AWS and a client')
    await using bed = await openAwsBed([{ name: 'awsconsole' }])
    const [ours] = bed.ways
    if (ours === undefined) throw new Error('there is no local proxy')
    for (const way of [bed.straight, ours, ours]) {
      await bed.order({ kind: 'flat-out', way, seconds: long ? 10 : 2, connections: CONNECTIONS }) // the compiler's turn
    }
    const added = await addedLatency(bed, ours, { pairs, seconds, say })
    const held = await highestRate(bed, ours, { seconds, say })
    return {
      bench: 'aws-call',
      input: {
        rate: RATE,
        seconds,
        pairs,
        connections: CONNECTIONS,
        objectBytes: 1024,
        aws: 'a bare emulator that checks nothing',
        cores: availableParallelism(),
        processor: cpus()[0]?.model,
      },
      metrics: [...added, ...held],
    }
  },
}

interface Measuring {
  readonly pairs: number
  readonly seconds: number
  readonly say: BenchOptions['say']
}

async function addedLatency(bed: AwsBed, ours: AwsWay, { pairs, seconds, say }: Measuring): Promise<Metric[]> {
  const added: { p50: number; p99: number }[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const through = await atRate(bed, ours, RATE, seconds)
    const straight = await atRate(bed, bed.straight, RATE, seconds)
    say(`${RATE}/s: ${shown(through)}; straight ${shown(straight)}`)
    added.push({ p50: through.p50Ms - straight.p50Ms, p99: through.p99Ms - straight.p99Ms })
  }
  const metric = (name: string, values: readonly number[], reach: number): Metric => {
    const value = Number(median(values).toFixed(2))
    return { name, value, unit: 'ms over', against: 'straight', reach, met: value <= reach }
  }
  return [
    metric(
      'added-p50',
      added.map(({ p50 }) => p50),
      REACH_P50_MS,
    ),
    metric(
      'added-p99',
      added.map(({ p99 }) => p99),
      REACH_P99_MS,
    ),
  ]
}

/** Flat out first, which also says where the time goes; then the highest open rate that is held. */
async function highestRate(bed: AwsBed, ours: AwsWay, { seconds, say }: Omit<Measuring, 'pairs'>): Promise<Metric[]> {
  const before = cpuTimes(bed.processes)
  const { perSecond } = await bed.order<FlatOutResult>({
    kind: 'flat-out',
    way: ours,
    seconds,
    connections: CONNECTIONS,
  })
  const calls = perSecond * seconds
  const shares = [...cpuTimes(bed.processes)].map(([name, ms]) => ({
    name,
    us: Math.round(((ms - (before.get(name) ?? 0)) * 1000) / calls),
  }))
  const total = shares.reduce((sum, { us }) => sum + us, 0)
  say(`flat out: ${Math.round(perSecond)}/s`)
  for (const { name, us } of shares) say(`  ${name}: ${us} µs of processor time a call, ${percent(us, total)}`)
  const cost = (us: number, name: string): Metric => ({ name, value: us, unit: 'µs of processor time a call' })
  const rate = await heldRate(bed, ours, { perSecond, seconds, say })
  return [
    { name: 'rate-held', value: rate, unit: '1/s', reach: REACH_PER_SECOND, met: rate >= REACH_PER_SECOND },
    { name: 'flat-out', value: Math.round(perSecond), unit: '1/s' },
    ...shares.map(({ name, us }) => cost(us, `cpu ${name}`)),
    cost(
      shares.reduce((sum, { name, us }) => sum + (ourParts.some((part) => part === name) ? us : 0), 0),
      'cpu of all our parts',
    ),
  ]
}

async function heldRate(
  bed: AwsBed,
  ours: AwsWay,
  { perSecond, seconds, say }: { perSecond: number; seconds: number; say: BenchOptions['say'] },
): Promise<number> {
  for (const share of SHARES) {
    const rate = Math.floor((perSecond * share) / 50) * 50
    const result = await atRate(bed, ours, rate, seconds)
    say(`${rate}/s: ${shown(result)}${result.isHeld ? '' : ', not held'}`)
    if (result.isHeld) return rate
  }
  return 0
}

function atRate(bed: AwsBed, way: AwsWay, rate: number, seconds: number): Promise<RateResult> {
  return bed.order<RateResult>({ kind: 'rate', way, rate, seconds, connections: CONNECTIONS })
}

const shown = ({ p50Ms, p99Ms }: RateResult): string => `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`
const percent = (part: number, whole: number): string => `${Math.round((part * 100) / whole)} %`
