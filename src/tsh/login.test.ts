/** From the invite to the login and back out, with the launchers of `bin`, against a real Auth Service and a real Proxy Service. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type Auth, startAuth } from '#auth/server.ts'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { defaultProxyLimits } from '#proxy/config.ts'
import { type Proxy as ProxyService, startProxy } from '#proxy/server.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { openShell, type Shell } from '#test/shell.ts'
import { createAuthenticator } from '#tour/authenticator.ts'

const password = 'correct horse battery staple'
const stack = new AsyncDisposableStack()
let auth: Auth
let proxy: ProxyService
let admin: Shell
let alice: Shell
let pin: string
let address: string
let authenticator: ReturnType<typeof createAuthenticator>

before(async () => {
  const directory = stack.use(await temporaryDirectory())
  const dataDir = join(directory.path, 'data')
  auth = stack.use(
    await startAuth({
      config: {
        clusterName: 'example',
        listen: { host: '127.0.0.1', port: 0 },
        publicAddrs: [],
        tokens: [],
        settings: {},
      },
      dataDir,
      log: silentLog,
      clock: systemClock,
    }),
  )
  proxy = stack.use(
    await startProxy({
      config: {
        listenHost: '127.0.0.1',
        listenPort: 0,
        publicAddr: { host: 'localhost', port: 3080 },
        nodeName: 'proxy',
        keypairs: [],
        limits: { ...defaultProxyLimits, normal: { perMinute: 10_000, burst: 10_000 } },
      },
      member: await auth.localMember('Proxy'),
      authAddress: { host: '127.0.0.1', port: auth.port },
      log: silentLog,
      clock: systemClock,
    }),
  )
  address = `localhost:${proxy.port}`
  const config = join(directory.path, 'teleport.yaml')
  await writeFile(
    config,
    `teleport: { data_dir: ${dataDir} }\nauth_service: { listen_addr: "127.0.0.1:${auth.port}" }\n`,
  )
  admin = openShell({ home: join(directory.path, 'admin'), env: { TELEPORT_CONFIG_FILE: config } })
  alice = openShell({ home: join(directory.path, 'alice') })
  ;[pin = ''] = auth.caPins
})
after(() => stack.disposeAsync())

const answers = (code: string): { input: string } => ({ input: `${password}\n${code}\n` })

suite('a person comes and goes', () => {
  test('signs up with the URL of the invite', async () => {
    const { stdout } = await admin.run('tctl users add alice --roles=access')
    const [, path = ''] = /https:\/\/[^/]+(\/web\/invite\/\w+)/.exec(stdout) ?? []
    await using terminal = alice.start(`tsh signup --ca-pin=${pin} https://${address}${path}`)
    terminal.write(`${password}\n`)
    const [, secret = ''] = await terminal.waitFor(/Secret: ([A-Z2-7]{16,})/)
    authenticator = createAuthenticator(secret)
    terminal.write(`${authenticator.nextCode()}\n`)
    const [, next = ''] = await terminal.waitFor(/has been set\. Log in with:\n\n {2}(.*)\n/)
    assert.equal(next, `tsh login --proxy=${address} --user=alice --ca-pin=${pin}`)
  })
  test('cannot sign up with an invite that is not there', async () => {
    const { stdout } = await admin.run('tctl users add bob --roles=access')
    const [, path = ''] = /https:\/\/[^/]+(\/web\/invite\/\w+)/.exec(stdout) ?? []
    const other = path.replace(/\w{8}$/, '00000000')
    const { code, stderr } = await alice.run(`tsh signup --ca-pin=${pin} https://${address}${other}`, { mayFail: true })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: .*\nhint: /)
  })
  test('is not let in with a wrong password, nor told whether the user exists', async () => {
    const attempt = (user: string) =>
      alice.run(`tsh login --proxy=${address} --user=${user} --ca-pin=${pin}`, {
        input: 'wrong wrong wrong\n000000\n',
        mayFail: true,
      })
    const [known, unknown] = [await attempt('alice'), await attempt('nobody')]
    assert.equal(known.code, 1)
    const error = (text: string): string => text.slice(text.indexOf('ERROR'))
    assert.match(error(known.stderr), /^ERROR: invalid username, password or second factor$/m)
    assert.equal(error(known.stderr), error(unknown.stderr))
    assert.equal((await alice.run('tsh status', { mayFail: true })).code, 1)
  })
  test('is warned of a proxy that nobody vouches for', async () => {
    const { stderr } = await alice.run(`tsh login --proxy=${address} --user=alice`, { mayFail: true })
    assert.match(
      stderr,
      /^ERROR: the certificate of localhost:\d+ is not signed by an authority that is trusted here\nhint: give --ca-pin/m,
    )
  })
  test('logs in with password and code, and sees the status', async () => {
    const { stdout, stderr } = await alice.run(
      `tsh login --proxy=${address} --user=alice --ca-pin=${pin} --ttl=60`,
      answers(authenticator.nextCode()),
    )
    assert.match(stdout, /^> Profile URL: +https:\/\/localhost:\d+\n {2}Logged in as: +alice$/m)
    assert.match(stdout, /\[valid for 1h0m0s\]/)
    assert.match(stderr, /^Enter password for Teleport user alice:\nEnter your OTP token:\n$/)
  })
  test('stays logged in', async () => assert.match((await alice.run('tsh login')).stdout, /Logged in as: +alice/))
  test('calls the cluster through the proxy', async () => {
    assert.match((await alice.run('tsh mfa ls')).stdout, /^otp +TOTP/m)
    assert.equal((await alice.run('tsh apps ls -f json')).stdout, '[]\n')
    assert.match((await alice.run('tctl status')).stdout, /^Cluster +example$/m)
  })
  test('may not do what an administrator may', async () => {
    const { code, stderr } = await alice.run('tctl users ls', { mayFail: true })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: access denied to perform action "list" on "user".*\nhint: /)
  })
  test('changes the password', async () => {
    const input = `${password}\n${password} two\n${authenticator.nextCode()}\n`
    assert.equal((await alice.run('tsh password', { input })).stdout, 'Your password has been changed.\n')
  })
  test('logs out', async () => {
    assert.equal((await alice.run('tsh logout')).stdout, 'Logged out all users from all proxies.\n')
    const { code, stderr } = await alice.run('tsh apps ls', { mayFail: true })
    assert.deepEqual([code, stderr.split('\n')[0]], [1, 'ERROR: Not logged in.'])
  })
})
