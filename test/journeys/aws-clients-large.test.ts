/** An object of 2 GiB there and back: byte for byte, and in memory that does not grow with it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireTool } from '#test/tools.ts'
import { startAwsStage } from './aws-stage.ts'

const GIB = 1024 ** 3
/** A process that holds parts of the object grows by far more: the CLI has 80 MiB under way at any time. */
const MAX_GROWTH_MIB = 200

test('2 GiB go to S3 and back, byte for byte, and no process grows with them', async (t) => {
  if (requireTool(t, 'aws-v2') === undefined) return
  if (process.platform !== 'linux') return t.skip('memory is read from /proc')
  await using stage = await startAwsStage()
  const { shell } = await stage.invite('alice')
  await shell.run('tsh apps login --quiet --aws-role Writer awsconsole')
  writeNoise(join(shell.home, 'large'), 2 * GIB)

  const pids = { agent: stage.agent.pid(), 'Auth and proxy': stage.cluster.processes.auth.pid() }
  // A small transfer first: what each process needs for any transfer at all.
  await shell.run('head -c 40000000 large > small && tsh aws --exec aws-v2 s3 cp small s3://reports/small')
  const before = Object.entries(pids).map(([name, pid]) => [name, pid, peakMib(pid)] as const)

  for (const [says, from, to] of [
    ['up', 'large', 's3://reports/large'],
    ['down', 's3://reports/large', 'back'],
  ] as const) {
    const began = performance.now()
    await using copy = shell.start(`tsh aws --exec aws-v2 s3 cp --no-progress ${from} ${to}`)
    const tsh = copy.pid
    let [tshFirst, tshPeak] = [0, 0]
    const sampling = setInterval(() => {
      tshPeak = peakMib(tsh) || tshPeak
      if (performance.now() - began > 5_000) tshFirst ||= tshPeak
    }, 250)
    try {
      await copy.waitFor(/^(upload|download): /m, 300_000)
    } finally {
      clearInterval(sampling)
    }
    const seconds = (performance.now() - began) / 1000
    t.diagnostic(`${says}: ${Math.round((2 * 1024) / seconds)} MiB/s, tsh at most ${tshPeak} MiB`)
    assert.ok(tshPeak > 0, 'tsh was seen')
    assert.ok(tshPeak - tshFirst < MAX_GROWTH_MIB, `tsh grew from ${tshFirst} to ${tshPeak} MiB`)
  }
  await shell.run('cmp large back')
  for (const [name, pid, first] of before) {
    const peak = peakMib(pid)
    t.diagnostic(`${name}: at most ${first} MiB before, ${peak} MiB after`)
    assert.ok(peak - first < MAX_GROWTH_MIB, `${name} grew from ${first} to ${peak} MiB`)
  }
})

/** The most memory that a process has had, in MiB; 0 when it is gone. */
function peakMib(pid: number): number {
  try {
    const [, kib = '0'] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Math.round(Number(kib) / 1024)
  } catch {
    return 0
  }
}

/** Each MiB is another one, so that parts in the wrong order are seen. */
function writeNoise(file: string, bytes: number): void {
  const block = randomBytes(1024 ** 2)
  const descriptor = openSync(file, 'w')
  for (let written = 0; written < bytes; written += block.length) {
    block.writeUInt32BE(written / block.length)
    writeSync(descriptor, block)
  }
  closeSync(descriptor)
}
