import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseConfig } from './config.ts'
import { type ConfigureOptions, configureText } from './configure.ts'
import { systemdUnit } from './systemd-unit.ts'

const base: ConfigureOptions = { version: 'v3', nodeName: 'n', dataDir: '/d', roles: ['auth', 'proxy'] }
const made = (options: Partial<ConfigureOptions>) => parseConfig(configureText({ ...base, ...options }), 'f')

suite('what configure writes is what start takes', () => {
  test('Auth and proxy', () => {
    const config = made({ clusterName: 'a.example.com', publicAddr: 'a.example.com', certFile: '/c', keyFile: '/k' })
    assert.equal(config.auth?.clusterName, 'a.example.com')
    assert.deepEqual(config.auth?.settings, { cluster_networking_config: { proxy_listener_mode: 'multiplex' } })
    assert.deepEqual(config.proxy?.listen, { host: '0.0.0.0', port: 443 })
    assert.deepEqual(config.proxy?.publicAddrs, ['a.example.com:443'])
    assert.deepEqual(config.proxy?.keyPairs, [{ keyFile: '/k', certFile: '/c' }])
  })
  test('an agent', () => {
    const config = made({
      roles: ['app'],
      proxy: 'a.example.com:443',
      token: '/tmp/token',
      appName: 'x',
      appUri: 'http://localhost',
    })
    assert.deepEqual([config.auth, config.proxy], [undefined, undefined])
    assert.deepEqual(config.cluster, { proxyServer: 'a.example.com:443' })
    assert.deepEqual(config.join, { method: 'token', tokenName: '/tmp/token' })
    assert.equal(config.app?.apps[0]?.metadata.name, 'x')
  })
  test('an agent that serves what is registered', () => {
    assert.deepEqual(made({ roles: ['app'], proxy: 'a' }).app?.resourceLabels, [{ '*': ['*'] }])
  })
  test('older versions', () => {
    assert.deepEqual(made({ version: 'v2', roles: ['proxy'], authServer: 'a' }).cluster, { authServer: 'a:3025' })
    assert.deepEqual(made({ version: 'v1' }).auth?.settings, {})
  })
})

suite('what cannot be written is refused', () => {
  for (const [options, message] of [
    [{ certFile: '/c' }, 'please provide both --key-file and --cert-file'],
    [{ appName: 'x' }, 'please provide both --app-name and --app-uri'],
    [{ acme: true }, 'please provide --cluster-name when using ACME, for example --cluster-name=example.com'],
    [
      { acme: true, clusterName: 'a', certFile: '/c', keyFile: '/k' },
      'could not use --key-file/--cert-file when ACME is enabled',
    ],
    [{ version: 'v9' }, 'config version "v9" is not supported'],
    [{ publicAddr: 'a b' }, '"a b" is not an address'],
    [{ proxy: 'a', authServer: 'b' }, 'use only one of --auth-server and --proxy'],
  ] as const) {
    test(message, () => assert.throws(() => configureText({ ...base, ...options }), { name: 'UsageError', message }))
  }
})

test('the unit runs the program with its file', () => {
  const unit = systemdUnit({
    envFile: '/e',
    pidFile: '/p',
    fdLimit: 9,
    teleportPath: '/bin/teleport',
    configFile: '/c',
  })
  assert.match(unit, /^ExecStart=\/bin\/teleport start --config \/c --pid-file=\/p$/m)
  assert.match(unit, /^LimitNOFILE=9$/m)
})
