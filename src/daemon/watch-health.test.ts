import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHealth } from './health.ts'
import { watchHealth } from './watch-health.ts'

test('a part that fails is seen, and is ready again after two good looks', async () => {
  const health = createHealth()
  health.expect('app')
  health.succeeded('app')
  const works = [false, true, true]
  const states: string[] = []
  const done = Promise.withResolvers<void>()
  await using _ = watchHealth({
    health,
    checks: [{ part: 'app', isWorking: () => works.shift() ?? true }],
    pause: async () => {
      states.push(health.worst().state)
      if (states.length < 4) return true
      done.resolve()
      return false
    },
  })
  await done.promise
  assert.deepEqual(states, ['ok', 'degraded', 'recovering', 'ok'])
})

test('it ends when it is disposed', async () => {
  const watch = watchHealth({ health: createHealth(), checks: [] })
  await watch[Symbol.asyncDispose]()
})
