import { availableParallelism } from 'node:os'
import { openAwsBed } from './aws-bed.ts'
import type { AwsWay } from './aws-connection.ts'
import type { FlatOutResult } from './aws-load.ts'
import { type Bench, inTurns } from './bench.ts'

const CONNECTIONS = 32
const REACH = 0.9
const off = `--import=${new URL('audit-off.ts', import.meta.url).href}`

/** What the audit log costs: the same calls through two agents, of which one throws its events away. */
export const bench: Bench = {
  name: 'audit',
  says: 'calls a second with the audit log on, against an agent that throws its events away',
  async run({ long, say }) {
    const seconds = long ? 20 : 3
    const pairs = long ? 7 : 5
    say('starting Auth, proxy, two agents, two local proxies, a bare AWS and a client')
    await using bed = await openAwsBed([{ name: 'recorded' }, { name: 'unrecorded', agentNodeOptions: off }])
    const [on, without] = bed.ways
    if (on === undefined || without === undefined) throw new Error('there is no local proxy')
    const perSecond = async (way: AwsWay, name: string): Promise<number> => {
      const result = await bed.order<FlatOutResult>({ kind: 'flat-out', way, seconds, connections: CONNECTIONS })
      say(`${name}: ${Math.round(result.perSecond)} calls/s`)
      return result.perSecond
    }
    for (const way of [on, without]) await perSecond(way, 'warming up')
    const { value, ratio } = await inTurns(
      pairs,
      () => perSecond(on, 'recorded'),
      () => perSecond(without, 'unrecorded'),
    )
    return {
      bench: 'audit',
      input: { seconds, pairs, connections: CONNECTIONS, call: 'S3 read of 1 KiB', cores: availableParallelism() },
      metrics: [
        {
          name: 'calls',
          value: Math.round(value),
          unit: '1/s',
          against: 'the same without audit log',
          ratio: Number(ratio.toFixed(3)),
          reach: REACH,
          met: ratio >= REACH,
        },
      ],
    }
  },
}
