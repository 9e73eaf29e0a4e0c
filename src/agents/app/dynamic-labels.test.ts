import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { type App, parseApp } from '#resources/app.ts'
import { startDynamicLabels } from './dynamic-labels.ts'

const app = (commands: Readonly<Record<string, readonly string[]>>): App =>
  parseApp({
    kind: 'app',
    version: 'v3',
    metadata: { name: 'aws' },
    spec: {
      uri: 'https://console.aws.amazon.com/',
      dynamic_labels: Object.fromEntries(
        Object.entries(commands).map(([name, command]) => [name, { command, period: '1h0m0s' }]),
      ),
    },
  })

suite('a dynamic label', () => {
  test('has what its command printed, once it has', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const served = app({ where: [process.execPath, '-p', '"here"'] })
    await using labels = startDynamicLabels({ apps: [served], onChange: () => resolve(), log: silentLog })
    assert.equal(labels.apply(served).spec.dynamic_labels?.where?.result, undefined)
    await promise
    assert.equal(labels.apply(served).spec.dynamic_labels?.where?.result, 'here')
  })

  test('whose command fails is without a value, and the others are there', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const served = app({ broken: ['/nonexistent'], fine: [process.execPath, '-p', '1'] })
    await using labels = startDynamicLabels({ apps: [served], onChange: () => resolve(), log: silentLog })
    await promise
    const { broken, fine } = labels.apply(served).spec.dynamic_labels ?? {}
    assert.deepEqual([broken?.result, fine?.result], [undefined, '1'])
  })

  test('of another app than those of the file is never run', async () => {
    await using labels = startDynamicLabels({ apps: [], onChange: () => assert.fail('it ran'), log: silentLog })
    const foreign = app({ where: [process.execPath, '-p', '"here"'] })
    assert.equal(labels.apply(foreign).spec.dynamic_labels?.where?.result, undefined)
  })
})
