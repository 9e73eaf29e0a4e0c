/** Chains verify as RFC 5280 section 6 says, each demand with its own refusal; Node's own TLS agrees on the good ones. */
import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { type CertificateRequest, issueCertificate, type Name, oids, parseCertificate, pemOf } from './certificate.ts'
import { UntrustedCertificate, verifyChain } from './chain.ts'
import { bitString, boolean, contextTag, objectIdentifier, octetString, readDer, sequence } from './der.ts'
import { generateKeyPair, type KeyPair, type KeyType, privateKeyPem } from './key.ts'

const NOW = new Date('2026-06-01T12:00:00Z')
const day = (days: number): Date => new Date(NOW.getTime() + days * 86_400_000)

interface Authority {
  readonly name: Name
  readonly keys: KeyPair
  readonly pem: string
}

/** An authority that `parent` signed, or that signed itself. */
function authority(
  cn: string,
  parent?: Authority,
  change: Partial<CertificateRequest> = {},
  keys = generateKeyPair(),
): Authority {
  const name: Name = [[oids.CN, cn]]
  const { pem } = issueCertificate({
    subject: name,
    publicKey: keys.publicKey,
    issuer: parent
      ? { name: parent.name, privateKey: parent.keys.privateKey, certificatePem: parent.pem }
      : { name, privateKey: keys.privateKey },
    notBefore: day(-30),
    notAfter: day(30),
    isCa: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
    ...change,
  })
  return { name, keys, pem }
}

function leafOf(parent: Authority, change: Partial<CertificateRequest> = {}, keys = generateKeyPair()): string {
  return issueCertificate({
    subject: [[oids.CN, 'leaf']],
    publicKey: keys.publicKey,
    issuer: { name: parent.name, privateKey: parent.keys.privateKey, certificatePem: parent.pem },
    notBefore: day(-1),
    notAfter: day(1),
    dnsNames: ['host.example.com'],
    ipAddresses: ['127.0.0.1', '::1'],
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['serverAuth', 'clientAuth'],
    ...change,
  }).pem
}

const root = authority('root')
const middle = authority('middle', root)
const deep = authority('deep', middle)

/** The same certificate with one more extension, signed anew by the authority; `flip` breaks the signature. */
function withExtension(pem: string, signer: KeyPair, isCritical: boolean, { flip = false } = {}): string {
  const [tbs, algorithm] = readDer(parseCertificate(pem).der).children
  const fields = tbs?.children ?? []
  const extensions = fields.at(-1)?.children[0]?.children ?? []
  const added = sequence(
    objectIdentifier('1.2.3.4'),
    ...(isCritical ? [boolean(true)] : []),
    octetString(Buffer.alloc(2)),
  )
  const changed = sequence(
    ...fields.slice(0, -1).map(({ bytes }) => bytes),
    contextTag(3, sequence(...extensions.map(({ bytes }) => bytes), added)),
  )
  const signature = sign('sha256', changed, signer.privateKey)
  const last = signature.length - 1
  if (flip) signature[last] = (signature[last] ?? 0) ^ 1
  return pemOf(sequence(changed, algorithm?.bytes ?? Buffer.alloc(0), bitString(signature)))
}

suite('a chain is accepted', () => {
  for (const { says, chain, dnsName } of [
    { says: 'when a root signed the leaf', chain: [leafOf(root)] },
    { says: 'when authorities of the chain lead to a root', chain: [leafOf(deep), middle.pem, deep.pem] },
    { says: 'for a name among its SANs', chain: [leafOf(root)], dnsName: 'host.example.com' },
    { says: 'for an address among its SANs', chain: [leafOf(root)], dnsName: '::1' },
    {
      says: 'for a name that a wildcard covers',
      chain: [leafOf(root, { dnsNames: ['*.example.com'] })],
      dnsName: 'a.example.com',
    },
    {
      says: 'with an extension that is not critical and not known',
      chain: [withExtension(leafOf(root), root.keys, false)],
    },
    { says: 'without EKU, which allows every purpose', chain: [leafOf(root, { extendedKeyUsage: [] })] },
  ]) {
    test(says, () => {
      const leaf = verifyChain({
        chain,
        roots: [root.pem],
        at: NOW,
        purpose: 'server',
        ...(dnsName ? { dnsName } : {}),
      })
      assert.deepEqual(leaf.subject, [[oids.CN, 'leaf']])
    })
  }
})

suite('a chain is refused', () => {
  const other = authority('root') // the same name, another key
  const limited = authority('limited', undefined, { pathLength: 0 })
  const belowLimited = authority('below', limited)
  const clientsOnly = authority('clients', root, { extendedKeyUsage: ['clientAuth'] })
  const noAuthority = authority('no authority', root, { keyUsage: [], isCa: false })
  const signsOther = authority('signs other', root, { keyUsage: ['digitalSignature'], isCa: false })
  const expired = authority('old', root, { notAfter: day(-1) })
  const rows: { says: string; chain: string[]; roots?: string[]; dnsName?: string; at?: Date; text: RegExp }[] = [
    { says: 'if it is empty', chain: [], text: /no certificate/ },
    { says: 'if no root signed it', chain: [leafOf(other)], text: /not signed by a trusted authority/ },
    { says: 'if there are no roots', chain: [leafOf(root)], roots: [], text: /not signed by a trusted authority/ },
    { says: 'if a link is missing', chain: [leafOf(deep), deep.pem], text: /not signed by a trusted authority/ },
    { says: 'before it begins', chain: [leafOf(root)], at: day(-2), text: /not valid before/ },
    { says: 'after it ended', chain: [leafOf(root)], at: day(2), text: /expired/ },
    { says: 'if an authority on the way expired', chain: [leafOf(expired), expired.pem], text: /authority expired/ },
    { says: 'if the leaf is an authority', chain: [middle.pem], text: /of an authority/ },
    {
      says: 'if the trust anchor is a leaf',
      chain: [leafOf(noAuthority)],
      roots: [noAuthority.pem],
      text: /not an authority/,
    },
    {
      says: 'if the key that signed it may not sign certificates',
      chain: [leafOf(signsOther), signsOther.pem],
      text: /not signed by a trusted authority/,
    },
    {
      says: 'if a leaf signed it',
      chain: [leafOf(noAuthority), noAuthority.pem],
      text: /not an authority/,
    },
    {
      says: 'if it is longer than the path length',
      chain: [leafOf(belowLimited), belowLimited.pem],
      roots: [limited.pem],
      text: /longer than/,
    },
    {
      says: 'if it is for the other purpose',
      chain: [leafOf(root, { extendedKeyUsage: ['clientAuth'] })],
      text: /not for a server/,
    },
    {
      says: 'if an authority is for the other purpose',
      chain: [leafOf(clientsOnly), clientsOnly.pem],
      text: /not for a server/,
    },
    { says: 'if its key may not sign', chain: [leafOf(root, { keyUsage: ['keyEncipherment'] })], text: /may not sign/ },
    { says: 'for a name that it does not have', chain: [leafOf(root)], dnsName: 'other.example.com', text: /not for/ },
    {
      says: 'for its common name, which is no SAN',
      chain: [leafOf(root, { dnsNames: [] })],
      dnsName: 'leaf',
      text: /not for/,
    },
    {
      says: 'if it has a critical extension that is not known',
      chain: [withExtension(leafOf(root), root.keys, true)],
      text: /critical extension 1\.2\.3\.4/,
    },
    {
      says: 'if an authority has a critical extension that is not known',
      chain: [leafOf(middle), withExtension(middle.pem, root.keys, true)],
      text: /authority has the critical extension/,
    },
    {
      says: 'if a bit of the signature is wrong',
      chain: [withExtension(leafOf(root), root.keys, false, { flip: true })],
      text: /not signed by a trusted authority/,
    },
    { says: 'if it is longer than ten', chain: Array<string>(11).fill(leafOf(root)), text: /more than 10/ },
  ]
  for (const { says, chain, roots = [root.pem], at = NOW, dnsName, text } of rows) {
    test(says, () => {
      assert.throws(
        () => verifyChain({ chain, roots, at, purpose: 'server', ...(dnsName ? { dnsName } : {}) }),
        (error) => error instanceof UntrustedCertificate && text.test(error.message),
      )
    })
  }
})

test('many authorities of one name do not make verification slow', () => {
  const twins = Array.from({ length: 9 }, () => authority('twin', undefined, {}, generateKeyPair('ed25519')))
  const leaf = leafOf(authority('twin'))
  assert.throws(
    () => verifyChain({ chain: [leaf, ...twins.map(({ pem }) => pem)], roots: [], at: NOW, purpose: 'client' }),
    UntrustedCertificate,
  )
})

suite('TLS accepts both sides of a connection', () => {
  for (const type of ['ecdsa-p256', 'rsa-2048', 'ed25519'] as const satisfies readonly KeyType[]) {
    test(`with ${type} keys in CA, server and client`, async () => {
      const now = Date.now()
      const validity = { notBefore: new Date(now - 60_000), notAfter: new Date(now + 600_000) }
      const ca = authority('root', undefined, validity, generateKeyPair(type))
      const [serverKeys, clientKeys] = [generateKeyPair(type), generateKeyPair(type)]
      const server = tls.createServer({
        cert: leafOf(ca, { ...validity, dnsNames: ['localhost'] }, serverKeys),
        key: privateKeyPem(serverKeys.privateKey),
        ca: ca.pem,
        requestCert: true,
        rejectUnauthorized: true,
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const client = tls.connect({
        port: (server.address() as AddressInfo).port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: ca.pem,
        cert: leafOf(ca, { ...validity, extendedKeyUsage: ['clientAuth'] }, clientKeys),
        key: privateKeyPem(clientKeys.privateKey),
      })
      const [[socket]] = (await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')])) as [
        [tls.TLSSocket],
        unknown,
      ]
      assert.equal(socket.authorized, true)
      assert.equal(client.authorized, true)
      socket.destroy()
      client.destroy()
      server.close()
    })
  }
})
