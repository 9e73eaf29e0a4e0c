import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { AccessError, type ErrorDetails, Unavailable } from '#errors.ts'
import { passBytes } from './passed-bytes.ts'
import { type RawHeaders, rawHeader, withoutHopByHop } from './raw-headers.ts'

export interface ForwardOptions {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  /** `{ protocol: 'http:' }` for plain HTTP; else TLS. `method` and `path` default to those of `request`. */
  readonly target: https.RequestOptions
  /** What goes upstream, as raw name, value pairs whose order and case are kept; hop-by-hop headers are taken out here. */
  readonly headers: RawHeaders
  readonly body: Readable | undefined
  /** Trailers to send behind a body that is not the request itself, asked when it has ended (raw pairs; RFC 9110 §6.5). */
  readonly trailers?: () => RawHeaders
  /** Aborting cuts the server at once, and the client too unless the caller can still answer. */
  readonly signal: AbortSignal
  /** Sees the answer's head before it goes on; may give other headers for it (raw pairs). */
  readonly onResponse?: (response: http.IncomingMessage) => RawHeaders | undefined
  /** Awaited before the last byte of the answer goes out; if it throws, the answer stays incomplete. */
  readonly beforeEnd?: (summary: ForwardSummary) => Promise<void>
  /** Gives up when no byte has passed either way for so long. Left out: 10 minutes. */
  readonly idleMs?: number
}

export interface ForwardSummary {
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly durationMs: number
}

/** The upstream server failed before its answer began: the caller still answers in its own words. */
export class UpstreamFailed extends AccessError {
  override readonly code = 'unavailable'

  /** @param target host name that was called */
  constructor(target: string, details: ErrorDetails) {
    super(`no answer from ${target}`, details)
  }
}

/** The client went away, or stopped sending. */
export class ClientGone extends AccessError {
  override readonly code = 'unavailable'

  constructor() {
    super('the client closed the connection before the answer was complete', { hint: 'send the request again' })
  }
}

/**
 * Forwards one request and streams its answer back, each at the pace of the slower side. Methods, status, header order
 * and case, content length or chunks, and trailers pass unchanged; `Expect: 100-continue` is passed end to end.
 *
 * @throws {UpstreamFailed} before the server answered
 * @throws {ClientGone} or what else broke it, such as an error of `beforeEnd`
 *
 * While `response.headersSent` is false the caller may still answer; after that both sides are destroyed.
 * @see RFC 9110 §7.6.1 (hop-by-hop), §10.1.1 (Expect), §6.5 (trailers)
 */
export async function forwardHttp(options: ForwardOptions): Promise<ForwardSummary> {
  const { response, target, signal, beforeEnd, onResponse } = options
  signal.throwIfAborted()
  const exchange = startExchange(options)
  const { upstream, progress, stop } = exchange
  let isAnswered = false
  try {
    const answer = await exchange.answered
    isAnswered = true
    const started = performance.now()
    const summary = (): ForwardSummary => ({
      status: answer.statusCode ?? 0,
      requestBytes: progress.requestBytes,
      responseBytes: progress.responseBytes,
      durationMs: progress.headMs + (performance.now() - started),
    })
    const headers = withoutHopByHop(onResponse?.(answer) ?? answer.rawHeaders)
    if (!exchange.mayReuseClient()) response.shouldKeepAlive = false
    await Promise.race([
      sendAnswer({ answer, response, headers, progress, finish: () => beforeEnd?.(summary()) }),
      stop,
    ])
    return summary()
  } catch (error) {
    upstream.on('error', () => {})
    upstream.destroy()
    if (response.headersSent) response.destroy()
    if (signal.aborted) throw signal.reason
    if (isAnswered || error instanceof AccessError) throw error
    throw new UpstreamFailed(String(target.host ?? target.hostname ?? 'the server'), {
      hint: 'try again; if it goes on, check that the agent can reach this host',
      cause: error,
    })
  } finally {
    exchange[Symbol.dispose]()
  }
}

/** Node answers 408 to a body slower than 300 s and drops idle connections after 5 s: a proxy's timers are its own. */
export function useOwnTimers(server: http.Server): void {
  server.requestTimeout = 0
  server.headersTimeout = 60_000
  server.keepAliveTimeout = 75_000
  server.timeout = 0
  // Starts the watch over headers that come too slowly, which Node starts where it listens itself: ours are handed
  // connections that others have accepted.
  server.emit('listening')
}

interface Progress {
  requestBytes: number
  responseBytes: number
  /** From the start to the answer's head. */
  headMs: number
}

interface Exchange extends Disposable {
  readonly upstream: http.ClientRequest
  readonly answered: Promise<http.IncomingMessage>
  readonly progress: Progress
  /** Rejects when the exchange is over before its time; never resolves. */
  readonly stop: Promise<never>
  /** Whether the client's connection is still in step: not when it may send a body that nobody asked for. */
  mayReuseClient(): boolean
}

const DEFAULT_IDLE_MS = 600_000

function startExchange(options: ForwardOptions): Exchange {
  const { request, response, target, headers, body, signal, idleMs } = options
  const began = performance.now()
  const progress: Progress = { requestBytes: 0, responseBytes: 0, headMs: 0 }
  const upstream = sendHead({ request, target, headers, body })
  const stopped = Promise.withResolvers<never>()
  stopped.promise.catch(() => {}) // seen by whoever races with it
  const onAbort = (): void => {
    upstream.destroy()
    if (response.headersSent) response.destroy()
    stopped.reject(signal.reason)
  }
  const onClose = (): void => {
    if (!response.writableFinished) {
      upstream.destroy()
      stopped.reject(new ClientGone())
    }
  }
  signal.addEventListener('abort', onAbort, { once: true })
  response.once('close', onClose)
  const idle = watchIdle(progress, idleMs ?? DEFAULT_IDLE_MS, (error) => {
    upstream.destroy()
    stopped.reject(error)
  })

  const answered = Promise.withResolvers<http.IncomingMessage>()
  upstream.on('error', answered.reject)
  upstream.once('response', (answer) => {
    progress.headMs = performance.now() - began
    answered.resolve(answer)
  })
  upstream.on('information', ({ statusCode, rawHeaders }) => passEarlyHints(response, statusCode, rawHeaders))
  const sending = sendBody({ ...options, upstream, progress, answered: answered.promise })
  sending.done.catch(answered.reject)

  return {
    upstream,
    progress,
    stop: stopped.promise,
    answered: Promise.race([answered.promise, stopped.promise]),
    mayReuseClient: () => !sending.isWithheld(),
    [Symbol.dispose]() {
      clearInterval(idle)
      signal.removeEventListener('abort', onAbort)
      response.removeListener('close', onClose)
      if (sending.isWithheld()) upstream.destroy()
    },
  }
}

function sendHead({
  request,
  target,
  headers,
  body,
}: Pick<ForwardOptions, 'request' | 'target' | 'headers' | 'body'>): http.ClientRequest {
  const raw = withoutHopByHop(headers)
  const host = String(target.host ?? target.hostname ?? 'localhost')
  const framing =
    body !== undefined && rawHeader(raw, 'content-length') === undefined ? ['Transfer-Encoding', 'chunked'] : []
  const options: https.RequestOptions = {
    ...target,
    method: target.method ?? request.method,
    path: target.path ?? request.url,
    headers: [...(rawHeader(raw, 'host') === undefined ? ['Host', host] : []), ...raw, ...framing],
  }
  return options.protocol === 'http:' ? http.request(options) : https.request(options)
}

interface BodyJob extends Pick<ForwardOptions, 'request' | 'response' | 'body' | 'trailers' | 'headers'> {
  readonly upstream: http.ClientRequest
  readonly progress: Progress
  readonly answered: Promise<http.IncomingMessage>
}

/** Sends the body, after "100 Continue" where the client waits for it. `isWithheld`: the answer came first, and nothing was sent. */
function sendBody(job: BodyJob): { readonly done: Promise<void>; readonly isWithheld: () => boolean } {
  const { response, body, upstream, headers, answered } = job
  let isWithheld = false
  const run = async (): Promise<void> => {
    if (body === undefined) {
      upstream.end()
      return
    }
    if (/^100-continue$/i.test(rawHeader(headers, 'expect') ?? '')) {
      isWithheld = true
      upstream.flushHeaders()
      // A client may send without waiting (RFC 9110 §10.1.1), so bytes of the body are a go-ahead too.
      const goAhead = await firstOf(upstream, body, answered)
      if (goAhead === 'answer') return
      if (goAhead === 'continue') response.writeContinue()
      isWithheld = false
    }
    await pumpBody(job, body)
  }
  return { done: run(), isWithheld: () => isWithheld }
}

async function firstOf(
  upstream: http.ClientRequest,
  body: Readable,
  answered: Promise<http.IncomingMessage>,
): Promise<'continue' | 'body' | 'answer'> {
  const listening = new AbortController()
  const { signal } = listening
  try {
    return await Promise.race([
      once(upstream, 'continue', { signal }).then(() => 'continue' as const),
      once(body, 'readable', { signal }).then(() => 'body' as const),
      answered.then(() => 'answer' as const),
    ])
  } finally {
    listening.abort()
  }
}

async function pumpBody({ request, upstream, progress, trailers: made }: BodyJob, body: Readable): Promise<void> {
  const finished = Promise.withResolvers<void>()
  const resume = (): void => void body.resume()
  body.on('data', (chunk: Buffer) => {
    progress.requestBytes += chunk.length
    passBytes(chunk.length)
    // A server that has answered and left reads no more: a client that sends before it reads is let run out.
    if (!upstream.destroyed && !upstream.write(chunk)) body.pause()
  })
  upstream.on('drain', resume)
  upstream.once('close', resume)
  body.once('end', () => {
    const trailers = body === request ? request.rawTrailers : (made?.() ?? [])
    if (trailers.length > 0) upstream.addTrailers(pairs(trailers))
    upstream.end()
    finished.resolve()
  })
  body.once('error', finished.reject)
  body.once('close', () => {
    if (!body.readableEnded) finished.reject(new ClientGone())
  })
  body.resume()
  await finished.promise
}

interface AnswerJob {
  readonly answer: http.IncomingMessage
  readonly response: http.ServerResponse
  readonly headers: RawHeaders
  readonly progress: Progress
  /** Awaited with the last byte in hand. */
  readonly finish: () => Promise<void> | undefined
}

/**
 * What the last byte is depends on the framing: with a content length the chunk that completes it, without a body the
 * head itself, and else the mark of the end. So a stream of chunks is never delayed. The head goes with the first bytes
 * of the body when they are here already: a small answer is one write, and so one packet at each hop behind us.
 */
async function sendAnswer({ answer, response, headers, progress, finish }: AnswerJob): Promise<void> {
  const status = answer.statusCode ?? 502
  const lengthText = rawHeader(headers, 'content-length')
  const length = lengthText === undefined ? undefined : Number(lengthText)
  const hasBody = response.req.method !== 'HEAD' && status !== 204 && status !== 304 && length !== 0
  const writeHead = (): void => {
    response.sendDate = false
    response.writeHead(status, answer.statusMessage ?? '', [...headers])
  }
  if (!hasBody) {
    answer.resume()
    await finish()
    writeHead()
    await endOf(response)
    return
  }
  writeHead()
  const held = await pumpAnswer({ answer, response, progress, length })
  await finish()
  if (answer.rawTrailers.length > 0) response.addTrailers(pairs(answer.rawTrailers))
  await endOf(response, held)
}

/** Gives the last chunk of an answer whose length is known. */
function pumpAnswer({
  answer,
  response,
  progress,
  length,
}: Pick<AnswerJob, 'answer' | 'response' | 'progress'> & { readonly length: number | undefined }): Promise<
  Buffer | undefined
> {
  return new Promise((resolve, reject) => {
    let held: Buffer | undefined
    const resume = (): void => void answer.resume()
    // What came in one read with the head has been given by then.
    const flushing = setImmediate(() => response.flushHeaders())
    answer.on('data', (chunk: Buffer) => {
      clearImmediate(flushing)
      progress.responseBytes += chunk.length
      passBytes(chunk.length)
      if (length !== undefined && progress.responseBytes >= length) held = chunk
      else if (!response.write(chunk)) answer.pause()
    })
    response.on('drain', resume)
    answer.once('end', () => {
      clearImmediate(flushing)
      response.removeListener('drain', resume)
      resolve(held)
    })
    answer.once('error', reject)
    answer.once('close', () => {
      clearImmediate(flushing)
      if (!answer.complete) reject(new Error('the server closed the connection before its answer was complete'))
    })
  })
}

function endOf(response: http.ServerResponse, last?: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (last === undefined) response.end(() => resolve())
    else response.end(last, () => resolve())
  })
}

function passEarlyHints(response: http.ServerResponse, statusCode: number, rawHeaders: RawHeaders): void {
  const link = rawHeader(rawHeaders, 'link')
  if (statusCode === 103 && link !== undefined && !response.headersSent) response.writeEarlyHints({ link })
}

const pairs = (raw: RawHeaders): [string, string][] =>
  raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ''] satisfies [string, string]] : []))

function watchIdle(progress: Progress, idleMs: number, fail: (error: Error) => void): NodeJS.Timeout {
  let last = -1
  const timer = setInterval(() => {
    const now = progress.requestBytes + progress.responseBytes
    if (now === last) fail(new Unavailable(`nothing passed for ${idleMs} ms`, { hint: 'send the request again' }))
    last = now
  }, idleMs)
  timer.unref()
  return timer
}
