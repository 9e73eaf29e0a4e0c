import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '#clock.ts'
import { AccessError } from '#errors.ts'
import type { Log } from '#log.ts'
import { auditEvent } from './codes.ts'
import type { AuditEmitter, AuditEvent } from './event.ts'
import { openSpoolFile, type SpoolContents, type SpoolFile } from './spool-file.ts'
import { encodeFrame, type FrameType } from './spool-format.ts'
import { trimEvent } from './trim.ts'

/**
 * Events on their way to the audit log. What was taken is on disk, survives a sudden end, and reaches the log once.
 * An event is delivered again until it is acknowledged, and the log keeps it once by its time and uid.
 */
export interface Spool extends AuditEmitter, AsyncDisposable {
  /** Resolves when the event is on disk. @throws {SpoolFull} @throws {SpoolFailed} */
  emit(event: AuditEvent): Promise<void>
  /**
   * Notes a call before it is made. If the process ends before `complete`, the next start delivers `event` with
   * `outcome: "unknown"`.
   * @throws {SpoolFull} @throws {SpoolFailed} and the call must not be made
   */
  intend(event: AuditEvent): Promise<Intent>
  /** Events that are not yet acknowledged. */
  pending(): number
  /** Resolves when nothing is pending, or when the signal aborts. */
  drain(signal: AbortSignal): Promise<void>
}

export interface Intent {
  /** The event as it came out; it takes the time and the uid of the intent. Never refused for want of space. */
  complete(event: AuditEvent): Promise<void>
}

/** Takes events to the log; `refused` names by uid those that it will never take, and why. Rejects: try again. */
export type Deliver = (
  events: readonly AuditEvent[],
  signal: AbortSignal,
) => Promise<{ readonly refused: Readonly<Record<string, string>> }>

export interface SpoolOptions {
  /** The file. Beside it stand `PATH.ack` and, after damage, `PATH.damaged`. */
  readonly path: string
  readonly deliver: Deliver
  /** Largest size of the file; default 256 MiB. */
  readonly maxBytes?: number
  readonly clock: Clock
  readonly log: Log
}

/** The spool has reached its size: the log has not been reached for long. Callers read this too: the path is in the log. */
export class SpoolFull extends AccessError {
  override readonly code = 'exhausted'

  constructor(pending: number) {
    super(`the audit spool is full: ${pending} events wait for the auth service`, {
      hint: 'have the connection between this agent and the auth service restored, or audit_spool.max_bytes of the agent raised',
    })
  }
}

/** The spool cannot be written. */
export class SpoolFailed extends AccessError {
  override readonly code = 'unavailable'

  constructor(cause: unknown) {
    super('the audit spool cannot be written', { hint: 'have the disk and the log of this agent checked', cause })
  }
}

/** Opens the spool, completes what a sudden end left open, and delivers until it is disposed. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const contents = await openSpoolFile(options.path, options.log)
  const spool = new FileSpool(options, contents)
  for (const event of contents.openIntents.values()) {
    options.log.warn('a call was under way when the process ended: its outcome is unknown', { uid: event.uid })
    await spool.complete(event, { ...event, outcome: 'unknown' })
  }
  return spool
}

const MAX_BYTES = 256 * 1024 * 1024
const BATCH = 250
/** Between two batches that are not full. */
const GATHER_MS = 50
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 15_000
/** The file is made anew when this much of it is delivered, and at least as much as is not. */
const REWRITE_BYTES = 4 * 1024 * 1024

interface Queued {
  readonly frame: Buffer
  readonly isDelivered: boolean
  readonly resolve: () => void
  readonly reject: (error: AccessError) => void
}

class FileSpool implements Spool {
  readonly #options: SpoolOptions
  readonly #file: SpoolFile
  readonly #maxBytes: number
  readonly #openIntents: Map<string, AuditEvent>
  readonly #stop = new AbortController()
  readonly #delivering: Promise<void>
  #queue: Queued[] = []
  #queuedBytes = 0
  /** The last of what must not overlap: appending and making anew. Only the delivery reads, acknowledges and makes anew. */
  #turn: Promise<unknown> = Promise.resolve()
  #isFlushing = false
  #pending: number
  #saysFull = false
  #news = Promise.withResolvers<void>()
  #drained = Promise.withResolvers<void>()

  constructor(options: SpoolOptions, { file, openIntents, pending }: SpoolContents) {
    this.#options = options
    this.#file = file
    this.#maxBytes = options.maxBytes ?? MAX_BYTES
    this.#openIntents = new Map(openIntents)
    this.#pending = pending
    this.#delivering = this.#deliver(this.#stop.signal)
  }

  async emit(event: AuditEvent): Promise<void> {
    await this.#append('E', event, { mayRefuse: true })
  }

  async intend(event: AuditEvent): Promise<Intent> {
    const intended = trimEvent(event)
    await this.#append('I', intended, { mayRefuse: true })
    this.#openIntents.set(event.uid, intended)
    return { complete: (outcome) => this.complete(intended, outcome) }
  }

  /** Writes the outcome of an open intent. */
  async complete({ uid, time }: AuditEvent, outcome: AuditEvent): Promise<void> {
    if (!this.#openIntents.has(uid)) throw new Error(`the intent ${uid} has its outcome already`)
    await this.#append('O', { ...outcome, uid, time }, { mayRefuse: false })
    this.#openIntents.delete(uid)
  }

  pending(): number {
    return this.#pending
  }

  async drain(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>()
    const abort = (): void => aborted.resolve()
    signal.addEventListener('abort', abort)
    while (this.#pending > 0 && !signal.aborted) await Promise.race([this.#drained.promise, aborted.promise])
    signal.removeEventListener('abort', abort)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return this.#delivering
    this.#stop.abort()
    this.#news.resolve()
    await this.#delivering
    await this.#turn
    if (this.#pending > 0) this.#options.log.warn('events wait for the next start', { pending: this.#pending })
    await this.#file.close()
  }

  async #append(type: FrameType, event: AuditEvent, { mayRefuse }: { mayRefuse: boolean }): Promise<void> {
    if (this.#stop.signal.aborted) throw new SpoolFailed('the spool is closed')
    const frame = encodeFrame(type, trimEvent(event))
    if (mayRefuse && this.#file.end + this.#queuedBytes + frame.length > this.#maxBytes) {
      this.#sayFull(event.cluster_name)
      throw new SpoolFull(this.#pending)
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#queue.push({ frame, isDelivered: type !== 'I', resolve, reject })
    this.#queuedBytes += frame.length
    if (!this.#isFlushing) {
      this.#isFlushing = true
      void this.#inTurn(() => this.#flush())
    }
    await promise
  }

  /** All that was queued while the last flush ran goes to disk in one. */
  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue
      this.#queue = []
      try {
        await this.#file.append(Buffer.concat(batch.map(({ frame }) => frame)))
        this.#pending += batch.filter(({ isDelivered }) => isDelivered).length
        this.#news.resolve()
        for (const { resolve } of batch) resolve()
      } catch (error) {
        this.#options.log.error('the audit spool cannot be written', { path: this.#options.path, error })
        for (const { reject } of batch) reject(new SpoolFailed(error))
      }
      for (const { frame } of batch) this.#queuedBytes -= frame.length
    }
    this.#isFlushing = false
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      this.#news = Promise.withResolvers()
      try {
        const count = await this.#deliverBatch(signal)
        if (count > 0) {
          failures = 0
          // A lone event goes at once; under load they gather, because each batch costs a call, a commit and a file.
          if (count < BATCH) await sleep(GATHER_MS, undefined, { signal })
          continue
        }
      } catch (error) {
        if (signal.aborted) return
        if (failures++ % 10 === 0) {
          this.#options.log.warn('cannot deliver audit events yet', {
            pending: this.#pending,
            attempt: failures,
            error,
          })
        }
        const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10))
        await sleep(longest / 2 + (Math.random() * longest) / 2, undefined, { signal }).catch(() => {}) // aborted: the loop ends
        continue
      }
      await this.#news.promise
    }
  }

  /** Gives how much there was to do. */
  async #deliverBatch(signal: AbortSignal): Promise<number> {
    const { frames: batch } = await this.#file.read(this.#file.acknowledged, BATCH)
    const last = batch.at(-1)
    if (last === undefined) return 0
    const events = batch.filter(({ type }) => type !== 'I').map(({ event }) => event)
    if (events.length > 0) {
      const { refused } = await this.#options.deliver(events, signal)
      for (const [uid, reason] of Object.entries(refused)) {
        const event = events.find((event) => event.uid === uid)?.event
        this.#options.log.error('the auth service refused an audit event for good', { uid, event, reason })
      }
    }
    await this.#acknowledge(last.end)
    this.#pending -= events.length
    if (this.#pending === 0) {
      this.#drained.resolve()
      this.#drained = Promise.withResolvers()
    }
    return batch.length
  }

  async #acknowledge(end: number): Promise<void> {
    await this.#file.acknowledge(end)
    const waiting = this.#file.end - end
    if (end < Math.max(Math.min(REWRITE_BYTES, this.#maxBytes / 8), waiting)) return
    try {
      await this.#inTurn(() => this.#file.rewrite(this.#openIntents.values()))
    } catch (error) {
      this.#options.log.warn('the audit spool cannot be made smaller', { path: this.#options.path, error })
    }
    if (this.#file.end < this.#maxBytes / 2) this.#saysFull = false
  }

  /** Runs one thing after the other. A failure is its caller's. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(run)
    this.#turn = turn.catch(() => {})
    return turn
  }

  #sayFull(cluster: string): void {
    if (this.#saysFull) return
    this.#saysFull = true
    const { log, path, clock } = this.#options
    log.error('the audit spool is full: calls that change something are refused', { path, pending: this.#pending })
    const event = auditEvent('audit.spool.full', { pending: this.#pending }, { clock, cluster })
    this.#append('E', event, { mayRefuse: false }).catch(() => {}) // logged where it failed
  }
}
