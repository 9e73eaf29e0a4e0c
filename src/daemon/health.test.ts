import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { createHealth, listenForHealth } from './health.ts'

suite('readiness is what the worst part says', () => {
  for (const { says, events, state } of [
    { says: 'a part that has said nothing is starting', events: [], state: 'starting' },
    { says: 'a failure while starting changes nothing', events: ['failed'], state: 'starting' },
    { says: 'a success makes it ready', events: ['succeeded'], state: 'ok' },
    { says: 'one failure degrades', events: ['succeeded', 'failed'], state: 'degraded' },
    { says: 'the first success after it recovers', events: ['succeeded', 'failed', 'succeeded'], state: 'recovering' },
    { says: 'the second makes it ready', events: ['succeeded', 'failed', 'succeeded', 'succeeded'], state: 'ok' },
    {
      says: 'a failure while recovering degrades',
      events: ['succeeded', 'failed', 'succeeded', 'failed'],
      state: 'degraded',
    },
  ] as const) {
    test(says, () => {
      const health = createHealth()
      health.expect('proxy')
      health.expect('auth')
      health.succeeded('auth')
      for (const event of events) health[event]('proxy')
      assert.equal(health.worst().state, state)
    })
  }
})

test('the listener answers what monitors ask', async () => {
  const health = createHealth()
  health.expect('auth')
  await using listener = await listenForHealth({ address: { host: '127.0.0.1', port: 0 }, health, log: silentLog })
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${listener.port}${path}`, { method })
    return { status: response.status, text: await response.text() }
  }
  assert.deepEqual(await ask('/healthz'), { status: 200, text: '{"status":"ok"}\n' })
  assert.deepEqual(await ask('/readyz'), {
    status: 400,
    text: `${JSON.stringify({ status: "teleport is starting and hasn't joined the cluster yet", pid: process.pid })}\n`,
  })
  health.succeeded('auth')
  assert.equal((await ask('/readyz')).status, 200)
  health.failed('auth')
  const degraded = await ask('/readyz')
  assert.equal(degraded.status, 503)
  assert.match(degraded.text, /failing component: auth/)
  health.showAge('app', () => new Date(Date.now() - 90_000))
  health.showAge('never', () => new Date(0))
  assert.doesNotMatch((await ask('/metrics')).text, /preflight/)
  health.showPreflight(() => 2)
  const metrics = await ask('/metrics')
  assert.match(metrics.text, /^teleport_app_preflight_failures 2$/m)
  assert.match(metrics.text, /^teleport_cluster_state_age_seconds\{part="app"\} 90(\.\d+)?$/m)
  assert.doesNotMatch(metrics.text, /never/)
  assert.match(metrics.text, /^process_resident_memory_bytes \d+$/m)
  assert.match(metrics.text, /^process_state 2$/m)
  assert.equal((await ask('/other')).status, 404)
  assert.equal((await ask('/healthz', 'POST')).status, 405)
})

test('an address in use is named', async () => {
  await using first = await listenForHealth({
    address: { host: '127.0.0.1', port: 0 },
    health: createHealth(),
    log: silentLog,
  })
  const address = { host: '127.0.0.1', port: first.port }
  await assert.rejects(listenForHealth({ address, health: createHealth(), log: silentLog }), {
    message: `cannot listen on diag_addr 127.0.0.1:${first.port}`,
  })
})
