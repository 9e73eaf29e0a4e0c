/** What both ends of a tunnel agree on: HTTP/2 with the roles reversed, its windows, its limits and its signs of life. */
import http2 from 'node:http2'

/** What the proxy tells the agent about one stream. */
export interface StreamMeta {
  /** SNI that the client asked for: `LABEL.app.CLUSTER`. */
  readonly serverName: string
  /** IP address of the client. */
  readonly clientAddress: string
}

/** Header of a CONNECT request that holds `clientAddress`. The authority is the server name. */
export const CLIENT_ADDRESS_HEADER = 'access-client-address'

/** How much one stream may send ahead of its reader. Bounds what a stalled reader costs. */
export const STREAM_WINDOW_BYTES = 256 * 1024
/** Largest window of a stream while few of them are open. */
export const MAX_STREAM_WINDOW_BYTES = 4 * 1024 * 1024
/** What all streams of a tunnel may send ahead together. */
const CONNECTION_WINDOW_BYTES = 32 * 1024 * 1024

/** Settings and limits of both ends. Both are authenticated, so limits that protect from strangers are raised. */
export const sessionOptions = {
  settings: {
    initialWindowSize: MAX_STREAM_WINDOW_BYTES,
    enablePush: false,
    maxConcurrentStreams: 100_000,
    maxFrameSize: 1024 * 1024,
  },
  /** MB. What is buffered is bounded by the windows; Node's own bound of 10 MB would refuse streams instead. */
  maxSessionMemory: 1024,
  /** A client that gives up costs one reset. Aborts are limited for each client at the proxy, not for all of them here. */
  streamResetBurst: 100_000,
  streamResetRate: 10_000,
} satisfies http2.ClientSessionOptions & http2.ServerSessionOptions

/** How often an end asks for a sign of life, and how long it waits for it: a dead peer is noticed within their sum. */
export interface PingTimes {
  readonly everyMs: number
  readonly answerMs: number
}
export const defaultPingTimes: PingTimes = { everyMs: 10_000, answerMs: 10_000 }

/** Destroys the session when its peer gives no sign of life. */
export function watchPeer(session: http2.Http2Session, { everyMs, answerMs }: PingTimes): void {
  let silence: NodeJS.Timeout | undefined
  const timer = setInterval(() => {
    if (silence !== undefined || session.destroyed) return
    silence = setTimeout(() => session.destroy(new Error(`the peer did not answer within ${answerMs} ms`)), answerMs)
    silence.unref()
    session.ping(() => {
      clearTimeout(silence)
      silence = undefined
    })
  }, everyMs)
  timer.unref()
  session.once('close', () => {
    clearInterval(timer)
    clearTimeout(silence)
  })
}

/**
 * Keeps windows in step with the number of open streams: large for a few fast readers, `STREAM_WINDOW_BYTES` each for
 * many, so that stalled ones cost little. HTTP/2 in Node has one window size for all streams of a session.
 *
 * @see RFC 9113 §6.9.2
 */
export function fitWindows(session: http2.Http2Session): { opened(): void; closed(): void } {
  let open = 0
  let current = MAX_STREAM_WINDOW_BYTES
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
  const fit = (): void => {
    const wanted = windowFor(open)
    if (wanted === current || session.destroyed || session.closed) return
    current = wanted
    session.settings({ initialWindowSize: wanted })
  }
  return {
    opened() {
      open += 1
      fit()
    },
    closed() {
      open -= 1
      fit()
    },
  }
}

/** Halved each time the number of streams doubles beyond eight, so that it changes seldom. */
export function windowFor(openStreams: number): number {
  const doublings = Math.max(0, Math.ceil(Math.log2(Math.max(1, openStreams) / 8)))
  return Math.max(STREAM_WINDOW_BYTES, MAX_STREAM_WINDOW_BYTES >> Math.min(doublings, 30))
}

/** Resolves at the event, whatever else becomes of the session. */
export function happens(session: http2.Http2Session, event: 'close' | 'goaway' | 'remoteSettings'): Promise<void> {
  return new Promise((resolve) => {
    session.once(event, () => resolve())
  })
}

/**
 * Makes a stream that is destroyed before its end look like that to the peer. By itself Node sends a reset that says "no
 * error", which the peer takes for a good end, or waits on for ever when it is writing.
 */
export function resetWhenCut(stream: http2.Http2Stream): void {
  const destroy = stream.destroy.bind(stream)
  let isOurs = false
  stream.destroy = (error) => {
    if (isOurs || stream.closed || (stream.writableEnded && stream.readableEnded)) return destroy(error)
    isOurs = true
    stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    setImmediate(() => destroy(error)) // Node drops the reset if the stream is destroyed in the same turn
    return stream
  }
  stream.once('aborted', () => {
    // On the next tick, because `close` says so too, before it has sent its reset.
    process.nextTick(() => {
      if (!isOurs) destroy(new Error('the other end of the tunnel cut the stream'))
    })
  })
}
