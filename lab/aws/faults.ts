/** Faults that a test orders: an error, a delay, a connection that breaks. */
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { AwsError } from './aws-error.ts'

/** Strikes requests of this service and operation, `times` times (for ever when absent). */
export interface Fault {
  readonly service?: string
  readonly operation?: string
  readonly times?: number
  readonly latencyMs?: number
  /** Breaks the connection without an answer. */
  readonly reset?: true
  /** Breaks the connection after so many bytes of the answer's body. */
  readonly cutAfterBytes?: number
  /** Pace of an object's bytes on their way to the client. */
  readonly bytesPerSecond?: number
  /** Answers with an error document of this status. */
  readonly status?: number
  /** Code of that document; `InternalFailure` when absent. */
  readonly code?: string
}

/** Lets bytes through at a pace. */
export function paced(bytesPerSecond: number): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
  const piece = Math.max(1, Math.round(bytesPerSecond / 50))
  return async function* (source) {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += piece) {
        yield chunk.subarray(at, at + piece)
        await delay(20)
      }
    }
  }
}

/** The faults that are waiting. */
export class Faults {
  #waiting: { readonly fault: Fault; left: number }[] = []

  add(fault: Fault): Disposable {
    const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY }
    this.#waiting.push(entry)
    return {
      [Symbol.dispose]: () => {
        this.#waiting = this.#waiting.filter((other) => other !== entry)
      },
    }
  }

  /** Lets the first fault that fits strike, and gives it. @throws {AwsError} as the fault says */
  async strike(request: { service: string; operation: string }, response: ServerResponse): Promise<Fault | undefined> {
    const entry = this.#waiting.find(
      ({ fault, left }) =>
        left > 0 &&
        (fault.service === undefined || fault.service === request.service) &&
        (fault.operation === undefined || fault.operation === request.operation),
    )
    if (!entry) return undefined
    entry.left--
    const { latencyMs, reset, status, code } = entry.fault
    if (latencyMs !== undefined) await delay(latencyMs)
    if (reset) {
      response.destroy()
      throw new AwsError('ConnectionReset', 500, 'the connection was broken on order')
    }
    if (status !== undefined) throw new AwsError(code ?? 'InternalFailure', status, 'This failure was ordered.')
    return entry.fault
  }
}
