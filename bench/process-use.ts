/** What processes use, as Linux tells of them. Elsewhere there is nothing to read, and the numbers are left out. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Processes by what they are: `{ agent: 4711 }`. */
export type Processes = Readonly<Record<string, number>>

export const canMeasureUse = process.platform === 'linux'

/** Milliseconds of processor time that each has had so far, all of its threads together. */
export function cpuTimes(processes: Processes): ReadonlyMap<string, number> {
  return new Map(Object.entries(processes).map(([name, pid]) => [name, cpuMs(pid)]))
}

function cpuMs(pid: number): number {
  if (!canMeasureUse) return 0
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanoseconds / 1e6
}

/** Begins anew to keep the largest size of each. */
export function forgetPeaks(processes: Processes): void {
  if (canMeasureUse) for (const pid of Object.values(processes)) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** Largest resident size of each since `forgetPeaks`, in MiB. */
export function peakSizes(processes: Processes): ReadonlyMap<string, number> {
  return new Map(Object.entries(processes).map(([name, pid]) => [name, sizeOf(pid)]))
}

function sizeOf(pid: number): number {
  if (!canMeasureUse) return 0
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
