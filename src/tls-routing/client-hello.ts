import { InvalidInput } from '#errors.ts'

/** What a connection asks for before anything is encrypted. */
export interface ClientHello {
  /** SNI in lower case: `auth.rpc.example.com`. */
  readonly serverName?: string
  /** ALPN protocols in the client's order; empty when it names none. */
  readonly alpn: readonly string[]
}

/** Longest ClientHello that is read, without record headers. One with a post-quantum key share has about 1,800 bytes. */
export const MAX_CLIENT_HELLO_BYTES = 16_384

/** The first bytes are not a TLS ClientHello, or one that breaks a rule. */
export class InvalidClientHello extends InvalidInput {
  constructor(what: string) {
    super(`not a TLS ClientHello: ${what}`, { hint: 'connect with TLS 1.2 or newer' })
  }
}

/**
 * Reads SNI and ALPN from the first bytes of a connection, which may hold less or more than the ClientHello;
 * it may be split over several records. Gives `incomplete` when more bytes are needed.
 *
 * @throws {InvalidClientHello} as soon as the bytes cannot become one any more
 * @see RFC 8446 §5.1 records, §4.1.2 ClientHello, §4.2 extensions; RFC 6066 §3 server name; RFC 7301 §3.1 ALPN
 */
export function parseClientHello(bytes: Buffer): ClientHello | 'incomplete' {
  const message = handshakeMessage(bytes)
  if (message === 'incomplete') return 'incomplete'
  const reader = new Reader(message)
  reader.skip(2, 'legacy version')
  reader.skip(32, 'random')
  const sessionId = reader.vector(1, 'session id')
  if (sessionId.length > 32) throw new InvalidClientHello('the session id is longer than 32 bytes')
  const suites = reader.vector(2, 'cipher suites')
  if (suites.length === 0 || suites.length % 2 !== 0) throw new InvalidClientHello('the cipher suites are malformed')
  if (reader.vector(1, 'compression methods').length === 0) throw new InvalidClientHello('no compression method')
  if (reader.isAtEnd()) return { alpn: [] } // TLS 1.2 without extensions
  const extensions = new Reader(reader.vector(2, 'extensions'))
  if (!reader.isAtEnd()) throw new InvalidClientHello('bytes follow the extensions')
  return readExtensions(extensions)
}

const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1
const MAX_RECORD_BYTES = 16_384

/** The body of the first handshake message, put together from records. */
function handshakeMessage(bytes: Buffer): Buffer | 'incomplete' {
  const fragments: Buffer[] = []
  let collected = 0
  for (let at = 0; ; ) {
    // Each byte is judged as it comes, so that what is not TLS need not be waited for.
    if (bytes.length > at && bytes[at] !== HANDSHAKE_RECORD) throw new InvalidClientHello('no handshake record')
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) throw new InvalidClientHello('unknown record version')
    if (bytes.length < at + 5) return 'incomplete'
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > MAX_RECORD_BYTES) throw new InvalidClientHello('a record of a forbidden length')
    const fragment = bytes.subarray(at + 5, at + 5 + length)
    fragments.push(fragment)
    collected += fragment.length
    at += 5 + length

    const message = fragments.length === 1 ? fragment : Buffer.concat(fragments)
    if (collected > 0 && message[0] !== CLIENT_HELLO) throw new InvalidClientHello('another handshake message')
    if (collected >= 4) {
      const size = message.readUIntBE(1, 3)
      if (size > MAX_CLIENT_HELLO_BYTES) {
        throw new InvalidClientHello(`longer than ${MAX_CLIENT_HELLO_BYTES} bytes`)
      }
      if (collected >= 4 + size) return message.subarray(4, 4 + size)
    }
    if (fragment.length < length) return 'incomplete'
    // A message in many tiny records is legal, and costs us more than its sender: it gets a bound.
    if (fragments.length >= MAX_RECORDS) throw new InvalidClientHello(`more than ${MAX_RECORDS} records`)
  }
}

const MAX_RECORDS = 64

const SERVER_NAME = 0
const ALPN = 16

function readExtensions(extensions: Reader): ClientHello {
  const seen = new Set<number>()
  let hello: ClientHello = { alpn: [] }
  while (!extensions.isAtEnd()) {
    const type = extensions.number(2, 'extension type')
    const data = extensions.vector(2, 'extension')
    if (seen.has(type)) throw new InvalidClientHello('an extension occurs twice')
    seen.add(type)
    if (type === SERVER_NAME) hello = { ...hello, serverName: readServerName(data) }
    if (type === ALPN) hello = { ...hello, alpn: readAlpn(data) }
  }
  return hello
}

/** One name of type host_name: a second one of that type is forbidden, and there is no other type. */
function readServerName(data: Buffer): string {
  const outer = new Reader(data)
  const list = new Reader(outer.vector(2, 'server name list'))
  const type = list.number(1, 'name type')
  const name = list.vector(2, 'server name').toString('latin1')
  if (type !== 0 || !list.isAtEnd() || !outer.isAtEnd()) throw new InvalidClientHello('the server name is malformed')
  if (name.length > 255 || !/^[\x21-\x7e]+$/.test(name)) throw new InvalidClientHello('the server name is malformed')
  return name.toLowerCase()
}

function readAlpn(data: Buffer): string[] {
  const outer = new Reader(data)
  const list = new Reader(outer.vector(2, 'protocol list'))
  if (!outer.isAtEnd() || list.isAtEnd()) throw new InvalidClientHello('the protocol list is malformed')
  const protocols: string[] = []
  while (!list.isAtEnd()) {
    const protocol = list.vector(1, 'protocol').toString('latin1')
    if (protocol === '') throw new InvalidClientHello('an empty protocol name')
    protocols.push(protocol)
  }
  return protocols
}

/** Reads numbers and length-prefixed vectors (RFC 8446 §3.4), and never beyond the end. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  skip(length: number, what: string): void {
    if (this.#at + length > this.#bytes.length) throw new InvalidClientHello(`it ends within its ${what}`)
    this.#at += length
  }

  number(length: number, what: string): number {
    this.skip(length, what)
    return this.#bytes.readUIntBE(this.#at - length, length)
  }

  /** `lengthBytes` bytes that hold a length, then that many bytes. */
  vector(lengthBytes: number, what: string): Buffer {
    const length = this.number(lengthBytes, what)
    this.skip(length, what)
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}
