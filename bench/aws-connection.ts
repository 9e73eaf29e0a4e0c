/** A connection to an AWS host as a client has it: CONNECT, TLS, HTTP/1.1 with one call after the other. It costs little. */
import { once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import tls from 'node:tls'

/** The way to AWS: through the local proxy, or straight. */
export interface AwsWay {
  /** Value of HTTPS_PROXY. */
  readonly proxyUrl: string
  /** What the client trusts, PEM. */
  readonly caPem: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface AwsConnection extends Disposable {
  /** Sends a call and reads its answer. Gives the bytes of its body. @throws unless the answer is 200 */
  call(head: string, body?: AsyncIterable<Uint8Array>): Promise<number>
}

/** @throws when the connection fails */
export async function connectToAws({ proxyUrl, caPem }: AwsWay, host: string): Promise<AwsConnection> {
  const { hostname, port } = new URL(proxyUrl)
  const request = http.request({ host: hostname, port, method: 'CONNECT', path: `${host}:443`, agent: false }).end()
  const [response, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket] // as documented
  if (response.statusCode !== 200) throw new Error(`the proxy answered ${response.statusCode}`)
  socket.setNoDelay(true)
  const secure = tls.connect({ socket, servername: host, ca: caPem, ALPNProtocols: ['http/1.1'] })
  await once(secure, 'secureConnect')
  const answers = new AnswerReader()
  secure.on('data', (bytes: Buffer) => answers.push(bytes))
  secure.on('error', (error) => answers.fail(error))
  secure.once('close', () => answers.fail(new Error('the connection was closed')))
  return {
    async call(head, body) {
      const answered = answers.next()
      answered.catch(() => {}) // seen below, when the body is through
      secure.write(head, 'latin1')
      if (body !== undefined) {
        for await (const bytes of body) if (!secure.write(bytes)) await Promise.race([once(secure, 'drain'), answered])
      }
      return answered
    },
    [Symbol.dispose]: () => secure.destroy(),
  }
}

/** Reads answers that have a Content-Length. */
class AnswerReader {
  #head = ''
  /** Bytes of the body to come; undefined: the head is not here yet. */
  #left: number | undefined
  #length = 0
  #waiting = Promise.withResolvers<number>()

  next(): Promise<number> {
    this.#waiting = Promise.withResolvers()
    return this.#waiting.promise
  }

  push(bytes: Buffer): void {
    if (this.#left !== undefined) {
      this.#take(bytes.length)
      return
    }
    this.#head += bytes.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.#head.slice(0, end)
    const early = this.#head.length - end - 4
    this.#head = ''
    if (!head.startsWith('HTTP/1.1 200')) {
      this.fail(new Error(`the answer is ${head.slice(0, 300)}`))
      return
    }
    this.#length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1])
    this.#left = this.#length
    this.#take(early)
  }

  fail(error: Error): void {
    this.#waiting.reject(error)
  }

  #take(count: number): void {
    this.#left = (this.#left ?? 0) - count
    if (this.#left > 0) return
    this.#left = undefined
    this.#waiting.resolve(this.#length)
  }
}
