import { availableParallelism } from 'node:os'
import { type AwsBed, openAwsBed, ourParts } from './aws-bed.ts'
import type { AwsWay } from './aws-connection.ts'
import type { TransferMode, TransferResult } from './aws-load.ts'
import { type Bench, inTurns, type Metric } from './bench.ts'
import { canMeasureUse, cpuTimes, forgetPeaks, peakSizes } from './process-use.ts'

const MIB = 1024 * 1024
const REACH = 0.5
const REACH_GROWTH_MIB = 32
const WARM_UP_BYTES = 32 * MIB
const MODES: readonly TransferMode[] = [
  'download',
  'signed-hash',
  'unsigned',
  'unsigned-trailer',
  'signed-chunks',
  'signed-chunks-trailer',
]

/** Large bodies, one at a time: how fast they stream, and what of them stays in memory. */
export const bench: Bench = {
  name: 'aws-body',
  says: 'large S3 objects down and up in every payload mode, against the same client straight to the same server',
  async run({ long, say }) {
    const bytes = (long ? 2048 : 256) * MIB
    const pairs = 2
    say('starting Auth, proxy, agent, local proxy, a bare AWS and a client')
    await using bed = await openAwsBed([{ name: 'awsconsole' }])
    const [ours] = bed.ways
    if (ours === undefined) throw new Error('there is no local proxy')
    // Twice: pools and heaps have their size by then, and what comes on top is the size of the bodies.
    for (const mode of [...MODES, ...MODES]) await speed(bed, { way: ours, mode, bytes: WARM_UP_BYTES })
    forgetPeaks(bed.processes)
    const before = peakSizes(bed.processes)
    const metrics: Metric[] = []
    for (const mode of MODES) {
      const cpuBefore = cpuTimes(bed.processes)
      const { value, peer, ratio } = await inTurns(
        pairs,
        () => speed(bed, { way: ours, mode, bytes }),
        () => speed(bed, { way: bed.straight, mode, bytes }),
      )
      const cpuAfter = cpuTimes(bed.processes)
      const costs = ourParts.map((part) => {
        const ms = (cpuAfter.get(part) ?? 0) - (cpuBefore.get(part) ?? 0)
        return `${part} ${((ms * MIB) / bytes / pairs).toFixed(1)}`
      })
      say(`${mode}: ${Math.round(value)} MB/s, straight ${Math.round(peer)} MB/s`)
      if (canMeasureUse) say(`  ms of processor time a MiB: ${costs.join(', ')}`)
      metrics.push({
        name: mode,
        value: Math.round(value),
        unit: 'MB/s',
        against: 'straight',
        ratio: Number(ratio.toFixed(2)),
        reach: REACH,
        met: ratio >= REACH,
      })
    }
    const after = peakSizes(bed.processes)
    for (const part of canMeasureUse ? ourParts : []) {
      const grown = Math.round((after.get(part) ?? 0) - (before.get(part) ?? 0))
      say(`${part}: ${Math.round(before.get(part) ?? 0)} MiB, and at most ${grown} MiB more`)
      metrics.push({
        name: `memory ${part}`,
        value: grown,
        unit: 'MiB more',
        reach: REACH_GROWTH_MIB,
        met: grown < REACH_GROWTH_MIB,
      })
    }
    return {
      bench: 'aws-body',
      input: {
        mebibytes: bytes / MIB,
        pairs,
        aws: 'a bare emulator that checks nothing',
        cores: availableParallelism(),
      },
      metrics,
    }
  },
}

/** Megabytes a second. */
async function speed(
  bed: AwsBed,
  { way, mode, bytes }: { way: AwsWay; mode: TransferMode; bytes: number },
): Promise<number> {
  const { ms } = await bed.order<TransferResult>({ kind: 'transfer', way, mode, bytes })
  return bytes / ms / 1000
}
