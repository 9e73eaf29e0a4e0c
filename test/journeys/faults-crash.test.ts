/** Processes that end without a warning: what was promised of calls, of the audit log and of state holds. */
import assert from 'node:assert/strict'
import { cpSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import type { Service } from '#tour/cluster.ts'
import { bucket, type Client, callsOf, openStage, type Stage, slowBody } from './faults-stage.ts'

let stage: Stage
let agent: Service
let client: Client

before(async () => {
  stage = await openStage()
  agent = await stage.startAgent('agent')
  client = await stage.openClient()
  await stage.lab.putObject(bucket, 'large', Buffer.alloc(32_000_000))
  await put('first')
})
after(() => stage?.[Symbol.asyncDispose]())

const put = (key: string) => client.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'x' }))

/** An upload of 3 MB a second, and a download of one. Each gives its error in the end. */
async function startTransfers(key: string): Promise<Promise<readonly unknown[]>[]> {
  const upload = client.s3
    .send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: slowBody(50_000_000), ContentLength: 50_000_000 }))
    .catch((error: unknown) => error)
  using _slow = stage.lab.inject({ service: 's3', operation: 'GetObject', bytesPerSecond: 1_000_000 })
  const { Body } = await client.s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'large' }))
  const download = Body?.transformToByteArray().catch((error: unknown) => error)
  return [Promise.all([upload, download])]
}

test('kill -9 of the agent in the middle of calls: it comes back without a token, and the log has each call once', async (t) => {
  const [transfers] = await startTransfers('cut-by-agent')
  await Promise.all(Array.from({ length: 20 }, (_, n) => put(`done-${n}`)))
  const killed = Date.now()
  await agent.stop('SIGKILL')
  const [upload, download] = (await transfers) ?? []
  t.diagnostic(`clients knew after ${Date.now() - killed} ms: ${upload}; ${download}`)
  assert.ok(upload instanceof Error)
  assert.match(`${upload}`, /ServiceUnavailable: the connection to the agent of app "awsconsole" broke/)
  assert.ok(download instanceof Error)

  writeFileSync(join(stage.cluster.dir, 'agent.token'), 'this token is gone')
  await agent.start()
  await put('after')
  t.diagnostic(`it served again after ${Date.now() - killed} ms`)
  const calls = await stage.callsThat((calls) => callsOf(calls, 'after').length > 0)
  for (let n = 0; n < 20; n++) assert.deepEqual(statuses(calls, `done-${n}`), [200])
  assert.deepEqual(
    callsOf(calls, 'cut-by-agent').map(({ outcome }) => outcome),
    ['unknown'],
  )
  assert.equal(new Set(calls.map(({ uid }) => uid)).size, calls.length)
})

test('kill -9 of Auth while events flow: calls go on, each is in the log once, and its files are sound', async (t) => {
  const { auth } = stage.cluster.processes
  const keys: string[] = []
  let isDone = false
  const worker = async (name: string): Promise<void> => {
    for (let n = 0; !isDone; n++) {
      await put(`${name}-${n}`)
      keys.push(`${name}-${n}`)
    }
  }
  const workers = Promise.all(['a', 'b', 'c', 'd'].map(worker))
  await reached(keys, 40)
  await auth.stop('SIGKILL')
  const before = keys.length
  await reached(keys, before + 100)
  assert.deepEqual(soundness(auth.dataDir, join(stage.cluster.dir, 'copy')), ['ok', 'ok'])
  await auth.start()
  await reached(keys, keys.length + 40)
  isDone = true
  await workers
  t.diagnostic(`${keys.length} calls, ${keys.length - before} of them after Auth was killed`)
  const calls = await stage.callsThat((calls) => keys.every((key) => callsOf(calls, key).length > 0))
  assert.deepEqual(
    keys.filter((key) => statuses(calls, key).join() !== '200'),
    [],
  )
  await stage.alice.login()
})

test('kill -9 of the proxy in the middle of transfers: clients are told, and the agent comes back to it', async (t) => {
  const { proxy } = stage.cluster.processes
  const [transfers] = await startTransfers('cut-by-proxy')
  await put('meanwhile')
  const killed = Date.now()
  await proxy?.stop('SIGKILL')
  const [upload, download] = (await transfers) ?? []
  t.diagnostic(`clients knew after ${Date.now() - killed} ms: ${upload}; ${download}`)
  assert.ok(upload instanceof Error)
  assert.match(`${upload}`, /ServiceUnavailable: the connection to the agent of app "awsconsole" broke/)
  assert.ok(download instanceof Error)
  const refused = await put('nobody').catch((error: Error) => error)
  assert.ok(refused instanceof Error)
  t.diagnostic(`without a proxy: ${refused}`)

  await proxy?.start()
  const started = Date.now()
  let attempts = 0
  for (;;) {
    attempts++
    const error = await put('back').then(
      () => undefined,
      (error: Error) => error,
    )
    if (error === undefined) break
    assert.equal(error.name, 'ServiceUnavailable')
    assert.ok(Date.now() - started < 15_000, `not back within 15 s: ${error}`)
  }
  t.diagnostic(`served again ${Date.now() - started} ms after the proxy was up, at attempt ${attempts}`)
  const calls = await stage.callsThat((calls) => callsOf(calls, 'back').length > 0)
  assert.deepEqual(
    callsOf(calls, 'cut-by-proxy').map(({ outcome }) => outcome),
    ['client-gone'],
  )
})

test('of two agents one is killed, or stopped under load: the next call goes to the other', async () => {
  const other = await stage.startAgent('other')
  // A call that leaves before the end of the killed agent's connection is heard of is answered 503; clients try that again.
  await using patient = await stage.openClient({ maxAttempts: 3 })
  for (const killed of [agent, other]) {
    await killed.stop('SIGKILL')
    for (let n = 0; n < 5; n++) {
      await patient.s3.send(new PutObjectCommand({ Bucket: bucket, Key: `by-the-other-${n}`, Body: 'x' }))
    }
    await killed.start()
  }
  let isDone = false
  const calls = ['a', 'b', 'c'].map(async (name) => {
    for (let n = 0; !isDone; n++) await put(`while-one-stops-${name}-${n}`)
  })
  for (const stopped of [agent, other]) {
    await stopped.stop('SIGTERM')
    if (stopped === agent) await agent.start()
  }
  isDone = true
  await Promise.all(calls) // none has failed
})

test('a proxy and an agent that are killed while Auth is away come back without it', async (t) => {
  const { auth, proxy } = stage.cluster.processes
  await auth.stop('SIGKILL')
  const killed = Date.now()
  await proxy?.stop('SIGKILL')
  await agent.stop('SIGKILL')
  await proxy?.start()
  const starting = agent.start() // it serves before it is ready: it waits for Auth a while
  while ((await put('without-auth').catch(() => undefined)) === undefined) {
    assert.ok(Date.now() - killed < 30_000)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.diagnostic(`served again after ${Date.now() - killed} ms`)
  await auth.start()
  await starting
  await stage.callsThat((calls) => callsOf(calls, 'without-auth').length === 1)
})

const statuses = (calls: Parameters<typeof callsOf>[0], key: string): readonly unknown[] =>
  callsOf(calls, key).map(({ status_code: status }) => status)

async function reached(keys: readonly string[], count: number): Promise<void> {
  const deadline = Date.now() + 30_000
  while (keys.length < count) {
    assert.ok(Date.now() < deadline, `only ${keys.length} of ${count} calls`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** What SQLite says of each of its files, looked at in a copy. */
function soundness(dataDir: string, copy: string): readonly unknown[] {
  cpSync(dataDir, copy, { recursive: true, filter: (file) => !file.endsWith('.sock') })
  const files = globSync('**/*', { cwd: copy, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).subarray(0, 15).toString() === 'SQLite format 3')
  return files.map((file) => {
    const database = new DatabaseSync(file)
    const { integrity_check: answer } = database.prepare('PRAGMA integrity_check').get() ?? {}
    database.close()
    return answer
  })
}
