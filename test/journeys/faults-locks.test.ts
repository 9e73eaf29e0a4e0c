/** Locks bite while transfers run, and calls go on while Auth is away, as far as the locking mode lets them. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import type { Service } from '#tour/cluster.ts'
import { bucket, type Client, callsOf, eventually, openStage, type Stage, slowBody } from './faults-stage.ts'

/** After so long a lock must have cut everything; the promise is two seconds, and this machine may be busy. */
const BOUND_MS = 5_000

let stage: Stage
let agent: Service
let client: Client

before(async () => {
  stage = await openStage()
  agent = await stage.startAgent('agent', ['max_lock_age: 4s'])
  client = await stage.openClient()
  await stage.lab.putObject(bucket, 'large', Buffer.alloc(64_000_000))
  await put('first')
})
after(() => stage?.[Symbol.asyncDispose]())

const put = (key: string, s3: S3Client = client.s3) =>
  s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'x' }))
const failed = (call: Promise<unknown>): Promise<Error | undefined> =>
  call.then(
    () => undefined,
    (error: Error) => error,
  )

/** An upload of a GiB at 3 MB a second and a download at one; each gives its error and when it came. */
async function startTransfers(key: string) {
  const timed = async (call: Promise<unknown>) => ({ error: await failed(call), at: Date.now() })
  const bytes = 2 ** 30
  const upload = timed(
    client.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: slowBody(bytes), ContentLength: bytes })),
  )
  using _slow = stage.lab.inject({ service: 's3', operation: 'GetObject', bytesPerSecond: 1_000_000 })
  const { Body } = await client.s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'large' }))
  const download = timed(Promise.resolve(Body?.transformToByteArray()))
  return { upload, download }
}

interface Cut {
  readonly key: string
  readonly stop: () => Promise<unknown>
  readonly says: RegExp
}

/** Starts transfers, stops them, and sees that they and every new call have ended. */
async function cut(t: TestContext, { key, stop, says }: Cut): Promise<void> {
  const { upload, download } = await startTransfers(key)
  await put(`${key}-before`)
  const began = Date.now()
  await stop()
  const done = Date.now()
  const results = await Promise.all([upload, download])
  const times = results.map(({ at }) => at - done)
  t.diagnostic(`the command took ${done - began} ms; cut after it by: upload ${times[0]} ms, download ${times[1]} ms`)
  for (const { error } of results) assert.ok(error instanceof Error)
  assert.ok(Math.max(...times) < BOUND_MS)
  const refusal = await failed(put(`${key}-after`))
  t.diagnostic(`${refusal}`)
  // An answer that has begun can only be broken off; everything else is told why.
  assert.match(`${results[0]?.error}`, says)
  assert.match(`${refusal}`, says)
  assert.ok(!stage.lab.seen.some(({ path }) => path.endsWith(`/${key}-after`)))
}

/** Waits until calls are let through again. */
const allowed = () =>
  eventually(
    () => failed(put('allowed')),
    (error) => error === undefined,
  )
const tctl = (line: string) => stage.cluster.admin.run(`tctl ${line}`)
async function removeLocks(): Promise<void> {
  const locks: { metadata: { name: string } }[] = JSON.parse((await tctl('get locks --format json')).stdout)
  for (const { metadata } of locks) await tctl(`rm lock/${metadata.name}`)
}

test('Auth away: running and new calls go on, also those of programs that start meanwhile, and the agent shows that it is stale', async (t) => {
  const { auth } = stage.cluster.processes
  const bytes = 24_000_000
  const running = failed(
    client.s3.send(
      new PutObjectCommand({ Bucket: bucket, Key: 'running', Body: slowBody(bytes), ContentLength: bytes }),
    ),
  )
  await put('there')
  await auth.stop('SIGKILL')
  const gone = Date.now()
  await using later = stage.alice.shell.start('tsh proxy aws --app awsconsole')
  await later.waitFor(/export HTTPS_PROXY=\S+/)
  t.diagnostic(`a new "tsh proxy aws" was up ${Date.now() - gone} ms after Auth was gone`)
  let calls = 0
  while (Date.now() - gone < 12_000) {
    await put(`away-${calls++}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.equal(await running, undefined)
  assert.match(agent.output(), /WARN.*the copy of the cluster state is stale/)
  const { age, ready } = await health()
  t.diagnostic(`${calls} calls while Auth was away; age ${age} s; readyz ${ready}`)
  assert.ok(age > 8)
  assert.equal(ready, 503)

  await auth.start()
  const back = Date.now()
  const recorded = await stage.callsThat((recorded) => callsOf(recorded, `away-${calls - 1}`).length > 0)
  t.diagnostic(`events were in the log ${Date.now() - back} ms after Auth was back`)
  for (let n = 0; n < calls; n++) assert.equal(callsOf(recorded, `away-${n}`).length, 1)
  assert.match(
    await eventually(
      () => agent.output(),
      (output) => /is current again/.test(output),
    ),
    /current again/,
  )
})

test('Auth away in strict mode: calls are refused, and running ones cut, after the set time; it recovers by itself', async (t) => {
  const { auth } = stage.cluster.processes
  writeFileSync(
    join(stage.cluster.admin.home, 'strict.yaml'),
    'kind: cluster_auth_preference\nversion: v2\nmetadata: {name: cluster-auth-preference}\nspec: {type: local, second_factors: [otp], locking_mode: strict}\n',
  )
  await tctl('create -f strict.yaml')
  const { upload, download } = await startTransfers('strict')
  await put('strict-before')
  await auth.stop('SIGKILL')
  const gone = Date.now()
  await put('strict-still')
  const results = await Promise.all([upload, download])
  t.diagnostic(`cut ${results.map(({ at }) => at - gone).join(' and ')} ms after Auth was gone, with a limit of 4 s`)
  assert.match(`${results[0]?.error}`, /local lock view becoming unreliable/)
  const refusal = await failed(put('strict-after'))
  t.diagnostic(`${refusal}`)
  assert.equal(refusal?.name, 'ServiceUnavailable')
  assert.match(`${refusal}`, /local lock view becoming unreliable/)

  await auth.start()
  const back = Date.now()
  await allowed()
  t.diagnostic(`served again ${Date.now() - back} ms after Auth was back`)
  const calls = await stage.callsThat((calls) => callsOf(calls, 'strict-after').length > 0)
  assert.deepEqual(
    callsOf(calls, 'strict').map(({ outcome, reason }) => [outcome, reason]),
    [['cut', 'locks-unreliable']],
  )
})

test('a lock on the user cuts running transfers', async (t) => {
  await cut(t, {
    key: 'user',
    stop: () => tctl('lock --user alice --message "call the desk" --ttl 10m'),
    says: /AccessDenied.*User:"alice" is in force: call the desk/,
  })
  await removeLocks()
  await allowed()
})

test('a lock on a role cuts running transfers', async (t) => {
  await cut(t, { key: 'role', stop: () => tctl('lock --role aws-access --ttl 10m'), says: /AccessDenied.*Role:/ })
  await removeLocks()
  await allowed()
})

test('taking a role from the user cuts running transfers', async (t) => {
  await cut(t, {
    key: 'removed-role',
    stop: () => tctl('users update alice --set-roles access'),
    says: /AccessDenied.*the role "aws-access" was removed/,
  })
  await tctl('users update alice --set-roles access,aws-access')
  await allowed()
})

test('ending the app session cuts running transfers', async (t) => {
  await cut(t, {
    key: 'session',
    stop: () => stage.alice.shell.run('tsh apps logout awsconsole'),
    says: /AccessDenied.*the app session was ended/,
  })
  client = await stage.openClient()
  await put('new-session')
})

test('removing the user cuts running transfers', async (t) => {
  await cut(t, { key: 'removed', stop: () => tctl('users rm alice'), says: /AccessDenied.*the user was removed/ })
  const calls = await stage.callsThat((calls) => callsOf(calls, 'removed').length > 0)
  for (const key of ['user', 'role', 'removed-role', 'session', 'removed']) {
    assert.deepEqual(
      callsOf(calls, key).map(({ outcome }) => outcome),
      ['cut'],
      key,
    )
  }
})

async function health(): Promise<{ readonly age: number; readonly ready: number }> {
  const address = /\[DIAG\] diagnostics are served addr:(\S+)/.exec(agent.output())?.[1]
  const metrics = await (await fetch(`http://${address}/metrics`)).text()
  const { status } = await fetch(`http://${address}/readyz`)
  return {
    age: Number(/^teleport_cluster_state_age_seconds\{part="app"\} (\S+)$/m.exec(metrics)?.[1] ?? 0),
    ready: status,
  }
}
