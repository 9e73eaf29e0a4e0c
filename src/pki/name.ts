/** Distinguished names (RFC 5280 section 4.1.2.4) and host names and addresses as SANs hold them. */
import { isIP, isIPv4 } from 'node:net'
import type { Name } from './certificate.ts'
import { type DerNode, InvalidDer, objectIdentifier, printableString, sequence, set, tags, utf8String } from './der.ts'
import { expectTag, readObjectIdentifier, readText } from './der-value.ts'

/** DER Name: one attribute to each RelativeDistinguishedName, in the given order; UTF8String except for the country. */
export function encodeName(name: Name): Buffer {
  return sequence(
    ...name.map(([oid, value]) =>
      set(sequence(objectIdentifier(oid), oid === COUNTRY ? printableString(value) : utf8String(value))),
    ),
  )
}

/** All attributes in order; an RDN with several gives them one after the other. @throws {InvalidDer} */
export function decodeName(node: DerNode | undefined, what: string): Name {
  return expectTag(node, tags.sequence, what).children.flatMap((rdn) => {
    const attributes = expectTag(rdn, tags.set, `an RDN of ${what}`).children
    if (attributes.length === 0) throw new InvalidDer(`an RDN of ${what} is empty`, rdn.offset)
    return attributes.map((attribute): readonly [string, string] => {
      const [oid, value, ...more] = expectTag(attribute, tags.sequence, `an attribute of ${what}`).children
      if (more.length > 0) throw new InvalidDer(`an attribute of ${what} has too many parts`, attribute.offset)
      return [readObjectIdentifier(oid, `an attribute of ${what}`), readText(value, `an attribute of ${what}`)]
    })
  })
}

/** 4 or 16 octets of an address literal. @throws {RangeError} */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  if (isIP(address) === 0 || address.includes('%')) throw new RangeError(`not an IP address: ${address}`)
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const all = [
    ...before,
    ...Array<string>(tail === undefined ? 0 : 8 - before.length - after.length).fill('0'),
    ...after,
  ]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

/** Address literal of 4 or 16 octets, IPv6 in the form of RFC 5952; `undefined` for another number of octets. */
export function addressText(bytes: Buffer): string | undefined {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16) return undefined
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1)
}

/** Whether a SAN may hold it: dot-separated labels, `*.` only in front (RFC 5280 section 4.2.1.6, RFC 6125 section 6.4.3). */
export function isDnsName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/.test(
      text,
    )
  )
}

const COUNTRY = '2.5.4.6'
