/** X.509 version 3 certificates (RFC 5280): build and sign one, read one. */
import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { InvalidInput } from '#errors.ts'
import { bitString, contextTag, type DerNode, InvalidDer, integer, readDer, sequence, tags, time } from './der.ts'
import { expectTag, readBitString, readSmallInteger, readTime } from './der-value.ts'
import {
  decodeExtensions,
  type ExtendedKeyUsage,
  encodeExtensions,
  type KeyUsage,
  type ParsedExtensions,
} from './extension.ts'
import { parsePublicKeyDer, spkiDer } from './key.ts'
import { decodeName, encodeName, isDnsName } from './name.ts'
import { readSignatureAlgorithm, signatureAlgorithm, signBytes } from './signature.ts'

/** Attributes of a distinguished name in order: `[['2.5.4.3', 'alice'], ['2.5.4.10', 'access']]`. */
export type Name = readonly (readonly [oid: string, value: string])[]

/** Attribute types of names (X.520). */
export const oids = {
  CN: '2.5.4.3',
  L: '2.5.4.7',
  STREET: '2.5.4.9',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  postalCode: '2.5.4.17',
} as const

export interface CertificateRequest {
  readonly subject: Name
  /** Public key of the holder; a private key stands for its public half. */
  readonly publicKey: KeyObject
  readonly issuer: {
    readonly name: Name
    readonly privateKey: KeyObject
    /** Left out when the certificate signs itself. Its subject, byte for byte, and its key identifier are used. */
    readonly certificatePem?: string
  }
  /** 1 to 20 bytes, not zero; left out: 128 random bits. */
  readonly serial?: Buffer
  readonly notBefore: Date
  readonly notAfter: Date
  readonly isCa?: boolean
  readonly pathLength?: number
  /** Of an authority: DNS domains to whose names it is limited, `amazonaws.com`. It then vouches for no IP address at all. */
  readonly permittedDomains?: readonly string[]
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  readonly uris?: readonly string[]
  readonly keyUsage: readonly KeyUsage[]
  readonly extendedKeyUsage?: readonly ExtendedKeyUsage[]
}

export interface Certificate {
  readonly der: Buffer
  readonly pem: string
  /** Lower-case hex, two digits to a byte. */
  readonly serial: string
}

/** A certificate as it reads. Nothing is verified: `verifyChain` does that. */
export interface ParsedCertificate extends ParsedExtensions {
  readonly subject: Name
  readonly issuer: Name
  /** Lower-case hex, two digits to a byte. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: KeyObject
  readonly der: Buffer
  readonly pem: string
}

/** A certificate that breaks a rule, or that was asked for with a value that none may hold. */
export class InvalidCertificate extends InvalidInput {}

/**
 * Builds and signs a certificate with basicConstraints, keyUsage, key identifiers, and EKU and SAN as asked for.
 * Whether its holder may have it, and for how long, is the caller's rule.
 *
 * @throws {InvalidCertificate} for a name, serial or validity that no certificate may have
 * @see RFC 5280 section 4.1
 */
export function issueCertificate(request: CertificateRequest): Certificate {
  const { subject, publicKey, issuer, notBefore, notAfter, isCa = false } = request
  const { dnsNames = [], ipAddresses = [], uris = [] } = request
  checkRequest(request)
  const serial = request.serial ?? randomBytes(16)
  const { nameDer, keyId } = issuerFacts(issuer)
  const spki = spkiDer(publicKey)
  const algorithm = signatureAlgorithm(issuer.privateKey)
  const extensions = encodeExtensions({
    dnsNames,
    ipAddresses,
    uris,
    isCa,
    pathLength: request.pathLength,
    permittedDomains: request.permittedDomains,
    keyUsage: request.keyUsage,
    extendedKeyUsage: request.extendedKeyUsage ?? [],
    subjectKeyId: keyIdentifier(spki),
    authorityKeyId: keyId,
    hasEmptySubject: subject.length === 0,
  })
  const tbs = sequence(
    VERSION_3,
    integer(serial),
    algorithm,
    nameDer,
    sequence(time(notBefore), time(notAfter)),
    encodeName(subject),
    spki,
    contextTag(3, extensions),
  )
  const der = sequence(tbs, algorithm, bitString(signBytes(issuer.privateKey, tbs)))
  return { der, pem: pemOf(der), serial: serial.toString('hex') }
}

/**
 * Reads one certificate. Version 3 alone, by the strict reader.
 * @param certificate one PEM block, or DER
 * @throws {InvalidDer}
 * @throws {InvalidCertificate}
 * @throws {InvalidKey} if its key is of a type that is not accepted here
 */
export function parseCertificate(certificate: string | Uint8Array): ParsedCertificate {
  const der = typeof certificate === 'string' ? derOf(certificate) : Buffer.from(certificate)
  const [tbs, outerAlgorithm, signature, ...more] = expectTag(readDer(der), tags.sequence, 'the certificate').children
  if (more.length > 0) throw new InvalidDer('the certificate has too many parts')
  readBitString(signature, 'the signature')
  const fields = [...expectTag(tbs, tags.sequence, 'the signed part').children]
  const version = fields.shift()
  if (version?.tag !== 0xa0 || readSmallInteger(version.children[0], 'the version') !== 2) {
    throw invalid('only version 3 certificates are accepted')
  }
  const [serial, innerAlgorithm, issuer, validity, subject, spki, ...optional] = fields
  readSignatureAlgorithm(innerAlgorithm)
  if (!innerAlgorithm?.bytes.equals(outerAlgorithm?.bytes ?? Buffer.alloc(0))) {
    throw invalid('the two signature algorithms of the certificate differ') // RFC 5280 section 4.1.1.2
  }
  const [notBefore, notAfter] = expectTag(validity, tags.sequence, 'the validity').children
  return {
    ...decodeExtensions(extensionsOf(optional)),
    subject: decodeName(subject, 'the subject'),
    issuer: decodeName(issuer, 'the issuer'),
    serial: readSerial(serial),
    notBefore: readTime(notBefore, 'notBefore'),
    notAfter: readTime(notAfter, 'notAfter'),
    publicKey: parsePublicKeyDer(expectTag(spki, tags.sequence, 'the public key').bytes),
    der,
    pem: pemOf(der),
  }
}

/** The certificates of a text that may hold several, each as one PEM block. Text between the blocks is left out. */
export function splitPem(text: string): string[] {
  return (text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []).map(
    (block) => `${block}\n`,
  )
}

/** PEM of one block (RFC 7468 section 3), for example with label `CERTIFICATE`. */
export function pemOf(der: Buffer, label = 'CERTIFICATE'): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

// ----------------------------------------------------------------------------------------------- private

const VERSION_3 = contextTag(0, integer(2))
const MAX_NAME_BYTES = 64 * 1024
const MAX_URI_CHARACTERS = 2048

interface IssuerFacts {
  readonly certificatePem: string | undefined
  readonly nameDer: Buffer
  readonly keyId: Buffer
}

/** An authority signs thousands of certificates: what is read from its own is kept beside its key, and goes with it. */
const factsOfIssuers = new WeakMap<KeyObject, IssuerFacts>()

function issuerFacts({ name, privateKey, certificatePem }: CertificateRequest['issuer']): IssuerFacts {
  const kept = factsOfIssuers.get(privateKey)
  if (kept !== undefined && certificatePem !== undefined && kept.certificatePem === certificatePem) return kept
  if (certificatePem === undefined) {
    return { certificatePem, nameDer: encodeName(name), keyId: keyIdentifier(spkiDer(privateKey)) }
  }
  const certificate = parseCertificate(certificatePem)
  if (!spkiDer(certificate.publicKey).equals(spkiDer(createPublicKey(privateKey)))) {
    throw invalid('the issuer’s certificate and private key do not belong together')
  }
  // The subject's own bytes: verifiers compare names, and string types may differ from ours.
  const nameDer = readDer(certificate.der).children[0]?.children[5]?.bytes ?? encodeName(name)
  const facts = {
    certificatePem,
    nameDer,
    keyId: certificate.subjectKeyId ?? keyIdentifier(spkiDer(certificate.publicKey)),
  }
  factsOfIssuers.set(privateKey, facts)
  return facts
}

/** Key identifier: the leftmost 160 bits of the SHA-256 of the public key's bits (RFC 7093 section 2, method 1). */
function keyIdentifier(spki: Buffer): Buffer {
  const bits = readBitString(readDer(spki).children[1], 'the public key')
  return createHash('sha256').update(bits).digest().subarray(0, 20)
}

function checkRequest(request: CertificateRequest): void {
  const { subject, serial, notBefore, notAfter, isCa = false, pathLength } = request
  const { dnsNames = [], ipAddresses = [], uris = [] } = request
  if (!(notBefore <= notAfter)) throw invalid('the certificate would end before it begins')
  if (serial !== undefined && (serial.length > 20 || serial.every((octet) => octet === 0))) {
    throw invalid('the serial number is not between 1 and 20 bytes and positive') // RFC 5280 section 4.1.2.2
  }
  if (pathLength !== undefined && !isCa) throw invalid('only a CA has a path length')
  if (request.keyUsage.includes('keyCertSign') !== isCa) throw invalid('keyCertSign belongs to a CA and only there')
  for (const name of dnsNames) if (!isDnsName(name)) throw invalid(`${JSON.stringify(name)} is not a DNS name`)
  for (const address of ipAddresses) {
    if (isIP(address) === 0 || address.includes('%')) throw invalid(`${JSON.stringify(address)} is not an IP address`)
  }
  for (const uri of uris) {
    if (uri.length > MAX_URI_CHARACTERS || !/^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/.test(uri)) {
      throw invalid(`${JSON.stringify(uri.slice(0, 64))} is not a URI`)
    }
  }
  let bytes = 0
  for (const [, value] of subject) bytes += value.length
  if (bytes > MAX_NAME_BYTES) throw invalid(`the subject is longer than ${MAX_NAME_BYTES} characters`)
}

function extensionsOf(optional: readonly DerNode[]): DerNode | undefined {
  // Unique identifiers [1] and [2] may come before, and nobody uses them.
  const [last] = optional.slice(-1)
  if (last === undefined) return undefined
  if (optional.length > 3 || last.tag !== 0xa3 || last.children.length !== 1) {
    throw new InvalidDer('the certificate ends with unknown fields', last.offset)
  }
  return last.children[0]
}

/** Zero is read: old roots have it. A negative number is not (RFC 5280 section 4.1.2.2). */
function readSerial(node: DerNode | undefined): string {
  const { contents } = expectTag(node, tags.integer, 'the serial number')
  const digits = contents[0] === 0 && contents.length > 1 ? contents.subarray(1) : contents
  if ((contents[0] ?? 0) >= 0x80 || digits.length > 20) throw invalid('the serial number is negative or too long')
  return digits.toString('hex')
}

function derOf(pem: string): Buffer {
  const [block, ...more] = splitPem(pem)
  if (block === undefined || more.length > 0) throw invalid('the text is not one certificate in PEM')
  return Buffer.from(block.replace(/-----[A-Z ]+-----/g, ''), 'base64')
}

function invalid(message: string): InvalidCertificate {
  return new InvalidCertificate(message, { hint: 'use a certificate that follows RFC 5280' })
}
