import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import { Unavailable } from '#errors.ts'

const MAX_ANSWER_BYTES = 256 * 1024

/**
 * Sends one request and reads its whole answer, for the few answers that are changed before they go on.
 * @throws {Unavailable} if it cannot be had, or is larger than any that is changed
 */
export async function askWhole(
  target: https.RequestOptions,
  body: Buffer | undefined,
  signal: AbortSignal,
): Promise<{ readonly response: http.IncomingMessage; readonly text: string }> {
  const request = https.request({ ...target, signal })
  request.end(body)
  try {
    const [response] = (await once(request, 'response')) as [http.IncomingMessage] // node:http, event "response"
    const pieces: Buffer[] = []
    let size = 0
    for await (const piece of response) {
      size += piece.length
      if (size > MAX_ANSWER_BYTES) throw unreadableAnswer()
      pieces.push(piece)
    }
    return { response, text: Buffer.concat(pieces).toString('utf8') }
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof Unavailable) throw cause
    throw new Unavailable(`no answer from ${target.host}`, {
      hint: 'try again; if it goes on, check that the agent can reach this host',
      cause,
    })
  } finally {
    request.on('error', () => {}) // it is over, one way or the other
  }
}

/** What `work` gives, unless the signal aborts first: then its reason is thrown, and what the work gives is of no use. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** The answer is not one that can be changed safely, so nothing of it goes on. */
export function unreadableAnswer(): Unavailable {
  return new Unavailable('the answer of AWS cannot be read', {
    hint: 'try again; if it goes on, have the log of the agent looked at',
  })
}
