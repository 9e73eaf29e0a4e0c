/** Stops, broken connections to the cloud, and a full spool. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import type { Service } from '#tour/cluster.ts'
import { bucket, type Client, callsOf, eventually, openStage, type Stage, slowBody } from './faults-stage.ts'

let stage: Stage
let agent: Service
let client: Client

before(async () => {
  stage = await openStage()
  agent = await stage.startAgent('agent')
  client = await stage.openClient()
  await stage.lab.putObject(bucket, 'object', Buffer.alloc(4_000_000))
  await put('first')
})
after(() => stage?.[Symbol.asyncDispose]())

const put = (key: string, { s3 } = client) => s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'x' }))
const upload = (key: string, bytes: number) =>
  client.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: slowBody(bytes), ContentLength: bytes })).then(
    () => undefined,
    (error: Error) => error,
  )
/** Waits until the agent has begun with the call: its intent is in the spool. */
const begun = (key: string) =>
  eventually(
    () => readFileSync(`${agent.dataDir}/app/audit-spool`).includes(`/${key}"`),
    (isThere) => isThere,
  )

test('an agent that gets SIGTERM lets calls end, cuts what takes longer than the grace, and delivers its events', async (t) => {
  const [short, long] = [upload('short', 4_000_000), upload('long', 100_000_000)]
  await Promise.all([begun('short'), begun('long')])
  const asked = Date.now()
  assert.equal(await agent.stop('SIGTERM'), 0, agent.output())
  t.diagnostic(`stopped after ${Date.now() - asked} ms, with a grace of 3 s`)
  assert.equal(await short, undefined)
  const cut = await long
  assert.equal(cut?.name, 'ServiceUnavailable')
  assert.match(`${cut}`, /this agent is stopping/)
  const calls = await stage.calls()
  assert.deepEqual(
    ['short', 'long'].map((key) => callsOf(calls, key).map(({ status_code, outcome }) => [status_code, outcome])),
    [[[200, undefined]], [[503, 'failed']]],
  )
  assert.match(agent.output(), /stopping.*cutting what is still under way.*stopped/s)
  await agent.start()
})

test('an agent without calls stops at once', async (t) => {
  await put('before-stop')
  const asked = Date.now()
  assert.equal(await agent.stop('SIGTERM'), 0, agent.output())
  t.diagnostic(`stopped after ${Date.now() - asked} ms`)
  assert.doesNotMatch(agent.output().split('stopping').at(-1) ?? '', /cutting/)
  await agent.start()
})

test('a proxy that gets SIGTERM lets calls end', async (t) => {
  const { proxy } = stage.cluster.processes
  const short = upload('through-a-stopping-proxy', 4_000_000)
  await begun('through-a-stopping-proxy')
  const asked = Date.now()
  assert.equal(await proxy?.stop('SIGTERM'), 0, proxy?.output() ?? '')
  t.diagnostic(`stopped after ${Date.now() - asked} ms`)
  assert.equal(await short, undefined)
  assert.doesNotMatch(proxy?.output() ?? '', /cutting/)
  await proxy?.start()
  await eventually(
    () => put('after-the-proxy').catch(() => undefined),
    (answer) => answer !== undefined,
  )
})

test('Auth that gets SIGTERM ends with 0, and what it had is there again', async () => {
  const { auth } = stage.cluster.processes
  assert.equal(await auth.stop('SIGTERM'), 0)
  await put('without-auth')
  await auth.start()
  await stage.callsThat((calls) => callsOf(calls, 'without-auth').length === 1)
})

test('a connection that AWS resets is an error in the words of AWS, or a success at the next try', async (t) => {
  using reset = stage.lab.inject({ service: 's3', operation: 'PutObject', reset: true, times: 1 })
  const error = await put('reset').then(
    () => undefined,
    (error: Error) => error,
  )
  assert.equal(error?.name, 'ServiceUnavailable')
  t.diagnostic(`${error}`)
  reset[Symbol.dispose]()

  await using patient = await stage.openClient({ maxAttempts: 3 })
  using _again = stage.lab.inject({ service: 's3', operation: 'PutObject', reset: true, times: 1 })
  await put('tried-again', patient)

  using _cut = stage.lab.inject({ service: 's3', operation: 'GetObject', cutAfterBytes: 1_000_000, times: 1 })
  const { Body } = await client.s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'object' }))
  await assert.rejects(async () => Body?.transformToByteArray())

  const calls = await stage.callsThat((calls) => callsOf(calls, 'object').length > 0)
  assert.deepEqual(
    ['reset', 'tried-again', 'object'].map((key) =>
      callsOf(calls, key).map(({ status_code, outcome }) => [status_code, outcome]),
    ),
    [
      [[503, 'failed']],
      [
        [503, 'failed'],
        [200, undefined],
      ],
      [[200, 'failed']],
    ],
  )
})

test('while the spool is full, what changes something is refused and reading goes on; the log says so', async (t) => {
  await agent.stop()
  const settings = readFileSync(agent.configFile, 'utf8')
  writeFileSync(
    agent.configFile,
    settings.replace('\n  apps:', '\n  audit_spool:\n    max_bytes: 40000\n    when_full: refuse_changes\n  apps:'),
  )
  await agent.start()
  const { auth } = stage.cluster.processes
  await put('before-full')
  await auth.stop()
  let taken = 0
  let refusal: Error | undefined
  while (refusal === undefined && taken < 100) {
    await put(`full-${taken}`).then(
      () => taken++,
      (error: Error) => {
        refusal = error
      },
    )
  }
  t.diagnostic(`after ${taken} calls: ${refusal}`)
  assert.equal(refusal?.name, 'ServiceUnavailable')
  assert.match(refusal?.message ?? '', /the audit spool is full/)
  assert.ok(!stage.lab.seen.some(({ path }) => path.endsWith(`/full-${taken}`)))
  await client.s3.send(new ListObjectsV2Command({ Bucket: bucket }))
  assert.match(agent.output(), /ERROR.*the audit spool is full/)

  await auth.start()
  const calls = await stage.callsThat((calls) => callsOf(calls, `full-${taken - 1}`).length > 0)
  for (let n = 0; n < taken; n++) assert.equal(callsOf(calls, `full-${n}`).length, 1)
  const { stdout } = await stage.cluster.admin.run('tctl audit ls --last 1h --type audit.spool.full --format json')
  assert.equal(JSON.parse(stdout).length, 1)
  await put('after-full')
})
