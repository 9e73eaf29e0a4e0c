/** The form of a benchmark, and the arithmetic that all of them share. */

/** One measured promise: `npm run bench NAME`. */
export interface Bench {
  readonly name: string
  /** One sentence: what is measured against what. */
  readonly says: string
  /** Seconds by default; the full input when `long`. `say` prints progress on stderr. */
  run(options: BenchOptions): Promise<BenchResult>
}

export interface BenchOptions {
  readonly long: boolean
  readonly say: (line: string) => void
}

/** What is printed as one line of JSON at the end. */
interface BenchResult {
  readonly bench: string
  readonly input: Readonly<Record<string, unknown>>
  readonly metrics: readonly Metric[]
}

export interface Metric {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What it stands against; the ratio is taken in the same run, in turns, as the median of several pairs. */
  readonly against?: string
  readonly ratio?: number
  /** Of the ratio where there is one, else of the value. */
  readonly reach?: number
  readonly met?: boolean
}

/** @throws {RangeError} of an empty list */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) throw new RangeError('the median of no values')
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

/** The value below which `share` (0 to 1) of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  if (value === undefined) throw new RangeError('a quantile of no values')
  return value
}

/** Runs `ours` and `theirs` in turns, so that a machine whose speed drifts slows both; gives the medians and the median ratio. */
export async function inTurns(
  pairs: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<{ readonly value: number; readonly peer: number; readonly ratio: number }> {
  const values: number[] = []
  const peers: number[] = []
  for (let pair = 0; pair < pairs; pair++) {
    values.push(await ours())
    peers.push(await theirs())
  }
  return {
    value: median(values),
    peer: median(peers),
    ratio: median(values.map((value, index) => value / (peers[index] ?? Number.NaN))),
  }
}
