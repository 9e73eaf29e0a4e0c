import assert from 'node:assert/strict'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { test } from 'node:test'
import { COLLECT_BYTES, passBytes } from './passed-bytes.ts'

test('what has passed is collected as young garbage, and the whole heap is left alone', async () => {
  const collected = Promise.withResolvers<unknown>()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind, flags } = (entry as PerformanceEntry & { detail: { kind: number; flags: number } }).detail // of "gc"
      if (flags === constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) collected.resolve(kind)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  passBytes(COLLECT_BYTES - 1)
  passBytes(1)
  assert.equal(await collected.promise, constants.NODE_PERFORMANCE_GC_MINOR)
  observer.disconnect()
  assert.equal('gc' in globalThis, false)
})
