import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { issueHostCertificate } from '#ca/issue-host.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { hourMs, sampleAuthority, sampleIdentity, samplePair } from '#test/sample-login.ts'
import { parseIdentityFile, readIdentityFile } from './identity-file.ts'

const host = sampleAuthority('example')

suite('identity files', () => {
  test('of a user are told by who signed them', () => {
    const { certificatePem, privateKeyPem: key } = samplePair(sampleIdentity())
    const file = parseIdentityFile(key + certificatePem + host.certificatePem, 'f')
    assert.deepEqual([file.identity.kind, file.identity.cluster], ['user', 'example'])
    assert.deepEqual([file.certificatePem, file.hostAuthorities], [certificatePem, [host.certificatePem]])
  })
  test('of a member are too', () => {
    const { privateKey, publicKey } = generateKeyPair()
    const identity = {
      kind: 'host',
      hostId: '11111111-2222-4333-8444-555555555555',
      nodeName: 'n',
      roles: ['Admin'],
      cluster: 'example',
      expires: new Date(Date.now() + hourMs),
    } as const
    const { pem } = issueHostCertificate(host, identity, publicKey, new Date())
    const file = parseIdentityFile(pem + host.certificatePem + privateKeyPem(privateKey), 'f')
    assert.deepEqual([file.identity.kind, file.identity.cluster], ['host', 'example'])
  })
  test('that lack a part are refused by name', () => {
    const { certificatePem, privateKeyPem: key } = samplePair(sampleIdentity())
    for (const text of ['', key, key + certificatePem, certificatePem + host.certificatePem]) {
      assert.throws(() => parseIdentityFile(text, '/tmp/id'), /^InvalidInput: \/tmp\/id is not an identity file/)
    }
  })
  test('that are not there are named', () =>
    assert.rejects(readIdentityFile('/nowhere/id'), /identity file \/nowhere\/id does not exist/))
  test('of any text are one, or an error of ours', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const pem = (label: string, body: string) => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`
        const text = pem('PRIVATE KEY', a) + pem('CERTIFICATE', Buffer.from(b).toString('base64')).repeat(2)
        assert.throws(() => parseIdentityFile(text, 'f'), { code: 'invalid' })
      }),
    )
  })
})
