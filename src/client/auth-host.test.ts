import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { findAuthHost, parseAuthHost } from './auth-host.ts'

suite('the Auth Service of this machine', () => {
  for (const [says, text, expected] of [
    [
      'has the defaults of the file',
      'version: v3\n',
      { identityFile: '/var/lib/teleport/admin.pem', host: '127.0.0.1', port: 3025 },
    ],
    [
      'is found by data_dir and listen_addr',
      'teleport: { data_dir: /d }\nauth_service: { listen_addr: "10.0.0.1:4000" }\n',
      { identityFile: '/d/admin.pem', host: '10.0.0.1', port: 4000 },
    ],
    [
      'that listens everywhere is called on loopback',
      'auth_service:\n  enabled: yes\n  listen_addr: "[::]:3025"\n',
      { identityFile: '/var/lib/teleport/admin.pem', host: '::1', port: 3025 },
    ],
    ['that is switched off is none', 'auth_service: { enabled: "no" }\n', undefined],
    ['that is switched off by a boolean is none', 'auth_service:\n  enabled: false\n', undefined],
  ] as const) {
    test(says, () => assert.deepEqual(parseAuthHost(text, 'f'), expected))
  }
  for (const [says, text] of [
    ['a file that is no YAML', 'a: [\n'],
    ['an address that is none', 'auth_service: { listen_addr: "::::" }\n'],
    ['a list for a directory', 'teleport: { data_dir: [a] }\n'],
  ] as const) {
    test(`${says} is refused by name`, () =>
      assert.throws(() => parseAuthHost(text, '/etc/f.yaml'), /^[A-Za-z]+: \/etc\/f\.yaml: /))
  }
  test('is none where there is no file', async () =>
    assert.equal(await findAuthHost('/nowhere/teleport.yaml'), undefined))
})
