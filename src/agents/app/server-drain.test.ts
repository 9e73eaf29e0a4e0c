import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { answer, lab, startBed } from './bed.conformance.ts'

suite('an agent that drains', () => {
  test('answers what is under way and what is on the way, and then ends each connection', async () => {
    await using bed = await startBed()
    const [busy, idle] = [await bed.connect(), await bed.connect()]
    await answer(idle)
    using _slow = lab.inject({ service: 's3', latencyMs: 100, times: 1 })
    const underWay = answer(busy)
    const drained = bed.server.drain()
    const onTheWay = answer(idle)
    const answers = await Promise.all([underWay, onTheWay])
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers.connection]),
      [
        [200, 'close'],
        [200, 'close'],
      ],
    )
    await drained
  })

  test('ends a connection that stays idle', async () => {
    await using bed = await startBed()
    const idle = await bed.connect()
    await answer(idle)
    await Promise.all([bed.server.drain(), once(idle, 'close')])
  })
})
