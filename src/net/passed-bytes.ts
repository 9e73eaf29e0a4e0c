import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'

/** How much passes between two collections. */
export const COLLECT_BYTES: number = 2 * 1024 * 1024

// Of the process, as its heap is.
let collect: ((options: { type: 'minor' }) => void) | undefined
let passed = 0

/**
 * Told of each piece of a stream that has passed. Every `COLLECT_BYTES` it has the youngest garbage collected, which takes
 * about a millisecond. Left alone, V8 lets the buffers of what has passed pile up, because they are outside its heap, until
 * it has to go through the whole heap: `npm run bench aws-body` takes twice the processor time without this. A young
 * generation that is always small (`--max-semi-space-size`) does as much for bodies, and costs small calls half as much again.
 */
export function passBytes(count: number): void {
  passed += count
  if (passed < COLLECT_BYTES) return
  passed = 0
  collect ??= openCollector()
  collect({ type: 'minor' })
}

/** Node gives the collector only to a context that is made while the flag is set. */
function openCollector(): (options: { type: 'minor' }) => void {
  v8.setFlagsFromString('--expose-gc')
  const collector: unknown = runInNewContext('gc')
  v8.setFlagsFromString('--no-expose-gc')
  if (typeof collector !== 'function') return () => {}
  return (options) => void collector(options)
}
