/** The authorities are made once, stay the same, and show their secrets to nobody who did not ask for them by name. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { parseCertificate, splitPem } from '#pki/certificate.ts'
import { spkiSha256 } from '#pki/key.ts'
import { openResourceStore, type ResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { type Authorities, ClusterNameChanged, openAuthorities } from './authorities.ts'
import { ExportRefused } from './export.ts'

const CLUSTER = 'example.com'
const open = (store: ResourceStore): Promise<Authorities> =>
  openAuthorities({ store, clusterName: CLUSTER, clock: systemClock })

/** A store on a real file, gone when the test ends. */
async function openStore(): Promise<{ store: ResourceStore } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'authorities-'))
  stack.defer(() => rm(directory, { recursive: true }))
  const backend = stack.use(
    await openSqliteBackend({ path: join(directory, 'state.sqlite'), clock: systemClock, log: silentLog }),
  )
  const owned = stack.move()
  return { store: openResourceStore({ backend }), [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() }
}

suite('the authorities of a cluster', async () => {
  const opened = await openStore()
  after(() => opened[Symbol.asyncDispose]())
  const { store } = opened
  const authorities = await open(store)

  test('certify for ten years, in the name of the cluster', () => {
    const [pem = ''] = authorities.certificates('host')
    const { subject, isCa, keyUsage, notBefore, notAfter } = parseCertificate(pem)
    assert.deepEqual(subject, [
      ['2.5.4.3', CLUSTER],
      ['2.5.4.10', CLUSTER],
    ])
    assert.equal(isCa, true)
    assert.deepEqual(keyUsage, ['keyCertSign', 'cRLSign'])
    assert.equal(notAfter.getUTCFullYear() - notBefore.getUTCFullYear(), 10)
  })

  test('have keys of their own each', () => {
    const keys = (['user', 'host', 'spiffe', 'awsra'] as const).map((type) =>
      spkiSha256(authorities.signer(type).privateKey).toString('hex'),
    )
    assert.equal(new Set(keys).size, 4)
  })

  test('are the same when opened again', async () => {
    const again = await open(store)
    for (const type of ['user', 'host', 'spiffe', 'awsra'] as const) {
      assert.deepEqual(again.certificates(type), authorities.certificates(type))
    }
    assert.deepEqual(again.servedNameSecret, authorities.servedNameSecret)
    assert.equal(authorities.servedNameSecret.length, 32)
  })

  test('name the trust domain in the SPIFFE authority alone', () => {
    const urisOf = (type: 'spiffe' | 'host'): readonly string[] =>
      parseCertificate(authorities.certificates(type)[0] ?? '').uris
    assert.deepEqual(urisOf('spiffe'), ['spiffe://example.com'])
    assert.deepEqual(urisOf('host'), [])
  })

  test('have no certificate for signing tokens', () => assert.deepEqual(authorities.certificates('jwt'), []))

  test('pin the host authority by its public key', () => {
    const { publicKey } = parseCertificate(authorities.certificates('host')[0] ?? '')
    assert.deepEqual(authorities.pins(), [`sha256:${spkiSha256(publicKey).toString('hex')}`])
  })

  test('refuse another cluster name, and say what to do', async () => {
    await assert.rejects(
      openAuthorities({ store, clusterName: 'other.example.com', clock: systemClock }),
      (error) => error instanceof ClusterNameChanged && /cluster_name to "example.com"/.test(error.hint),
    )
  })

  for (const [type, authority] of [
    ['tls', 'host'],
    ['tls-host', 'host'],
    ['tls-user', 'user'],
    ['tls-user-der', 'user'],
    ['windows', 'user'],
    ['tls-spiffe', 'spiffe'],
    ['awsra', 'awsra'],
  ] as const) {
    test(`are exported: ${type} is the ${authority} authority`, () => {
      const { pem, der } = authorities.export(type)
      assert.deepEqual(splitPem(pem), authorities.certificates(authority))
      assert.deepEqual(parseCertificate(der).pem, authorities.certificates(authority)[0])
      assert.doesNotMatch(pem, /PRIVATE/)
    })
  }

  test('are exported with private keys when asked for keys', () => {
    const { pem } = authorities.export('tls-host', true)
    assert.match(pem, /^-----BEGIN PRIVATE KEY-----/)
    assert.doesNotMatch(pem, /CERTIFICATE/)
  })

  for (const [type, text] of [
    ['user', /the export "user" is in SSH form/],
    ['host', /the export "host" is in SSH form/],
    ['', /an export without a type is in SSH form/],
    ['db', /^"db" authority type is not supported$/],
    ['__proto__', /^"__proto__" authority type is not supported$/],
  ] as const) {
    test(`refuse the export ${JSON.stringify(type)}`, () => {
      assert.throws(
        () => authorities.export(type),
        (error) => error instanceof ExportRefused && text.test(error.message) && /tls-host/.test(error.hint),
      )
    })
  }
})

test('starts that race agree on one authority', async () => {
  await using opened = await openStore()
  const started = await Promise.all([open(opened.store), open(opened.store), open(opened.store)])
  for (const type of ['user', 'host', 'spiffe', 'awsra'] as const) {
    assert.equal(new Set(started.map((authorities) => authorities.certificates(type)[0])).size, 1)
  }
  assert.equal(new Set(started.map(({ servedNameSecret }) => servedNameSecret.toString('hex'))).size, 1)
})

test('an authority that is being rotated is exported whole, and refused as DER', async () => {
  await using opened = await openStore()
  const { store } = opened
  await using other = await openStore()
  await open(store)
  const replacement = await open(other.store)
  const user = await store.get('cert_authority', 'user')
  const spec = user.spec as object // of a certificate authority, which the store has checked
  await store.update({
    ...user,
    spec: { ...spec, additional_trusted_keys: { tls: [{ cert: replacement.certificates('user')[0] }], jwt: [] } },
  })
  const rotating = await open(store)
  assert.equal(splitPem(rotating.export('tls-user').pem).length, 2)
  assert.throws(() => rotating.export('tls-user-der'), ExportRefused)
})
