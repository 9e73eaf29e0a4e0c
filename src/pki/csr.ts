/** Certificate signing requests (RFC 2986): make one, read one and check that its sender holds the key. */
import type { KeyObject } from 'node:crypto'
import { InvalidInput } from '#errors.ts'
import { type Name, pemOf } from './certificate.ts'
import { bitString, contextTag, integer, objectIdentifier, readDer, sequence, set, tags } from './der.ts'
import { expectTag, readBitString, readObjectIdentifier, readSmallInteger } from './der-value.ts'
import { type AlternativeNames, decodeExtensions, encodeRequestedExtensions } from './extension.ts'
import { type KeyPair, parsePublicKeyDer, spkiDer } from './key.ts'
import { decodeName, encodeName } from './name.ts'
import { isSignatureOf, readSignatureAlgorithm, signatureAlgorithm, signBytes } from './signature.ts'

export interface Csr {
  readonly der: Buffer
  readonly pem: string
}

/** What a request asks for. Only the public key is proved; every name in it is a wish. */
export interface ParsedCsr extends AlternativeNames {
  readonly subject: Name
  readonly publicKey: KeyObject
}

/** A request that cannot be read, or whose signature is not by the key in it. */
export class InvalidCsr extends InvalidInput {}

/** A request for a certificate of this key, signed with it. */
export function createCsr({
  subject,
  keys,
  dnsNames = [],
  ipAddresses = [],
  uris = [],
}: { readonly subject: Name; readonly keys: KeyPair } & Partial<AlternativeNames>): Csr {
  const extensions = encodeRequestedExtensions({ dnsNames, ipAddresses, uris })
  const attributes = extensions ? [sequence(objectIdentifier(EXTENSION_REQUEST), set(extensions))] : []
  const info = sequence(
    integer(0),
    encodeName(subject),
    spkiDer(keys.publicKey),
    contextTag(0, Buffer.concat(attributes)),
  )
  const der = sequence(info, signatureAlgorithm(keys.privateKey), bitString(signBytes(keys.privateKey, info)))
  return { der, pem: pemOf(der, 'CERTIFICATE REQUEST') }
}

/**
 * Reads a request and verifies its signature by the key in it: proof of possession.
 * @param request PEM or DER
 * @throws {InvalidCsr}
 * @throws {InvalidDer}
 * @throws {InvalidKey} if the key is of a type that is not accepted here
 */
export function parseCsr(request: string | Uint8Array): ParsedCsr {
  const der = typeof request === 'string' ? derOf(request) : Buffer.from(request)
  const [info, algorithm, signature, ...more] = expectTag(readDer(der), tags.sequence, 'the request').children
  const [version, subject, spki, attributes, ...rest] = expectTag(info, tags.sequence, 'the signed part').children
  if (more.length + rest.length > 0 || attributes?.tag !== 0xa0) throw invalid('the request has the wrong parts')
  if (readSmallInteger(version, 'the version') !== 0) throw invalid('only version 1 requests are accepted')
  const publicKey = parsePublicKeyDer(expectTag(spki, tags.sequence, 'the public key').bytes)
  const signed = info?.bytes ?? Buffer.alloc(0)
  if (!isSignatureOf(readSignatureAlgorithm(algorithm), publicKey, signed, readBitString(signature, 'the signature'))) {
    throw invalid('the request is not signed by the key in it')
  }
  const wanted = attributes.children.find(
    ({ children: [type] }) => readObjectIdentifier(type, 'an attribute') === EXTENSION_REQUEST,
  )
  const values = wanted && expectTag(wanted.children[1], tags.set, 'the requested extensions')
  const { dnsNames, ipAddresses, uris } = decodeExtensions(values?.children[0])
  return { subject: decodeName(subject, 'the subject'), publicKey, dnsNames, ipAddresses, uris }
}

/** PKCS #9 extensionRequest (RFC 2985 section 5.4.2). */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const MAX_PEM_CHARACTERS = 256 * 1024

function derOf(pem: string): Buffer {
  if (pem.length > MAX_PEM_CHARACTERS) throw invalid('the request is too long')
  const block =
    /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/.exec(
      pem,
    )?.[1]
  if (block === undefined) throw invalid('the text is not one certificate request in PEM')
  return Buffer.from(block, 'base64')
}

function invalid(message: string): InvalidCsr {
  return new InvalidCsr(message, { hint: 'make the request again, signed with the private key of its public key' })
}
