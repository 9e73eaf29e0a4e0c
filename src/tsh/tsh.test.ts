/** tsh as a user who is logged in, against a real Auth Service. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { parse } from 'yaml'
import { type Auth, startAuth } from '#auth/server.ts'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { storeLogin } from '#client/login.ts'
import { createWebClient } from '#client/web-client.ts'
import { type Clock, systemClock } from '#clock.ts'
import { JoinService, LoginService, ResourceService, UserService } from '#gen/access/v1/access_pb.ts'
import type { SystemRole } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { authServerName } from '#tls-routing/names.ts'
import { createAuthenticator } from '#tour/authenticator.ts'
import { runTsh } from './main.ts'

const READ_ONLY = 'arn:aws:iam::123456789012:role/ReadOnly'
const ADMIN = 'arn:aws:iam::123456789012:role/ops/Admin'
const password = 'correct horse battery staple'

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let home: string
let auth: Auth
let authenticator: ReturnType<typeof createAuthenticator>
const stack = new AsyncDisposableStack()

async function run(
  line: string | readonly string[],
  { input = '', clock = systemClock }: { input?: string; clock?: Clock } = {},
) {
  const terminal = memoryTerminal(input)
  const code = await runTsh({
    argv: typeof line === 'string' ? line.split(' ') : line,
    env: { TELEPORT_HOME: home },
    terminal,
    clock,
    userHome: '/nowhere',
    signal: new AbortController().signal,
  })
  return { code, stdout: terminal.written.stdout(), stderr: terminal.written.stderr() }
}

async function ok(line: string | readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await run(line, { input })
  assert.equal(code, 0, `${line}\n${stdout}${stderr}`)
  return stdout
}

/** Calls as a part of the cluster itself. */
async function callAs(role: SystemRole): Promise<RpcConnection> {
  const member = await auth.localMember(role)
  const egress = stack.use(createEgress({}))
  return stack.use(
    createRpcClient({
      dial: (signal) => egress.dial('127.0.0.1', auth.port, { signal }),
      serverName: authServerName('example'),
      hostAuthorities: member.hostAuthorities,
      certificate: { cert: member.certificatePem, key: member.privateKeyPem },
    }),
  )
}

/** What a proxy does when somebody logs in, with the result stored as `tsh login` stores it. */
async function logIn(code: string): Promise<void> {
  const proxy = await callAs('Proxy')
  const { privateKey, publicKey } = generateKeyPair()
  const answer = await createClient(LoginService, proxy.transport).finishLogin({
    user: 'alice',
    password,
    totpCode: code,
    publicKeyPem: publicKeyPem(publicKey),
    clientAddress: '127.0.0.1',
  })
  const web = createWebClient({ proxy: { host: '127.0.0.1', port: auth.port }, trust: {}, egress: createEgress({}) })
  const result = {
    user: answer.user,
    cluster: answer.clusterName,
    certificatePem: answer.certificatePem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthoritiesPem: answer.hostAuthoritiesPem,
  }
  await storeLogin(home, result, { web, trust: {}, isKubeEnabled: false })
}

before(async () => {
  directory = stack.use(await temporaryDirectory())
  home = join(directory.path, 'tsh')
  auth = stack.use(
    await startAuth({
      config: {
        clusterName: 'example',
        listen: { host: '127.0.0.1', port: 0 },
        publicAddrs: [],
        tokens: [],
        settings: {},
      },
      dataDir: join(directory.path, 'data'),
      log: silentLog,
      clock: systemClock,
    }),
  )
  const admin = await callAs('Admin')
  const resources = createClient(ResourceService, admin.transport)
  const awsRole = {
    kind: 'role',
    version: 'v7',
    metadata: { name: 'aws' },
    spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: [READ_ONLY, ADMIN] } },
  }
  await resources.create({ document: { json: JSON.stringify(awsRole) } })
  const user = { kind: 'user', version: 'v2', metadata: { name: 'alice' }, spec: { roles: ['aws', 'access'] } }
  const { token } = await createClient(UserService, admin.transport).createUser({
    user: { json: JSON.stringify(user) },
  })
  const login = createClient(LoginService, (await callAs('Proxy')).transport)
  const { totpSecret } = await login.getUserToken({ token })
  authenticator = createAuthenticator(totpSecret)
  await login.redeemUserToken({
    token,
    password,
    totpCode: authenticator.nextCode(),
    deviceName: 'phone',
    clientAddress: '',
  })

  const app = await callAs('App')
  const { hostId } = await auth.localMember('App')
  const server = (name: string, spec: object, labels: object) => ({
    json: JSON.stringify({
      kind: 'app_server',
      version: 'v3',
      metadata: { name },
      spec: {
        hostname: 'host',
        host_id: hostId,
        app: { kind: 'app', version: 'v3', metadata: { name, description: `The ${name}`, labels }, spec },
      },
    }),
  })
  await createClient(JoinService, app.transport).heartbeat({
    documents: [
      server('awsconsole', { uri: 'https://console.aws.amazon.com/' }, { env: 'prod', aws_account_id: '123456789012' }),
      server('grafana', { uri: 'http://localhost:3000' }, { env: 'dev' }),
    ],
  })
  await logIn(authenticator.nextCode())
})
after(() => stack.disposeAsync())

suite('tsh status', () => {
  test('says who, where, with which roles, and until when', async () => {
    const text = await ok('status')
    assert.match(text, /^> Profile URL: {8}https:\/\/127\.0\.0\.1:\d+$/m)
    assert.match(text, /^ {2}Logged in as: {7}alice$/m)
    assert.match(text, /^ {2}Cluster: {12}example$/m)
    assert.match(text, /^ {2}Roles: {14}aws, access$/m)
    assert.match(text, /^ {2}Kubernetes: {9}disabled$/m)
    assert.match(text, /^ {2}Valid until: {8}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+ \[valid for 12h0m0s\]$/m)
  })
  test('has the keys that scripts read', async () => {
    const { active, profiles } = JSON.parse(await ok('status -f json'))
    assert.deepEqual(
      [active.username, active.cluster, active.roles, profiles],
      ['alice', 'example', ['aws', 'access'], []],
    )
    assert.match(active.valid_until, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.equal(active.kubernetes_enabled, false)
    assert.deepEqual(Object.keys(parse(await ok('status --format=yaml')).active), Object.keys(active))
  })
  test('fails when the login is over, after printing it', async () => {
    const later = () => new Date(Date.now() + 13 * 3_600_000)
    const { code, stdout, stderr } = await run('status', { clock: later })
    assert.equal(code, 1)
    assert.match(stdout, /\[EXPIRED\]$/m)
    assert.equal(stderr, 'ERROR: Active profile expired.\nhint: run "tsh login" to log in again\n')
  })
})

test('tsh env prints what other shells need to use this login', async () => {
  const text = await ok('env')
  assert.match(text, /^export TELEPORT_PROXY=127\.0\.0\.1:\d+\nexport TELEPORT_CLUSTER=example\n/)
  assert.match(await ok('env --unset'), /^unset TELEPORT_PROXY\nunset TELEPORT_CLUSTER\n/)
})

suite('tsh login with a valid login', () => {
  test('shows the status and asks nothing', async () => assert.match(await ok('login'), /^> Profile URL/))
  test('for its own cluster renews the certificate', async () => {
    const file = join(home, 'keys', '127.0.0.1', 'alice.crt')
    const before = await readFile(file, 'utf8')
    await ok('login example')
    assert.notEqual(await readFile(file, 'utf8'), before)
  })
  test('writes an identity file', async () => {
    const file = join(directory.path, 'identity')
    await ok(`login --out=${file}`)
    assert.match(await readFile(file, 'utf8'), /PRIVATE KEY[\s\S]*CERTIFICATE[\s\S]*CERTIFICATE/)
  })
  test('for another cluster is refused', async () => assert.equal((await run('login elsewhere')).code, 2))
})

suite('tsh apps ls', () => {
  test('shows columns and labels as the guide has them', async () => {
    const [header, dashes, first] = (await ok('apps ls')).split('\n')
    assert.match(header ?? '', /^Application +Description +Type +Public Address +Labels$/)
    assert.match(dashes ?? '', /^-+ -+ -+ -+ -+$/)
    assert.match(
      first ?? '',
      /^awsconsole +The awsconsole +HTTP +awsconsole\.127\.0\.0\.1 +aws_account_id=123456789012,env=prod/,
    )
  })
  test('has more columns with -v', async () =>
    assert.match(await ok('apps ls -v'), /^Application +Description +Type +Public Address +URI +Labels\n/))
  test('has proxy and cluster in front with -R', async () =>
    assert.match(await ok('app ls -R'), /^Proxy +Cluster +Application/))
  test('gives app resources as JSON', async () => {
    const apps = JSON.parse(await ok('apps ls -f json'))
    assert.deepEqual(
      apps.map(({ kind, metadata }: { kind: string; metadata: { name: string } }) => [kind, metadata.name]),
      [
        ['app', 'awsconsole'],
        ['app', 'grafana'],
      ],
    )
  })
  for (const [says, argv] of [
    ['labels', ['env=prod']],
    ['words', ['--search', 'CONSOLE,prod']],
    ['an expression', ['--query', 'labels["env"] == "prod" && !hasPrefix(name, "g")']],
  ] as const) {
    test(`chooses by ${says}`, async () => {
      const apps = JSON.parse(await ok(['apps', 'ls', '-f', 'json', ...argv]))
      assert.deepEqual(
        apps.map(({ metadata }: { metadata: { name: string } }) => metadata.name),
        ['awsconsole'],
      )
    })
  }
  test('is an empty array when nothing fits', async () => assert.equal(await ok('apps ls -f json env=none'), '[]\n'))
  test('refuses a query that it cannot read', async () => {
    const { code, stderr } = await run(['apps', 'ls', '--query', 'label["env"] == "prod"'])
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: unsupported variable/)
  })
})

suite('tsh apps login', () => {
  test('without a role prints the candidates', async () => {
    const { code, stdout, stderr } = await run('apps login awsconsole')
    assert.equal(code, 2)
    assert.match(
      stdout,
      /^Available AWS roles:\nRole Name +Role ARN\n-+ -+\nAdmin +arn.*\nReadOnly +arn:aws:iam::123456789012:role\/ReadOnly$/m,
    )
    assert.match(stderr, /^ERROR: --aws-role flag is required\nhint: /)
  })
  test('with an unknown role prints the candidates', async () => {
    const { stdout, stderr } = await run('apps login --aws-role Nope awsconsole')
    assert.match(stdout, /^Available AWS roles:/)
    assert.match(stderr, /^ERROR: failed to find the "Nope" role name$/m)
  })
  test('with a role says what to do next, as the guide has it', async () => {
    assert.equal(
      await ok('apps login --aws-role ReadOnly awsconsole'),
      `Logged into AWS app "awsconsole".

Your IAM role:
  ${READ_ONLY}

Example AWS CLI command:
  tsh aws s3 ls

Or start a local proxy:
  tsh proxy aws --app awsconsole
`,
    )
    assert.match(await ok('apps ls'), /^> awsconsole /m)
  })
  test('again keeps the login, and another role switches it with the same key', async () => {
    const folder = join(home, 'keys', '127.0.0.1', 'alice-app', 'example')
    const read = () =>
      Promise.all(['awsconsole.crt', 'awsconsole.key'].map((name) => readFile(join(folder, name), 'utf8')))
    const [certificate, key] = await read()
    assert.match(await ok('apps login awsconsole'), /role\/ReadOnly/)
    assert.deepEqual(await read(), [certificate, key])
    assert.match(await ok(`apps login --aws-role ${ADMIN} awsconsole`), /role\/ops\/Admin/)
    const [switched, sameKey] = await read()
    assert.notEqual(switched, certificate)
    assert.equal(sameKey, key)
  })
  test('with --quiet prints nothing', async () =>
    assert.equal(await ok('apps login -q --aws-role=ReadOnly awsconsole'), ''))
  test('to another app shows how to call it', async () =>
    assert.match(
      await ok('apps login grafana'),
      /^Logged into app grafana\. Example curl command:\n\ncurl \\\n {2}--cert/,
    ))
  test('to an app that nobody serves is refused', async () => {
    const { code, stderr } = await run('apps login nope')
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: app "nope" not found, use `tsh apps ls` to see registered apps$/m)
  })
})

suite('tsh apps config', () => {
  test('needs a name when there are several logins', async () => {
    const { code, stderr } = await run('apps config')
    assert.equal(code, 2)
    assert.match(stderr, /multiple apps are available \(awsconsole, grafana\), please specify one via CLI argument/)
  })
  test('prints a table, paths, and documents', async () => {
    assert.match(await ok('apps config awsconsole'), /^Name: +awsconsole\nURI: +https:[\s\S]*^AWS ARN: +arn:/m)
    const facts = JSON.parse(await ok('apps config awsconsole -f json'))
    assert.deepEqual(Object.keys(facts), ['name', 'uri', 'ca', 'cert', 'key', 'curl', 'aws_role_arn'])
    for (const key of ['uri', 'ca', 'cert', 'key', 'curl']) {
      assert.equal(await ok(['apps', 'config', 'awsconsole', '--format', key.toUpperCase()]), `${facts[key]}\n`)
    }
    assert.deepEqual(parse(await ok('apps config awsconsole -f yaml')), facts)
  })
  test('knows its formats', async () =>
    assert.match(
      (await run('apps config awsconsole -f xml')).stderr,
      /invalid format, expected one of \[.*\], got "xml"/,
    ))
})

suite('tsh apps logout', () => {
  test('of one app ends it', async () => {
    assert.equal(await ok('apps logout awsconsole'), 'Logged out of app "awsconsole"\n')
    assert.doesNotMatch(await ok('apps ls'), /> awsconsole/)
  })
  test('of an app without a login is an error', async () => {
    const { code, stderr } = await run('apps logout awsconsole')
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: not logged into app "awsconsole"$/m)
  })
  test('of all apps leaves no file', async () => {
    await ok('apps login -q --aws-role=ReadOnly awsconsole')
    assert.equal(await ok('apps logout'), 'Logged out of all apps\n')
    assert.deepEqual(await readdir(join(home, 'keys', '127.0.0.1', 'alice-app', 'example')), [])
  })
})

suite('passwords and devices', () => {
  test('devices are listed', async () => {
    assert.match(await ok('mfa ls'), /^Name +Type +Added at +Last used\n-.*\nphone +TOTP /)
    assert.equal(JSON.parse(await ok('mfa ls -f json'))[0].name, 'phone')
  })
  test('a code that is none is refused before it is sent', async () => {
    const { code, stderr } = await run('mfa rm phone', { input: '12a\n' })
    assert.equal(code, 1)
    assert.match(stderr, /that is not a one-time code/)
  })
  test('a new password that is too short is refused before it is sent', async () => {
    const { code, stderr } = await run('password', { input: `${password}\nshort\n` })
    assert.equal(code, 1)
    assert.match(stderr, /the password has 5 characters\nhint: choose one of 12 to 128/)
  })
  test('a wrong present password is refused', async () => {
    const { code, stderr } = await run('change-password', {
      input: 'wrong wrong wrong\nanother long password\n000000\n',
    })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: /m)
  })
})

suite('tsh logout', () => {
  test('of somebody who is not logged in is an error', async () =>
    assert.equal((await run('logout --user=bob')).code, 1))
  test('removes keys, certificates and profiles', async () => {
    assert.equal(await ok('logout'), 'Logged out all users from all proxies.\n')
    assert.deepEqual(await readdir(home, { recursive: true }), ['keys'])
    const { code, stderr } = await run('status')
    assert.deepEqual([code, stderr], [1, 'ERROR: Not logged in.\nhint: run "tsh login --proxy=HOST --user=NAME"\n'])
  })
})
