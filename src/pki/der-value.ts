/** Values of the nodes that `readDer` gives, each with its type checked. `what` names the field in the error. */
import { type DerNode, InvalidDer, tags, timeText } from './der.ts'

/** The node, if it has this tag. @throws {InvalidDer} that names `what` was expected */
export function expectTag(node: DerNode | undefined, tag: number, what: string): DerNode {
  if (node === undefined) throw new InvalidDer(`${what} is missing`)
  if (node.tag !== tag) throw new InvalidDer(`${what} has the wrong type`, node.offset)
  return node
}

/** Dotted decimal of an OBJECT IDENTIFIER. @throws {InvalidDer} */
export function readObjectIdentifier(node: DerNode | undefined, what: string): string {
  const { contents, offset } = expectTag(node, tags.objectIdentifier, what)
  const arcs: number[] = []
  let arc = 0
  for (const octet of contents) {
    arc = arc * 128 + (octet & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER) throw new InvalidDer(`${what} has an arc that is too large`, offset)
    if ((octet & 0x80) !== 0) continue
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40))
      arcs.push(first, arc - first * 40)
    } else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

/** A small INTEGER that is not negative. @throws {InvalidDer} */
export function readSmallInteger(node: DerNode | undefined, what: string): number {
  const { contents, offset } = expectTag(node, tags.integer, what)
  if (contents.length > 4 || (contents[0] ?? 0x80) >= 0x80) throw new InvalidDer(`${what} is out of range`, offset)
  return contents.readUIntBE(0, contents.length)
}

/** @throws {InvalidDer} */
export function readBoolean(node: DerNode | undefined, what: string): boolean {
  return expectTag(node, tags.boolean, what).contents[0] === 0xff
}

/** Octets of a BIT STRING that ends on an octet. @throws {InvalidDer} */
export function readBitString(node: DerNode | undefined, what: string): Buffer {
  const { contents, offset } = expectTag(node, tags.bitString, what)
  if (contents[0] !== 0) throw new InvalidDer(`${what} does not end on an octet`, offset)
  return contents.subarray(1)
}

/** Any of the string types of a name (RFC 5280 section 4.1.2.4). @throws {InvalidDer} */
export function readText(node: DerNode | undefined, what: string): string {
  if (node === undefined) throw new InvalidDer(`${what} is missing`)
  const { tag, contents, offset } = node
  if (tag === tags.utf8String) {
    try {
      return utf8.decode(contents)
    } catch {
      throw new InvalidDer(`${what} is not UTF-8`, offset)
    }
  }
  if (tag === tags.bmpString) {
    if (contents.length % 2 !== 0) throw new InvalidDer(`${what} is not UTF-16`, offset)
    return Buffer.from(contents).swap16().toString('utf16le')
  }
  const text = contents.toString('latin1')
  if (tag === tags.teletexString) return text
  if (tag === tags.printableString) {
    // '*', '@' and '&' occur in old real certificates; other characters do not.
    if (!/^[A-Za-z0-9 '()+,\-./:=?*@&_]*$/.test(text)) throw new InvalidDer(`${what} is not a PrintableString`, offset)
    return text
  }
  if (tag !== tags.ia5String) throw new InvalidDer(`${what} is not a string`, offset)
  if (!ASCII.test(text)) throw new InvalidDer(`${what} is not ASCII`, offset)
  return text
}

/** UTCTime or GeneralizedTime in the forms of RFC 5280 section 4.1.2.5: seconds, Z, no fractions. @throws {InvalidDer} */
export function readTime(node: DerNode | undefined, what: string): Date {
  if (node === undefined) throw new InvalidDer(`${what} is missing`)
  const text = node.contents.toString('latin1')
  if (node.tag !== tags.utcTime && node.tag !== tags.generalizedTime)
    throw new InvalidDer(`${what} is not a time`, node.offset)
  const century = node.tag === tags.utcTime ? (Number(text.slice(0, 2)) >= 50 ? '19' : '20') : ''
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text)
  if (match === null) throw new InvalidDer(`${what} is not a time to the second in UTC`, node.offset)
  const [, year, month, day, hour, minute, second] = match
  const instant = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  // A day that does not exist would roll over: 30 February.
  if (Number.isNaN(instant.getTime()) || timeText(instant) !== century + text) {
    throw new InvalidDer(`${what} does not exist in the calendar`, node.offset)
  }
  return instant
}

const ASCII = /^\p{ASCII}*$/u
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
