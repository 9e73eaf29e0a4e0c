/** Certificates and requests mean to OpenSSL what they mean to us, and what breaks a rule is neither made nor read. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import {
  type CertificateRequest,
  InvalidCertificate,
  issueCertificate,
  oids,
  parseCertificate,
  splitPem,
} from './certificate.ts'
import { createCsr, InvalidCsr, parseCsr } from './csr.ts'
import { contextTag, element, integer, readDer, sequence } from './der.ts'
import { generateKeyPair, InvalidKey, parsePrivateKey, parsePublicKey, privateKeyPem, publicKeyPem } from './key.ts'

const keyTypes = ['ecdsa-p256', 'rsa-2048', 'ed25519'] as const
const keysOf = {
  'ecdsa-p256': generateKeyPair(),
  'rsa-2048': generateKeyPair('rsa-2048'),
  ed25519: generateKeyPair('ed25519'),
}
const keys = keysOf['ecdsa-p256']

function request(change: Partial<CertificateRequest> = {}): CertificateRequest {
  const name = [[oids.CN, 'leaf']] as const
  return {
    subject: name,
    publicKey: keys.publicKey,
    issuer: { name, privateKey: keys.privateKey },
    notBefore: new Date('2026-06-01T00:00:00Z'),
    notAfter: new Date('2056-06-01T00:00:00Z'),
    keyUsage: ['digitalSignature'],
    ...change,
  }
}

const full = request({
  subject: [
    ['2.5.4.6', 'DE'],
    [oids.O, 'Überall GmbH'],
    [oids.O, 'second'],
    [oids.OU, 'usage:apps'],
    [oids.L, 'login'],
    [oids.STREET, 'cluster'],
    [oids.postalCode, '{"a":["b"]}'],
    ['1.3.9999.1.10', 'app'],
    [oids.CN, 'alice'],
  ],
  serial: Buffer.from('00ff0102', 'hex'),
  dnsNames: ['host.example.com', '*.example.com'],
  ipAddresses: ['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1'],
  uris: ['spiffe://example.com/workload'],
  keyUsage: ['digitalSignature', 'keyEncipherment', 'decipherOnly'],
  extendedKeyUsage: ['serverAuth', 'clientAuth'],
})

suite('a certificate reads as it was asked for', () => {
  const parsed = parseCertificate(issueCertificate(full).pem)
  for (const [says, actual, expected] of [
    ['subject', parsed.subject, full.subject],
    ['issuer', parsed.issuer, full.issuer.name],
    ['serial', parsed.serial, 'ff0102'],
    ['notBefore', parsed.notBefore, full.notBefore],
    ['notAfter, past 2049', parsed.notAfter, full.notAfter],
    ['DNS names', parsed.dnsNames, full.dnsNames],
    ['addresses', parsed.ipAddresses, ['192.0.2.1', '2001:db8::1', '::ffff:c000:201']],
    ['URIs', parsed.uris, full.uris],
    ['key usage', parsed.keyUsage, full.keyUsage],
    ['extended key usage', parsed.extendedKeyUsage, full.extendedKeyUsage],
    ['no CA', parsed.isCa, false],
    ['nothing critical that is unknown', parsed.unknownCritical, []],
    ['key identifiers', parsed.subjectKeyId, parsed.authorityKeyId],
  ] as const) {
    test(says, () => assert.deepEqual(actual, expected))
  }
})

test('serial numbers are positive and never the same', () => {
  const serials = Array.from({ length: 200 }, () => issueCertificate(request()).serial)
  assert.equal(new Set(serials).size, 200)
  for (const serial of serials) assert.match(serial, /^[0-9a-f]{32}$/)
})

suite('Node reads the same', () => {
  for (const type of keyTypes) {
    test(type, () => {
      const { publicKey, privateKey } = keysOf[type]
      const { pem, serial } = issueCertificate({ ...full, publicKey, issuer: { name: full.issuer.name, privateKey } })
      const x509 = new X509Certificate(pem)
      assert.ok(x509.verify(publicKey))
      assert.equal(x509.serialNumber.toLowerCase(), serial.replace(/^00/, ''))
      assert.deepEqual(
        x509.publicKey.export({ type: 'spki', format: 'der' }),
        publicKey.export({ type: 'spki', format: 'der' }),
      )
      assert.deepEqual(x509.validToDate, full.notAfter)
      assert.equal(
        x509.subjectAltName,
        'DNS:host.example.com, DNS:*.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, IP Address:0:0:0:0:0:FFFF:C000:201, URI:spiffe://example.com/workload',
      )
    })
  }
})

suite('a certificate is not made', () => {
  for (const [says, change] of [
    ['that ends before it begins', { notAfter: new Date('2020-01-01T00:00:00Z') }],
    ['with an invalid date', { notAfter: new Date(Number.NaN) }],
    ['with serial number zero', { serial: Buffer.alloc(4) }],
    ['with a serial number of 21 bytes', { serial: Buffer.alloc(21, 1) }],
    ['with a path length and no CA', { pathLength: 1 }],
    ['for a CA that may not sign certificates', { isCa: true }],
    ['that may sign certificates and is no CA', { keyUsage: ['keyCertSign'] }],
    ['for a name with a space', { dnsNames: ['a b'] }],
    ['for a name with a NUL', { dnsNames: ['good.example.com\0.evil.example'] }],
    ['for an empty name', { dnsNames: [''] }],
    ['for a wildcard inside a name', { dnsNames: ['a.*.example.com'] }],
    ['for a name of 254 characters', { dnsNames: [`${'a.'.repeat(126)}ab`] }],
    ['for a name as an address', { ipAddresses: ['localhost'] }],
    ['for an address with a zone', { ipAddresses: ['fe80::1%eth0'] }],
    ['for what is no URI', { uris: ['not a uri'] }],
    ['with a subject of a megabyte', { subject: [[oids.CN, 'x'.repeat(1_000_000)]] }],
    [
      'with the certificate of another authority',
      {
        issuer: {
          ...full.issuer,
          certificatePem: issueCertificate(
            request({
              issuer: { name: [], privateKey: keysOf.ed25519.privateKey },
              publicKey: keysOf.ed25519.publicKey,
            }),
          ).pem,
        },
      },
    ],
  ] as readonly (readonly [string, Partial<CertificateRequest>])[]) {
    test(says, () => assert.throws(() => issueCertificate(request(change)), InvalidCertificate))
  }
})

suite('a certificate is not read', () => {
  const { der, pem } = issueCertificate(full)
  const [tbs, algorithm, signature] = readDer(der).children.map(({ bytes }) => bytes) as [Buffer, Buffer, Buffer]
  const fields = readDer(tbs).children.map(({ bytes }) => bytes)
  const withFields = (changed: readonly Buffer[]): Buffer => sequence(sequence(...changed), algorithm, signature)
  for (const [says, bytes] of [
    ['of version 1', withFields(fields.slice(1))],
    ['of version 2', withFields([contextTag(0, integer(1)), ...fields.slice(1)])],
    ['whose algorithms differ', sequence(tbs, sequence(), signature)],
    [
      'with a negative serial number',
      withFields([...fields.slice(0, 1), element(2, Buffer.of(0x80)), ...fields.slice(2)]),
    ],
    [
      'with a serial number of 21 bytes',
      withFields([...fields.slice(0, 1), integer(Buffer.alloc(21, 1)), ...fields.slice(2)]),
    ],
    ['without a signature', sequence(tbs, algorithm)],
    ['with a fourth part', sequence(tbs, algorithm, signature, signature)],
    ['with an extension that occurs twice', withExtensionTwice()],
    ['that is empty', sequence()],
  ] as const) {
    test(says, () => assert.throws(() => parseCertificate(bytes), AccessError))
  }
  function withExtensionTwice(): Buffer {
    const extensions = readDer(fields.at(-1) ?? der).children[0]?.children.map(({ bytes }) => bytes) ?? []
    return withFields([...fields.slice(0, -1), contextTag(3, sequence(...extensions, ...extensions.slice(0, 1)))])
  }

  test('of text with two', () => assert.throws(() => parseCertificate(pem + pem), InvalidCertificate))
  test('of text without one', () => assert.throws(() => parseCertificate('hello'), InvalidCertificate))

  test('but every root that Node trusts and whose algorithms are not broken is', () => {
    let read = 0
    for (const root of tls.rootCertificates) {
      const { signatureAlgorithm = '' } = new X509Certificate(root)
      if (/sha1|md5/i.test(signatureAlgorithm)) {
        assert.throws(() => parseCertificate(root), AccessError)
        continue
      }
      const { subject, isCa, notAfter } = parseCertificate(root)
      assert.ok(subject.length > 0 && isCa)
      assert.deepEqual(notAfter, new X509Certificate(root).validToDate)
      read++
    }
    assert.ok(read > 80, `${read} read`)
  })

  test('and of mutated ones only our errors come', () => {
    const change = fc.tuple(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const bytes = Buffer.from(der)
        for (const [at, byte] of changes) bytes[at] = byte
        try {
          parseCertificate(bytes)
        } catch (error) {
          assert.ok(error instanceof AccessError, String(error))
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

test('several certificates in one text are told apart, whatever stands between them', () => {
  const { pem } = issueCertificate(request())
  assert.deepEqual(splitPem(`Issuer: x\n${pem}\nsubject\n${pem.replaceAll('\n', '\r\n')}`).length, 2)
  assert.deepEqual(splitPem('nothing'), [])
})

suite('keys', () => {
  for (const type of keyTypes) {
    test(`${type} survive PEM`, () => {
      const { publicKey, privateKey } = keysOf[type]
      assert.ok(parsePrivateKey(privateKeyPem(privateKey)).equals(privateKey))
      assert.ok(parsePublicKey(publicKeyPem(publicKey)).equals(publicKey))
      assert.equal(publicKeyPem(privateKey), publicKeyPem(publicKey))
    })
  }

  test('an error never quotes a private key', () => {
    const broken = privateKeyPem(keys.privateKey).replace('MIG', 'XXX')
    assert.throws(
      () => parsePrivateKey(broken),
      (error) => error instanceof InvalidKey && error.cause === undefined && !error.message.includes('XXX'),
    )
  })

  for (const [says, pem] of [
    ['a private key', privateKeyPem(keys.privateKey)],
    ['a certificate', issueCertificate(request()).pem],
    ['nothing', ''],
    ['a very long text', 'x'.repeat(100_000)],
  ] as const) {
    test(`${says} is no public key`, () => assert.throws(() => parsePublicKey(pem), InvalidKey))
  }
})

suite('a signing request', () => {
  for (const type of keyTypes) {
    test(`with ${type} proves its key and tells its wishes`, () => {
      const csr = createCsr({
        subject: full.subject,
        keys: keysOf[type],
        dnsNames: ['a.example.com'],
        uris: ['spiffe://a/b'],
      })
      const parsed = parseCsr(csr.pem)
      assert.deepEqual(parsed.subject, full.subject)
      assert.deepEqual([parsed.dnsNames, parsed.uris, parsed.ipAddresses], [['a.example.com'], ['spiffe://a/b'], []])
      assert.ok(parsed.publicKey.equals(keysOf[type].publicKey))
    })
  }

  test('signed by another key is refused', () => {
    const { der } = createCsr({
      subject: [],
      keys: { publicKey: keys.publicKey, privateKey: generateKeyPair().privateKey },
    })
    assert.throws(() => parseCsr(der), InvalidCsr)
  })

  test('that was changed gives only our errors', () => {
    const { der } = createCsr({ subject: full.subject, keys, dnsNames: ['a.example.com'] })
    fc.assert(
      fc.property(fc.nat({ max: der.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(der)
        bytes[at] = (bytes[at] ?? 0) ^ flip
        assert.throws(() => parseCsr(bytes), AccessError)
      }),
      { numRuns: 500 },
    )
  })
})

async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'pki-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const skip = hasOpenssl || process.env.CI === 'true' ? false : 'openssl is not installed'

suite('the openssl program agrees', { skip }, () => {
  const openssl = (args: readonly string[], input: string): string =>
    execFileSync('openssl', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] })

  for (const type of keyTypes) {
    test(`on every field of a certificate of ${type}`, () => {
      const { publicKey, privateKey } = keysOf[type]
      const { pem } = issueCertificate({ ...full, publicKey, issuer: { name: full.issuer.name, privateKey } })
      const text = openssl(['x509', '-noout', '-text', '-nameopt', 'utf8,sep_comma_plus'], pem)
      for (const line of [
        /Version: 3 \(0x2\)/,
        /Serial Number: 16711938 \(0xff0102\)/,
        /Not Before: Jun {2}1 00:00:00 2026 GMT/,
        /Not After : Jun {2}1 00:00:00 2056 GMT/,
        /Subject: C=DE,O=Überall GmbH,O=second,OU=usage:apps,L=login,street=cluster,postalCode=\{"a":\["b"\]\},1\.3\.9999\.1\.10=.*app.*,CN=alice/,
        /X509v3 Basic Constraints: critical\s+CA:FALSE/,
        /X509v3 Key Usage: critical\s+Digital Signature, Key Encipherment, Decipher Only\s/,
        /X509v3 Extended Key Usage: \s+TLS Web Server Authentication, TLS Web Client Authentication\s/,
        /DNS:host\.example\.com, DNS:\*\.example\.com, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0:0:0:0:0:1/,
        /URI:spiffe:\/\/example\.com\/workload/,
        /X509v3 Subject Key Identifier/,
        /X509v3 Authority Key Identifier/,
      ]) {
        assert.match(text, line)
      }
    })

    test(`on the signature of a request of ${type}`, () => {
      const csr = createCsr({ subject: full.subject, keys: keysOf[type], dnsNames: ['a.example.com'] })
      const text = openssl(['req', '-noout', '-text', '-verify'], csr.pem)
      assert.match(text, /DNS:a\.example\.com/)
    })

    test(`and makes requests of ${type} that we read`, async () => {
      await using directory = await temporaryDirectory()
      const key = join(directory.path, 'key.pem')
      await writeFile(key, privateKeyPem(keysOf[type].privateKey))
      const pem = openssl(
        [
          'req',
          '-new',
          '-key',
          key,
          '-subj',
          '/CN=alice/O=x',
          '-addext',
          'subjectAltName=DNS:a.example.com,IP:192.0.2.1',
        ],
        '',
      )
      const { dnsNames, ipAddresses, subject } = parseCsr(pem)
      assert.deepEqual([dnsNames, ipAddresses], [['a.example.com'], ['192.0.2.1']])
      assert.deepEqual(subject, [
        ['2.5.4.3', 'alice'],
        ['2.5.4.10', 'x'],
      ])
    })
  }

  test('that a leaf belongs to its authority, strictly', async () => {
    await using directory = await temporaryDirectory()
    const now = Date.now()
    const validity = { notBefore: new Date(now - 60_000), notAfter: new Date(now + 60_000_000) }
    const name = [
      [oids.CN, 'root'],
      [oids.O, 'root'],
    ] as const
    const root = issueCertificate(
      request({
        ...validity,
        subject: name,
        issuer: { name, privateKey: keys.privateKey },
        isCa: true,
        pathLength: 0,
        keyUsage: ['keyCertSign', 'cRLSign'],
      }),
    )
    const leaf = issueCertificate({
      ...full,
      ...validity,
      keyUsage: ['digitalSignature'],
      publicKey: keysOf.ed25519.publicKey,
      issuer: { name, privateKey: keys.privateKey, certificatePem: root.pem },
    })
    await writeFile(join(directory.path, 'root.pem'), root.pem)
    await writeFile(join(directory.path, 'leaf.pem'), leaf.pem)
    for (const purpose of ['sslserver', 'sslclient']) {
      const verify = [
        'verify',
        '-x509_strict',
        '-purpose',
        purpose,
        '-CAfile',
        join(directory.path, 'root.pem'),
        join(directory.path, 'leaf.pem'),
      ]
      assert.match(openssl(verify, ''), /leaf\.pem: OK/)
    }
  })
})
