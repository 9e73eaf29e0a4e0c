/** The extensions of version 3 certificates that this system writes and understands (RFC 5280 section 4.2). */
import {
  boolean,
  contextTag,
  type DerNode,
  element,
  InvalidDer,
  integer,
  objectIdentifier,
  octetString,
  readDer,
  sequence,
  tags,
} from './der.ts'
import { expectTag, readBoolean, readObjectIdentifier, readSmallInteger } from './der-value.ts'
import { addressBytes, addressText } from './name.ts'

/** Bits of KeyUsage in their order (RFC 5280 section 4.2.1.3). */
const keyUsages = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const
export type KeyUsage = (typeof keyUsages)[number]
export type ExtendedKeyUsage = 'serverAuth' | 'clientAuth'

/** Names of a SubjectAltName. */
export interface AlternativeNames {
  readonly dnsNames: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly uris: readonly string[]
}

/** What goes into a certificate. Names are checked already. */
export interface Extensions extends AlternativeNames {
  readonly isCa: boolean
  readonly pathLength?: number | undefined
  readonly keyUsage: readonly KeyUsage[]
  readonly extendedKeyUsage: readonly ExtendedKeyUsage[]
  readonly subjectKeyId: Buffer
  readonly authorityKeyId: Buffer
  /** DNS domains below which alone an authority may vouch for names, and for nothing else (section 4.2.1.10). */
  readonly permittedDomains?: readonly string[] | undefined
  /** The SAN is the only name: then it must be critical (section 4.2.1.6). */
  readonly hasEmptySubject: boolean
}

/** What a certificate says. What it leaves out is `undefined` or empty. */
export interface ParsedExtensions extends AlternativeNames {
  readonly isCa: boolean
  readonly pathLength?: number
  readonly keyUsage?: readonly KeyUsage[]
  /** `serverAuth`, `clientAuth`, or the dotted identifier of another purpose. */
  readonly extendedKeyUsage?: readonly string[]
  readonly subjectKeyId?: Buffer
  readonly authorityKeyId?: Buffer
  /** Identifiers of critical extensions that are not understood here: whoever verifies must refuse (section 4.2). */
  readonly unknownCritical: readonly string[]
}

/** DER Extensions: one SEQUENCE. */
export function encodeExtensions(extensions: Extensions): Buffer {
  const { isCa, pathLength, keyUsage, extendedKeyUsage, subjectKeyId, authorityKeyId, hasEmptySubject } = extensions
  const list = [
    extension(ids.basicConstraints, true, encodeBasicConstraints(isCa, pathLength)),
    ...(keyUsage.length > 0 ? [extension(ids.keyUsage, true, encodeKeyUsage(keyUsage))] : []),
    extension(ids.subjectKeyId, false, octetString(subjectKeyId)),
    extension(ids.authorityKeyId, false, sequence(contextTag(0, authorityKeyId, { constructed: false }))),
  ]
  if (extendedKeyUsage.length > 0) {
    list.push(
      extension(
        ids.extendedKeyUsage,
        false,
        sequence(...extendedKeyUsage.map((use) => objectIdentifier(purposes[use]))),
      ),
    )
  }
  if (extensions.permittedDomains !== undefined) {
    list.push(extension(ids.nameConstraints, true, encodeNameConstraints(extensions.permittedDomains)))
  }
  const names = encodeAlternativeNames(extensions)
  if (names !== undefined) list.push(extension(ids.subjectAltName, hasEmptySubject, names))
  return sequence(...list)
}

/** A request's extensions: the SAN alone (RFC 2986 with RFC 2985 section 5.4.2); `undefined` where there are no names. */
export function encodeRequestedExtensions(names: AlternativeNames): Buffer | undefined {
  const encoded = encodeAlternativeNames(names)
  return encoded && sequence(extension(ids.subjectAltName, false, encoded))
}

/** @throws {InvalidDer} also if an extension occurs twice (section 4.2) */
export function decodeExtensions(node: DerNode | undefined): ParsedExtensions {
  let parsed: ParsedExtensions = { dnsNames: [], ipAddresses: [], uris: [], isCa: false, unknownCritical: [] }
  if (node === undefined) return parsed
  const seen = new Set<string>()
  for (const entry of expectTag(node, tags.sequence, 'the extensions').children) {
    const [identifier, ...rest] = expectTag(entry, tags.sequence, 'an extension').children
    const id = readObjectIdentifier(identifier, 'an extension')
    if (seen.has(id)) throw new InvalidDer(`extension ${id} occurs twice`, entry.offset)
    seen.add(id)
    const isCritical = rest[0]?.tag === tags.boolean && readBoolean(rest.shift(), 'critical')
    const value = expectTag(rest.shift(), tags.octetString, `extension ${id}`)
    if (rest.length > 0) throw new InvalidDer(`extension ${id} has too many parts`, entry.offset)
    const decode = decoders[id]
    if (decode !== undefined) parsed = { ...parsed, ...decode(readDer(value.contents)) }
    else if (isCritical) parsed = { ...parsed, unknownCritical: [...parsed.unknownCritical, id] }
  }
  return parsed
}

// ----------------------------------------------------------------------------------------------- private

const ids = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const

/** RFC 5280 section 4.2.1.12. */
const purposes: Readonly<Record<ExtendedKeyUsage, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
}

/** Implicit tags of GeneralName (section 4.2.1.6). */
const generalName = { dns: 0x82, uri: 0x86, address: 0x87 } as const

const decoders: Readonly<Record<string, (node: DerNode) => Partial<ParsedExtensions>>> = {
  [ids.basicConstraints]: decodeBasicConstraints,
  [ids.keyUsage]: decodeKeyUsage,
  [ids.subjectAltName]: decodeAlternativeNames,
  [ids.extendedKeyUsage]: (node) => ({
    extendedKeyUsage: expectTag(node, tags.sequence, 'extendedKeyUsage').children.map((purpose) => {
      const id = readObjectIdentifier(purpose, 'extendedKeyUsage')
      return id === purposes.serverAuth ? 'serverAuth' : id === purposes.clientAuth ? 'clientAuth' : id
    }),
  }),
  [ids.subjectKeyId]: (node) => ({
    subjectKeyId: expectTag(node, tags.octetString, 'subjectKeyIdentifier').contents,
  }),
  [ids.authorityKeyId]: (node) => {
    const keyId = expectTag(node, tags.sequence, 'authorityKeyIdentifier').children.find(({ tag }) => tag === 0x80)
    return keyId === undefined ? {} : { authorityKeyId: keyId.contents }
  },
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  // DER leaves out a value that is the default: not critical (X.690 section 11.5).
  return isCritical
    ? sequence(objectIdentifier(id), boolean(true), octetString(value))
    : sequence(objectIdentifier(id), octetString(value))
}

function encodeBasicConstraints(isCa: boolean, pathLength: number | undefined): Buffer {
  if (!isCa) return sequence()
  return pathLength === undefined ? sequence(boolean(true)) : sequence(boolean(true), integer(pathLength))
}

/** Domains that are permitted, and every IP address, which these would not touch, excluded. */
function encodeNameConstraints(domains: readonly string[]): Buffer {
  const permitted = domains.map((domain) => sequence(element(generalName.dns, Buffer.from(domain, 'latin1'))))
  const excluded = [8, 32].map((length) => sequence(element(generalName.address, Buffer.alloc(length))))
  return sequence(contextTag(0, Buffer.concat(permitted)), contextTag(1, Buffer.concat(excluded)))
}

function decodeBasicConstraints(node: DerNode): Partial<ParsedExtensions> {
  const parts = [...expectTag(node, tags.sequence, 'basicConstraints').children]
  const isCa = parts[0]?.tag === tags.boolean && readBoolean(parts.shift(), 'basicConstraints')
  const limit = parts.shift()
  if (parts.length > 0) throw new InvalidDer('basicConstraints has too many parts', node.offset)
  if (limit === undefined) return { isCa }
  if (!isCa) throw new InvalidDer('basicConstraints limits the path of what is no CA', node.offset)
  return { isCa, pathLength: readSmallInteger(limit, 'pathLenConstraint') }
}

/** A named bit list: trailing zero bits are left out (X.690 section 11.2.2). */
function encodeKeyUsage(usages: readonly KeyUsage[]): Buffer {
  let bits = 0
  for (const usage of usages) bits |= 0x8000 >> keyUsages.indexOf(usage)
  const octets = (bits & 0xff) !== 0 ? 2 : bits === 0 ? 0 : 1
  const last = octets === 2 ? bits & 0xff : bits >> 8
  const unused = last === 0 ? 0 : 31 - Math.clz32(last & -last)
  return element(tags.bitString, Buffer.of(unused, ...[bits >> 8, bits & 0xff].slice(0, octets)))
}

function decodeKeyUsage(node: DerNode): Partial<ParsedExtensions> {
  const { contents } = expectTag(node, tags.bitString, 'keyUsage')
  const [, high = 0, low = 0] = contents
  const bits = (high << 8) | low
  return { keyUsage: keyUsages.filter((_, index) => (bits & (0x8000 >> index)) !== 0) }
}

function encodeAlternativeNames({ dnsNames, ipAddresses, uris }: AlternativeNames): Buffer | undefined {
  if (dnsNames.length + ipAddresses.length + uris.length === 0) return undefined
  return sequence(
    ...dnsNames.map((name) => element(generalName.dns, Buffer.from(name, 'latin1'))),
    ...ipAddresses.map((address) => element(generalName.address, addressBytes(address))),
    ...uris.map((uri) => element(generalName.uri, Buffer.from(uri, 'latin1'))),
  )
}

function decodeAlternativeNames(node: DerNode): AlternativeNames {
  const dnsNames: string[] = []
  const ipAddresses: string[] = []
  const uris: string[] = []
  for (const { tag, contents, offset } of expectTag(node, tags.sequence, 'subjectAltName').children) {
    if (tag === generalName.address) {
      const address = addressText(contents)
      if (address === undefined) throw new InvalidDer('an IP address that is not of 4 or 16 bytes', offset)
      ipAddresses.push(address)
    } else if (tag === generalName.dns || tag === generalName.uri) {
      // A NUL or a line break in a name has fooled those who compare or print it.
      if (contents.length === 0 || contents.some((octet) => octet <= 0x20 || octet >= 0x7f)) {
        throw new InvalidDer('a SAN with characters that no name has', offset)
      }
      const names = tag === generalName.dns ? dnsNames : uris
      names.push(contents.toString('latin1'))
    }
  }
  return { dnsNames, ipAddresses, uris }
}
