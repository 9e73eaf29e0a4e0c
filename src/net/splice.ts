import type { Duplex } from 'node:stream'
import { Unavailable } from '#errors.ts'
import { passBytes } from './passed-bytes.ts'

export interface SpliceOptions {
  readonly signal?: AbortSignal
  /** Ends both when no byte has passed for so long. Left out: no limit. */
  readonly idleMs?: number
}

/** Bytes that passed each way. */
export interface SpliceResult {
  readonly aToB: number
  readonly bToA: number
}

/**
 * Joins two duplex streams: what one reads the other writes, at the pace of the slower. The end of one direction ends
 * that direction alone. Resolves when both have ended and everything is written.
 *
 * @throws what broke either stream, the reason of `signal`, or `Unavailable` after `idleMs`; both are destroyed then
 */
export function splice(a: Duplex, b: Duplex, { signal, idleMs }: SpliceOptions = {}): Promise<SpliceResult> {
  return new Promise((resolve, reject) => {
    const passed = { aToB: 0, bToA: 0 }
    let open = 2
    let settled = false
    const settle = (finish: () => void): void => {
      if (settled) return
      settled = true
      clearInterval(idleTimer)
      signal?.removeEventListener('abort', onAbort)
      finish()
    }
    const fail = (error: unknown): void =>
      settle(() => {
        for (const stream of [a, b]) {
          stream.on('error', () => {}) // a second failure of a stream that is given up says nothing new
          stream.destroy(error instanceof Error ? error : undefined) // so that HTTP/2 sends a reset and not an end
        }
        reject(error)
      })
    const onAbort = (): void => fail(signal?.reason)
    const idleTimer = idleMs === undefined ? undefined : watchIdle(passed, idleMs, fail)
    const ended = (): void => {
      open -= 1
      if (open === 0) settle(() => resolve({ ...passed }))
    }
    if (signal?.aborted) {
      onAbort()
      return
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    pump(a, b, { count: (bytes) => (passed.aToB += bytes), ended, fail })
    pump(b, a, { count: (bytes) => (passed.bToA += bytes), ended, fail })
  })
}

interface PumpEvents {
  readonly count: (bytes: number) => void
  readonly ended: () => void
  readonly fail: (error: unknown) => void
}

/** One direction. Plain events instead of `pipeline`, which destroys both streams where one ends first. */
function pump(from: Duplex, to: Duplex, { count, ended, fail }: PumpEvents): void {
  if (from.destroyed || to.destroyed) {
    fail(from.errored ?? to.errored ?? new Error('the stream is closed'))
    return
  }
  let isDone = false
  const done = (): void => {
    if (isDone) return
    isDone = true
    ended()
  }
  const resume = (): void => void from.resume()
  let isCorked = false
  const uncork = (): void => {
    isCorked = false
    to.uncork()
  }
  from.on('data', (chunk: Buffer) => {
    count(chunk.length)
    passBytes(chunk.length)
    // What comes in one turn goes out in one system call.
    if (!isCorked) {
      isCorked = true
      to.cork()
      process.nextTick(uncork)
    }
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', resume)
  from.on('end', () => to.end(done))
  from.on('error', fail)
  from.on('close', () => {
    // Closed before its end: the peer was destroyed, and nobody said so by an error.
    if (!from.readableEnded && !isDone) fail(new Error('the stream was closed before its end'))
    else if (to.destroyed) done()
  })
  if (from.readableEnded) to.end(done)
  else from.resume()
}

function watchIdle(
  passed: { aToB: number; bToA: number },
  idleMs: number,
  fail: (error: unknown) => void,
): NodeJS.Timeout {
  // One coarse timer for the connection: resetting one for each chunk costs more than moving the chunk.
  let last = -1
  const timer = setInterval(() => {
    const now = passed.aToB + passed.bToA
    if (now === last) {
      const hint = 'connect again, or send something from time to time'
      fail(new Unavailable(`the connection was idle for ${idleMs} ms`, { hint }))
    }
    last = now
  }, idleMs)
  timer.unref()
  return timer
}
