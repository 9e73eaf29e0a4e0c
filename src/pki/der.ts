/**
 * DER (X.690 section 10): a writer of the few types that certificates are made of, and a strict reader.
 * The reader knows no schema: it gives a tree; `der-value.ts` reads values out of its nodes.
 */
import { InvalidInput } from '#errors.ts'

/** Bytes that are not DER, or not the type that belongs there. */
export class InvalidDer extends InvalidInput {
  /** @param offset of the element at fault, in bytes from the start of what was read */
  constructor(what: string, offset = 0) {
    super(`not valid DER: ${what} (at byte ${offset})`, {
      hint: 'send DER, or PEM around it, as the program that made it wrote it',
    })
  }
}

/** Identifier octets (X.690 section 8.1.2) of the universal types used here. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
} as const

// ------------------------------------------------------------------------------------------------ writer

/** One element: identifier octet, shortest definite length (X.690 section 10.1), contents. */
export function element(tag: number, contents: Buffer): Buffer {
  return elementOf(tag, [contents], contents.length)
}

/** SEQUENCE or SEQUENCE OF. */
export function sequence(...parts: readonly Buffer[]): Buffer {
  return elementOf(tags.sequence, parts, lengthOf(parts))
}

/** SET OF: the elements are put in ascending order of their encodings (X.690 section 11.6). */
export function set(...parts: readonly Buffer[]): Buffer {
  return elementOf(tags.set, parts.length > 1 ? parts.toSorted(Buffer.compare) : parts, lengthOf(parts))
}

/** INTEGER from a safe integer, or from the big-endian bytes of a number that is not negative. */
export function integer(value: number | Buffer): Buffer {
  if (typeof value !== 'number') return element(tags.integer, unsignedContents(value))
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a safe integer of at least 0: ${value}`)
  const hex = value.toString(16)
  return element(tags.integer, unsignedContents(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')))
}

/** OBJECT IDENTIFIER from dotted decimal, for example `2.5.4.3` (X.690 section 8.19). */
export function objectIdentifier(dotted: string): Buffer {
  const known = writtenOids.get(dotted)
  if (known !== undefined) return known
  const arcs = dotted.split('.').map(Number)
  const [first = -1, second = -1, ...rest] = arcs
  if (
    !arcs.every((arc) => Number.isSafeInteger(arc) && arc >= 0) ||
    first > 2 ||
    second < 0 ||
    (first < 2 && second > 39)
  ) {
    throw new RangeError(`not an object identifier: ${dotted}`)
  }
  const written = element(tags.objectIdentifier, Buffer.from([first * 40 + second, ...rest].flatMap(base128)))
  if (writtenOids.size < 1_000) writtenOids.set(dotted, written)
  return written
}

/** BOOLEAN: TRUE is 0xff (X.690 section 11.1). */
export function boolean(value: boolean): Buffer {
  return element(tags.boolean, Buffer.of(value ? 0xff : 0))
}

export function nullValue(): Buffer {
  return Buffer.of(tags.null, 0)
}

export function octetString(contents: Buffer): Buffer {
  return element(tags.octetString, contents)
}

/** BIT STRING of whole octets; `unusedBits` of the last octet (0 to 7) must be zero bits. */
export function bitString(contents: Buffer, unusedBits = 0): Buffer {
  return elementOf(tags.bitString, [Buffer.of(unusedBits), contents], contents.length + 1)
}

export function utf8String(text: string): Buffer {
  return element(tags.utf8String, Buffer.from(text, 'utf8'))
}

/** @throws {RangeError} if a character is outside the set of X.680 section 41.4 */
export function printableString(text: string): Buffer {
  if (!PRINTABLE.test(text)) throw new RangeError(`not a PrintableString: ${JSON.stringify(text)}`)
  return element(tags.printableString, Buffer.from(text, 'latin1'))
}

/** @throws {RangeError} if a character is not ASCII */
export function ia5String(text: string): Buffer {
  if (!ASCII.test(text)) throw new RangeError(`not ASCII: ${JSON.stringify(text)}`)
  return element(tags.ia5String, Buffer.from(text, 'latin1'))
}

/** UTCTime to the second, `YYMMDDHHMMSSZ`: 1950 to 2049 (RFC 5280 section 4.1.2.5.1). */
export function utcTime(instant: Date): Buffer {
  const year = instant.getUTCFullYear()
  if (!(year >= 1950 && year < 2050)) throw new RangeError(`UTCTime holds 1950 to 2049, not ${year}`)
  return element(tags.utcTime, Buffer.from(timeText(instant).slice(2), 'latin1'))
}

/** GeneralizedTime to the second, `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5.2). */
export function generalizedTime(instant: Date): Buffer {
  const year = instant.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) throw new RangeError(`GeneralizedTime holds the years 0 to 9999, not ${year}`)
  return element(tags.generalizedTime, Buffer.from(timeText(instant), 'latin1'))
}

/** `YYYYMMDDHHMMSSZ`: the contents of a GeneralizedTime; without the first two digits those of a UTCTime. */
export function timeText(instant: Date): string {
  return instant
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '')
}

/** Time of a certificate: UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). */
export function time(instant: Date): Buffer {
  const year = instant.getUTCFullYear()
  return year >= 1950 && year < 2050 ? utcTime(instant) : generalizedTime(instant)
}

/** Context-specific tag `[number]`, 0 to 30: constructed around whole elements (EXPLICIT), else primitive (IMPLICIT). */
export function contextTag(number: number, contents: Buffer, { constructed = true } = {}): Buffer {
  if (!(number >= 0 && number <= 30)) throw new RangeError(`not a low tag number: ${number}`)
  return element(0x80 | (constructed ? 0x20 : 0) | number, contents)
}

// ------------------------------------------------------------------------------------------------ reader

/** One element: its identifier octet, the contents, and the elements inside a constructed one. */
export interface DerNode {
  readonly tag: number
  /** Where it begins in what was read. */
  readonly offset: number
  /** The whole element. */
  readonly bytes: Buffer
  readonly contents: Buffer
  readonly children: readonly DerNode[]
}

/** No certificate or request of this system comes near it. */
const MAX_DER_BYTES = 256 * 1024
const MAX_DEPTH = 24
const MAX_NODES = 20_000

/**
 * Reads exactly one element and everything in it. Lengths must be definite and minimal, primitive types well-formed,
 * the elements of a SET in order, and nothing may follow.
 *
 * @throws {InvalidDer}
 * @see X.690 sections 8.1, 10 and 11
 */
export function readDer(bytes: Uint8Array): DerNode {
  if (bytes.length > MAX_DER_BYTES) throw new InvalidDer(`more than ${MAX_DER_BYTES} bytes`)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const node = readElement({ buffer, nodes: 0 }, 0, buffer.length, 0)
  if (node.bytes.length !== buffer.length) throw new InvalidDer('bytes after the end', node.bytes.length)
  return node
}

/** Writes a tree that was read; gives the very bytes. */
export function encodeDer(node: DerNode): Buffer {
  if (!isConstructed(node.tag)) return element(node.tag, node.contents)
  const parts = node.children.map(encodeDer)
  return elementOf(node.tag, parts, lengthOf(parts))
}

// ----------------------------------------------------------------------------------------------- private

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/
const ASCII = /^\p{ASCII}*$/u
const writtenOids = new Map<string, Buffer>()

const lengthOf = (parts: readonly Buffer[]): number => parts.reduce((sum, part) => sum + part.length, 0)
const isConstructed = (tag: number): boolean => (tag & 0x20) !== 0

function elementOf(tag: number, parts: readonly Buffer[], length: number): Buffer {
  const lengthOctets = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4
  const out = Buffer.allocUnsafe(2 + lengthOctets + length)
  out[0] = tag
  if (lengthOctets === 0) out[1] = length
  else {
    out[1] = 0x80 | lengthOctets
    out.writeUIntBE(length, 2, lengthOctets)
  }
  let at = 2 + lengthOctets
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Shortest two's complement of a number that is not negative. */
function unsignedContents(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  if (digits.length === 0) return Buffer.of(0)
  return (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits
}

function base128(arc: number): number[] {
  const octets = [arc % 128]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) octets.unshift(0x80 | (rest % 128))
  return octets
}

interface Reading {
  readonly buffer: Buffer
  nodes: number
}

function readElement(reading: Reading, start: number, end: number, depth: number): DerNode {
  const { buffer } = reading
  if (depth > MAX_DEPTH) throw new InvalidDer(`nested deeper than ${MAX_DEPTH}`, start)
  if (++reading.nodes > MAX_NODES) throw new InvalidDer(`more than ${MAX_NODES} elements`, start)
  if (end - start < 2) throw new InvalidDer('an element is cut off', start)
  const tag = buffer[start] ?? 0
  if ((tag & 0x1f) === 0x1f) throw new InvalidDer('a tag number above 30', start)
  const { length, contentsAt } = readLength(buffer, start, end)
  if (length > end - contentsAt) throw new InvalidDer('an element is longer than what holds it', start)
  const contentsEnd = contentsAt + length
  const children: DerNode[] = []
  if (isConstructed(tag)) {
    for (let at = contentsAt; at < contentsEnd; ) {
      const child = readElement(reading, at, contentsEnd, depth + 1)
      children.push(child)
      at += child.bytes.length
    }
  }
  const node = {
    tag,
    offset: start,
    bytes: buffer.subarray(start, contentsEnd),
    contents: buffer.subarray(contentsAt, contentsEnd),
    children,
  }
  checkUniversal(node)
  return node
}

function readLength(buffer: Buffer, start: number, end: number): { length: number; contentsAt: number } {
  const first = buffer[start + 1] ?? 0
  if (first < 0x80) return { length: first, contentsAt: start + 2 }
  const octets = first & 0x7f
  if (octets === 0) throw new InvalidDer('an indefinite length', start)
  if (octets > 4) throw new InvalidDer('a length of more than four octets', start)
  if (start + 2 + octets > end) throw new InvalidDer('a length is cut off', start)
  const length = buffer.readUIntBE(start + 2, octets)
  if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw new InvalidDer('a length that is not minimal', start)
  return { length, contentsAt: start + 2 + octets }
}

/** What X.690 sections 8 and 11 demand of each universal type. Types unknown here are left to who reads the tree. */
function checkUniversal(node: DerNode): void {
  const { tag, contents, children, offset } = node
  if (tag >= 0x40) return
  const [first = 0, second = 0] = contents
  switch (tag & 0x1f) {
    case 0x10:
      if (tag !== tags.sequence) throw new InvalidDer('a primitive SEQUENCE', offset)
      return
    case 0x11:
      if (tag !== tags.set) throw new InvalidDer('a primitive SET', offset)
      if (
        children.some(
          (child, index) => index > 0 && Buffer.compare(children[index - 1]?.bytes ?? child.bytes, child.bytes) > 0,
        )
      ) {
        throw new InvalidDer('a SET out of order', offset)
      }
      return
    case 0x00:
      throw new InvalidDer('the reserved tag 0', offset)
    default:
      if (isConstructed(tag)) throw new InvalidDer('a simple type in constructed form', offset)
  }
  if (tag === tags.boolean && !(contents.length === 1 && (first === 0 || first === 0xff))) {
    throw new InvalidDer('a BOOLEAN that is neither 00 nor ff', offset)
  }
  if (tag === tags.integer) {
    const padded = contents.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
    if (contents.length === 0 || padded) throw new InvalidDer('an INTEGER that is not minimal', offset)
  }
  if (tag === tags.null && contents.length !== 0) throw new InvalidDer('a NULL with contents', offset)
  if (tag === tags.bitString) {
    const last = contents[contents.length - 1] ?? 0
    const unused = contents.length === 1 ? first === 0 : first <= 7 && (last & ((1 << first) - 1)) === 0
    if (contents.length === 0 || !unused) throw new InvalidDer('a BIT STRING with wrong unused bits', offset)
  }
  if (tag === tags.objectIdentifier) {
    const padded = contents.some((octet, index) => octet === 0x80 && (index === 0 || (contents[index - 1] ?? 0) < 0x80))
    const cut = contents.length === 0 || (contents[contents.length - 1] ?? 0) >= 0x80
    if (padded || cut) throw new InvalidDer('a malformed OBJECT IDENTIFIER', offset)
  }
}
