import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { createLocalCa } from './local-ca.ts'
import { isPlaceholderId, localCaKey, placeholderCredentials } from './placeholder-credentials.ts'

const pem = (): string => privateKeyPem(generateKeyPair().privateKey)

test('placeholder keys are the same for the same login, and have a form that every AWS client takes', () => {
  const login = pem()
  const first = placeholderCredentials(login)
  const second = placeholderCredentials(login.replaceAll('\n', '\r\n'))
  assert.equal(first.accessKeyId, second.accessKeyId)
  assert.equal(first.secretAccessKey.reveal(), second.secretAccessKey.reveal())
  assert.match(first.accessKeyId, /^PLACEHOLDER[A-Z2-7]{16}$/)
  assert.match(first.secretAccessKey.reveal(), /^[A-Za-z0-9_-]{40}$/)
  assert.ok(isPlaceholderId(first.accessKeyId))
  assert.ok(!isPlaceholderId('AKIAIOSFODNN7EXAMPLE'))
})

test('placeholder keys of two logins have nothing in common', () => {
  const made = Array.from({ length: 20 }, () => placeholderCredentials(pem()))
  assert.equal(new Set(made.map(({ accessKeyId }) => accessKeyId)).size, 20)
  assert.equal(new Set(made.map(({ secretAccessKey }) => secretAccessKey.reveal())).size, 20)
})

test('placeholder keys of one user differ by cluster, app and role, and are the same each time', () => {
  const key = pem()
  const owners = [
    [],
    ['a'],
    ['a', 'b'],
    ['a', 'b', 'arn:aws:iam::123456789012:role/Reader'],
    ['ab'],
    ['a,b'],
    ['b', 'a'],
  ]
  const ids = owners.map((owner) => placeholderCredentials(key, owner).accessKeyId)
  assert.equal(new Set(ids).size, owners.length)
  assert.deepEqual(
    owners.map((owner) => placeholderCredentials(key, owner).accessKeyId),
    ids,
  )
  assert.ok(placeholderCredentials(key, ['x'.repeat(5000)]).secretAccessKey.reveal().length === 40)
})

test('the key of the local CA stays with the login, so that a later certificate of it still vouches for older ones', () => {
  const login = pem()
  assert.ok(localCaKey(login).equals(localCaKey(login)))
  assert.ok(!localCaKey(login).equals(localCaKey(pem())))
  const make = (at: string) =>
    new X509Certificate(createLocalCa({ loginKeyPem: login, clock: () => new Date(at) }).certificatePem)
  const [first, second] = [make('2030-01-01'), make('2030-01-02')]
  assert.notEqual(first.serialNumber, second.serialNumber)
  assert.ok(first.verify(second.publicKey))
  assert.equal(first.ca, true)
})

test('a host certificate is kept for half its life', () => {
  let now = new Date('2030-01-01T00:00:00Z')
  const ca = createLocalCa({ loginKeyPem: pem(), clock: () => now })
  const first = ca.contextFor('sts.amazonaws.com')
  assert.equal(ca.contextFor('sts.amazonaws.com'), first)
  now = new Date('2030-01-01T12:00:01Z')
  assert.notEqual(ca.contextFor('sts.amazonaws.com'), first)
})
