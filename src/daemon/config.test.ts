import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import { parseConfig } from './config.ts'
import type { StartFlags } from './flags.ts'

const HOUR = '1h0m0s'

suite('defaults', () => {
  const config = parseConfig('', 'f.yaml')
  test('Auth and proxy are on and the rest is off', () => {
    assert.deepEqual(config.auth?.listen, { host: '0.0.0.0', port: 3025 })
    assert.deepEqual(config.proxy?.listen, { host: '0.0.0.0', port: 3080 })
    assert.equal(config.app, undefined)
    assert.equal(config.diag, undefined)
  })
  test('state, log and limits', () => {
    assert.equal(config.dataDir, '/var/lib/teleport')
    assert.deepEqual(config.log, {
      output: 'stderr',
      severity: 'info',
      format: 'text',
      fields: ['timestamp', 'component', 'caller', 'level'],
    })
    assert.equal(config.maxConnections, 15_000)
    assert.equal(config.shutdownGraceMs, 20_000)
    assert.deepEqual(config.join, { method: 'token' })
  })
  test('a section that is there and says nothing is on', () => {
    assert.deepEqual(parseConfig('app_service:\n', 'f').app, { apps: [], resourceLabels: [] })
  })
  test('nothing can be changed', () => {
    assert.throws(() => Object.assign(config.log, { severity: 'debug' }), TypeError)
  })
})

test('a file of the guides is understood', () => {
  const text = `
version: v3
teleport:
  nodename: agent-1
  shutdown_grace: 1m
  join_params:
    token_name: "/tmp/token"
    method: token
  proxy_server: "teleport.example.com:443"
  ca_pin: ""
  log: {output: stderr, severity: DEBUG, format: {output: json, extra_fields: [level]}}
auth_service: {enabled: off}
proxy_service:
  enabled: "no"
ssh_service: {enabled: off}
app_service:
  enabled: yes
  apps:
  - name: "awsconsole"
    uri: "https://console.aws.amazon.com/ec2/v2/home"
    labels: {aws_account_id: "123456789012"}
    commands: [{name: host, command: [hostname], period: 1m}]
    rewrite: {headers: ["X-A: b: c"]}
  resources:
  - labels: {"*": "*"}
  audit_spool: {max_bytes: 65536, when_full: refuse_all}
  max_lock_age: 90s
`
  const config = parseConfig(text, 'f.yaml')
  assert.equal(config.auth, undefined)
  assert.equal(config.proxy, undefined)
  assert.deepEqual(config.cluster, { proxyServer: 'teleport.example.com:443' })
  assert.deepEqual(config.join, { method: 'token', tokenName: '/tmp/token' })
  assert.deepEqual(config.caPins, [])
  assert.equal(config.shutdownGraceMs, 60_000)
  assert.deepEqual(config.log, { output: 'stderr', severity: 'debug', format: 'json', fields: ['level'] })
  assert.deepEqual(config.app?.resourceLabels, [{ '*': ['*'] }])
  assert.equal(config.app?.spoolBytes, 65_536)
  assert.equal(config.app?.refuseReadsUnrecorded, true)
  assert.equal(config.app?.maxLockAgeMs, 90_000)
  assert.deepEqual(config.app?.apps[0]?.spec, {
    uri: 'https://console.aws.amazon.com/ec2/v2/home',
    cloud: 'AWS',
    dynamic_labels: { host: { command: ['hostname'], period: '1m0s' } },
    rewrite: { headers: [{ name: 'X-A', value: 'b: c' }] },
  })
  assert.deepEqual(config.app?.apps[0]?.metadata.labels, {
    aws_account_id: '123456789012',
    'teleport.dev/origin': 'config-file',
  })
  assert.deepEqual(config.warnings, [])
})

test('settings of the cluster that the file mentions are owned by it, and no others', () => {
  const { auth } = parseConfig(
    `
auth_service:
  cluster_name: teleport.example.com
  tokens: ["proxy,node:secret", /etc/tokens]
  session_recording: off
  client_idle_timeout: 1h
  authentication: {second_factors: [otp], second_factor: on, local_auth: "no", require_session_mfa: yes}
`,
    'f',
  )
  assert.deepEqual(auth?.settings, {
    cluster_auth_preference: { second_factors: ['otp'], allow_local_auth: false, require_session_mfa: 'yes' },
    cluster_networking_config: { client_idle_timeout: HOUR },
    session_recording_config: { mode: 'off' },
  })
  assert.equal(auth?.clusterName, 'teleport.example.com')
  assert.equal(auth?.lockout, undefined)
})

test('failed logins lock out as the file says, and what it leaves out is the default', () => {
  const lockout = (text: string): unknown =>
    parseConfig(`auth_service:\n  authentication:\n    lockout: ${text}\n`, 'f').auth?.lockout
  const [window, hour] = [30 * 60_000, 3_600_000]
  assert.deepEqual(lockout('{attempts: 3, lock: 1h}'), { attempts: 3, windowMs: window, lockMs: hour })
  assert.deepEqual(lockout('{}'), { attempts: 5, windowMs: window, lockMs: window })
  assert.throws(() => lockout('{attempts: 0}'), /auth_service\.authentication\.lockout\.attempts/)
  assert.throws(() => lockout('{tries: 3}'), /unknown field "tries"/)
})

test('the first public address of the proxy is known to Auth, with its port', () => {
  const { auth, proxy } = parseConfig(
    'proxy_service: {web_listen_addr: "0.0.0.0:443", public_addr: [a.example.com, "b.example.com:8443"]}',
    'f',
  )
  assert.deepEqual(proxy?.publicAddrs, ['a.example.com:443', 'b.example.com:8443'])
  assert.equal(auth?.proxyPublicAddr, 'a.example.com:443')
})

const agent = 'auth_service: {enabled: no}\nproxy_service: {enabled: no}\n'

suite('a wrong file is refused with its line and key', () => {
  for (const [text, message] of [
    [
      'version: v3\nteleport:\n  auth_servers: [a]\n',
      'f.yaml:3:3: teleport.auth_servers: config v3 has replaced auth_servers with either auth_server or proxy_server',
    ],
    [
      'version: v2\nteleport:\n  auth_server: a\n',
      'f.yaml:3:3: teleport.auth_server: auth_server is supported from config version v3 onwards',
    ],
    [
      'teleport:\n  proxy_server: a\n',
      'f.yaml:2:3: teleport.proxy_server: proxy_server is supported from config version v3 onwards',
    ],
    [
      `version: v3\nteleport: {auth_server: a, proxy_server: b}\n${agent}`,
      'f.yaml:2:28: teleport.proxy_server: only one of auth_server or proxy_server should be set',
    ],
    [
      'version: v3\nteleport: {proxy_server: b}\n',
      'f.yaml:2:12: teleport.proxy_server: proxy_server can not be specified when proxy service is enabled',
    ],
    [
      `version: v3\nteleport: {auth_server: b}\n${agent}app_service: {}\n`,
      'f.yaml:2:12: teleport.auth_server: app_service works only through a proxy',
    ],
    ['version: v4\n', 'f.yaml:1:1: version: config version "v4" is not supported'],
    ['teleport:\n  log: {severity: LOUD}\n', 'f.yaml:2:9: teleport.log.severity: unsupported logger severity: "LOUD"'],
    [
      'teleport:\n  log: {format: {output: xml}}\n',
      'f.yaml:2:18: teleport.log.format.output: unsupported log output format : "xml"',
    ],
    ['teleport:\n  diag_addr: "a b"\n', 'f.yaml:2:3: teleport.diag_addr: "a b" is not an address'],
    ['teleport:\n  ca_pin: [sha256:12]\n', 'f.yaml:2:12: teleport.ca_pin[0]: "sha256:12" is not a CA pin'],
    [
      'teleport:\n  auth_token: a\n  join_params: {token_name: b}\n',
      'f.yaml:2:3: teleport.auth_token: only one of auth_token or join_params should be set',
    ],
    [
      'teleport:\n  join_params: {method: magic}\n',
      'f.yaml:2:17: teleport.join_params.method: unknown join method "magic"',
    ],
    ['teleport:\n  storage: {type: etcd}\n', 'f.yaml:2:13: teleport.storage.type: unsupported storage type "etcd"'],
    ['auth_service:\n  enabled: perhaps\n', 'f.yaml:2:3: auth_service.enabled: expected yes or no, found "perhaps"'],
    [
      'auth_service:\n  cluster_name: "a b"\n',
      'f.yaml:2:3: auth_service.cluster_name: "a b" cannot be the name of a cluster',
    ],
    [
      'auth_service:\n  authentication:\n    locking_mode: loose\n',
      'f.yaml:3:5: auth_service.authentication.locking_mode: expected one of "best_effort", "strict", found "loose"',
    ],
    [
      'auth_service:\n  keep_alive_interval: soon\n',
      'f.yaml:2:3: auth_service.keep_alive_interval: "soon" is not a duration: write one such as "1h30m"',
    ],
    [
      'proxy_service:\n  https_key_file: a\n',
      'f.yaml:2:3: proxy_service.https_key_file: https_key_file and https_cert_file must both be set',
    ],
    [
      'app_service:\n  apps:\n  - name: A_b\n    uri: http://x\n',
      'f.yaml:3:5: app_service.apps[0].name: app "A_b" name must be a valid DNS label',
    ],
    ['app_service:\n  apps:\n  - name: a\n', 'f.yaml:3:5: app_service.apps[0].uri: app "a" URI is empty'],
    [
      'app_service:\n  apps:\n  - {name: a, uri: "http://x"}\n  - {name: a, uri: "http://y"}\n',
      'f.yaml:4:6: app_service.apps[1].name: there are two apps with the name "a"',
    ],
    [
      'app_service:\n  apps:\n  - {name: a, uri: "http://x", rewrite: {headers: [x]}}\n',
      'f.yaml:3:52: app_service.apps[0].rewrite.headers[0]: a header must be written as "Name: value"',
    ],
    ['- a\n', 'f.yaml:1:1: expected a map of sections'],
  ] as const) {
    test(message, () => {
      const expected = `failed to parse Teleport configuration: ${message}`
      assert.throws(() => parseConfig(text, 'f.yaml'), { name: 'InvalidConfig', message: expected })
    })
  }
  for (const [text, message] of [
    ['teleprot: {}\n', 'f.yaml:1:1: teleprot: unknown field "teleprot", did you mean "teleport"?'],
    ['teleport:\n  nodname: a\n', 'f.yaml:2:3: teleport.nodname: unknown field "nodname", did you mean "nodename"?'],
    [
      'a: [\n',
      'f.yaml:2:1: is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    ['teleport:\n  nodename: a\n  nodename: b\n', 'f.yaml:3:3: is not valid YAML: Map keys must be unique'],
  ] as const) {
    test(message, () => {
      assert.throws(() => parseConfig(text, 'f.yaml'), { message: `failed parsing the config file: ${message}` })
    })
  }
  test('a static token without a role is refused, and its secret stays out of the message', () => {
    assert.throws(
      () => parseConfig('auth_service: {tokens: [verysecretvalue]}', 'f'),
      (error) => {
        assert.ok(error instanceof AccessError)
        assert.match(error.message, /invalid static token spec: "very…"$/)
        return !error.message.includes('verysecret')
      },
    )
  })
})

test('what the reference serves beside is taken with a warning, and without one where it is off', () => {
  const { warnings } = parseConfig(
    `
teleport: {cache: {enabled: yes}, log: {output: syslog}}
ssh_service: {enabled: yes, labels: {a: b}}
db_service: {enabled: no}
proxy_service: {acme: {enabled: no}}
`,
    'f',
  )
  assert.deepEqual(
    warnings.map((line) => line.split(' ')[0]),
    ['ssh_service', 'teleport.cache', 'proxy_service.acme', 'teleport.log.output'],
  )
})

suite('the command line is merged last', () => {
  const base = 'version: v3\nteleport: {nodename: a, auth_token: old}\n'
  const merged = (flags: StartFlags, text = base) => parseConfig(text, 'f', flags)
  test('roles decide what runs', () => {
    const config = merged({ roles: ['app'], authServer: ['proxy.example.com:443'] })
    assert.deepEqual([config.auth, config.proxy], [undefined, undefined])
    assert.deepEqual(config.app, { apps: [], resourceLabels: [] })
    assert.deepEqual(config.cluster, { proxyServer: 'proxy.example.com:443' })
  })
  test('a proxy gets the address of Auth', () => {
    assert.deepEqual(merged({ roles: ['proxy'], authServer: ['auth.example.com'] }).cluster, {
      authServer: 'auth.example.com:3025',
    })
    assert.deepEqual(merged({ roles: ['proxy'], authServer: ['auth.example.com'] }, '').cluster, {
      authServer: 'auth.example.com:3025',
    })
  })
  test('an unknown role is refused', () => assert.throws(() => merged({ roles: ['gardener'] }), { name: 'UsageError' }))
  test("a token takes the place of the file's", () => assert.equal(merged({ token: 'new' }).join.tokenName, 'new'))
  test('names, addresses, files and severity', () => {
    const config = merged({
      nodename: 'b',
      diagAddr: '127.0.0.1:3000',
      pidFile: '/run/x',
      debug: true,
      listenIp: '127.0.0.1',
      dataDir: '/d',
    })
    assert.equal(config.nodeName, 'b')
    assert.deepEqual(config.diag, { host: '127.0.0.1', port: 3000 })
    assert.equal(config.pidFile, '/run/x')
    assert.equal(config.log.severity, 'debug')
    assert.deepEqual(config.auth?.listen, { host: '127.0.0.1', port: 3025 })
    assert.equal(config.dataDir, '/d')
  })
  test('an app needs a name and a URI', () => {
    assert.equal(merged({ app: { name: 'a', uri: 'http://localhost' } }).app?.apps[0]?.spec.uri, 'http://localhost')
    assert.equal(merged({ app: { name: 'a', cloud: 'AWS' } }).app?.apps[0]?.spec.uri, 'cloud://AWS')
    assert.throws(() => merged({ app: { name: 'a' } }), { message: 'please provide both --app-name and --app-uri' })
    assert.throws(() => merged({ app: { uri: 'http://x' } }), {
      message: 'please provide both --app-name and --app-uri',
    })
  })
})

test('whatever a file holds, only a named error is thrown', () => {
  const line = fc.constantFrom(
    'version: v3',
    'teleport:',
    '  log:',
    '    output: stdout',
    '  ca_pin: [x]',
    'auth_service:',
    '  enabled: yes',
    '  tokens:',
    '  - a:b',
    'app_service:',
    '  apps:',
    '  - name: a',
    '    uri: http://x',
    '    labels: {a: 1}',
    '- {{a}}',
    '---',
    '[',
    '\t',
  )
  const only = (text: string): void => {
    try {
      parseConfig(text, 'f')
    } catch (error) {
      assert.ok(error instanceof AccessError, String(error))
    }
  }
  fc.assert(
    fc.property(fc.array(fc.oneof(line, fc.string({ maxLength: 10 })), { maxLength: 15 }), (lines) =>
      only(lines.join('\n')),
    ),
    { numRuns: 1500 },
  )
  const json = fc.jsonValue({ maxDepth: 3 })
  const section = (...keys: string[]) => fc.oneof(json, fc.dictionary(fc.constantFrom(...keys), json, { maxKeys: 3 }))
  const file = fc.record(
    {
      version: fc.oneof(fc.constantFrom('v1', 'v2', 'v3'), json),
      teleport: section(
        'log',
        'join_params',
        'ca_pin',
        'auth_servers',
        'proxy_server',
        'storage',
        'diag_addr',
        'nodename',
      ),
      auth_service: section('enabled', 'tokens', 'authentication', 'cluster_name', 'listen_addr', 'web_idle_timeout'),
      proxy_service: section('enabled', 'public_addr', 'https_keypairs', 'web_listen_addr'),
      app_service: section('enabled', 'apps', 'resources'),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(file, (value) => only(JSON.stringify(value))),
    { numRuns: 1500 },
  )
})
