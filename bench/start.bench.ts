/** How long the command lines take to start: what people wait for at every command, and kubectl at every call of its plugin. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { bundlePrograms } from '#scripts/bundle.ts'
import { storeSampleLogin, temporaryDirectory } from '#test/sample-login.ts'
import { checkout } from '#test/shell.ts'
import { type Bench, inTurns, type Metric } from './bench.ts'

/** Milliseconds beyond what Node.js takes to do nothing. */
const REACH_MS = 60
const PEER = 'node -e 0'
/** The first fills the cache of compiled code; the second has it. */
const WARM_UPS = 2

export const bench: Bench = {
  name: 'start',
  says: `tsh, bundled and from source, with its compiled code kept from before, in turns with "${PEER}"`,
  async run({ long, say }) {
    const pairs = long ? 40 : 15
    await using directory = await temporaryDirectory()
    const home = join(directory.path, 'home')
    const dist = join(directory.path, 'dist')
    await bundlePrograms(dist)
    await storeSampleLogin(join(home, '.tsh'))
    const path = `${dirname(process.execPath)}:/usr/bin:/bin`
    const env = { HOME: home, PATH: path, TZ: 'Europe/Berlin' } // a zone whose name must be looked up, as most
    const bare = (): Promise<number> => timeOf(process.execPath, ['-e', '0'], env)
    const metrics: Metric[] = []
    for (const { from, launcher, isPromised } of [
      { from: 'bundle', launcher: join(dist, 'tsh'), isPromised: true },
      { from: 'source', launcher: `${checkout}bin/tsh`, isPromised: false },
    ]) {
      for (const command of ['version', 'status']) {
        const start = (): Promise<number> => timeOf(launcher, [command], env)
        for (let run = 0; run < WARM_UPS; run++) await start()
        const { value, peer } = await inTurns(pairs, start, bare)
        const over = Number((value - peer).toFixed(1))
        const cpu = await cpuOf(launcher, [command], env)
        const cpuOver = Number((cpu - (await cpuOf(process.execPath, ['-e', '0'], env))).toFixed(1))
        say(`tsh ${command} from the ${from}: ${value.toFixed(1)} ms, ${over} ms over ${peer.toFixed(1)} ms of ${PEER}`)
        say(
          `  of a processor ${cpu.toFixed(1)} ms, ${cpuOver} ms over it: about what it is on a machine with nothing else to do`,
        )
        metrics.push({
          name: `${command}-${from}`,
          value: over,
          unit: 'ms over',
          against: PEER,
          ...(isPromised ? { reach: REACH_MS, met: over <= REACH_MS } : {}),
        })
        metrics.push({ name: `${command}-${from}-cpu`, value: cpuOver, unit: 'ms over', against: PEER })
      }
    }
    await rm(join(home, '.cache'), { recursive: true })
    const cold = await timeOf(join(dist, 'tsh'), ['status'], env)
    say(`tsh status from the bundle, the very first time: ${cold.toFixed(1)} ms`)
    return { bench: 'start', input: { pairs, node: process.versions.node, loggedIn: true }, metrics }
  },
}

/** Milliseconds from the start of a program to its end. @throws when it ends with another code than 0 */
async function timeOf(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const started = performance.now()
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const [code] = await once(child, 'exit')
  const tookMs = performance.now() - started
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${String(code)}`)
  return tookMs
}

/** Runs that are counted together: the clock of processes ticks slowly. */
const CPU_RUNS = 10

/** Milliseconds of processor time of one run. @throws where the shell does not say it */
async function cpuOf(program: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const script = `i=0; while [ $i -lt ${CPU_RUNS} ]; do "$@" >&2 || exit 1; i=$((i+1)); done; times`
  const child = spawn('/bin/sh', ['-c', script, 'sh', program, ...args], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  const said = await text(child.stdout)
  const [, children = ''] = said.trim().split('\n')
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds),
  )
  if (times.length !== 2) throw new Error(`${program} ${args.join(' ')} was not timed: ${said}`)
  return (times.reduce((sum, time) => sum + time, 0) * 1000) / CPU_RUNS
}
