/** tsh where nobody is logged in. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { systemClock } from '#clock.ts'
import { sampleIdentity, storeSampleLogin, temporaryDirectory } from '#test/sample-login.ts'
import { runTsh } from './main.ts'

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly prepare?: (home: string) => Promise<void>
}

async function run(line: string | readonly string[], { env = {}, prepare = async () => {} }: RunOptions = {}) {
  await using home = await temporaryDirectory()
  await prepare(join(home.path, '.tsh'))
  const terminal = memoryTerminal()
  const code = await runTsh({
    argv: typeof line === 'string' ? line.split(' ') : line,
    env,
    terminal,
    clock: systemClock,
    userHome: home.path,
    signal: new AbortController().signal,
  })
  return { code, stdout: terminal.written.stdout(), stderr: terminal.written.stderr() }
}

suite('what tsh says to whoever types something else', () => {
  test('version, for people and for scripts', async () => {
    assert.match((await run('version')).stdout, /^Teleport v\d+\.\d+\.\d+ \(compatible with v\d+\.\d+\.\d+\) node\d+/)
    assert.deepEqual(Object.keys(JSON.parse((await run('version -f json')).stdout)), [
      'version',
      'compatible_version',
      'runtime',
    ])
  })
  for (const line of ['status', 'env', 'apps ls', 'apps logout', 'mfa ls', 'aws s3 ls', 'password']) {
    test(`${line} without a login`, async () => {
      const { code, stderr } = await run(line)
      assert.deepEqual([code, stderr], [1, 'ERROR: Not logged in.\nhint: run "tsh login --proxy=HOST --user=NAME"\n'])
    })
  }
  test('help names every command', async () => {
    const { code, stdout } = await run('--help')
    assert.equal(code, 0)
    for (const name of [
      'login',
      'logout',
      'status',
      'signup',
      'mfa',
      'apps',
      'aws',
      'proxy',
      'version',
      'completion',
    ]) {
      assert.match(stdout, new RegExp(`^  (\\w+\\|)?${name}`, 'm'))
    }
  })
  test('login without a proxy', async () => {
    const { code, stderr } = await run('login')
    assert.deepEqual(
      [code, stderr],
      [2, 'ERROR: no proxy is named\nhint: add --proxy=HOST, the public address of your cluster\n'],
    )
  })
  test('login at an address where nothing answers', async () => {
    const { code, stderr } = await run('login --proxy=127.0.0.1:1 --user=alice')
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: cannot connect to 127\.0\.0\.1:1: ECONNREFUSED\nhint: /)
  })
  for (const url of [
    'alice',
    'http://proxy/web/invite/0123456789',
    'https://proxy/web/login',
    'https://proxy/web/invite/a/b',
  ]) {
    test(`signup ${url}`, async () => {
      const { code, stderr } = await run(['signup', url])
      assert.equal(code, 2)
      assert.match(stderr, /this is not the URL of an invite or a reset/)
    })
  }
})

suite('which login is the active one', () => {
  const prepare = async (home: string): Promise<void> => {
    const at = (host: string) => ({ name: host, proxy: { host, port: 443 } })
    await storeSampleLogin(home, sampleIdentity({ name: 'bob' }), at('other.example.com'))
    await storeSampleLogin(home, sampleIdentity(), at('proxy.example.com'))
  }
  const active = async (line: string, env: Record<string, string> = {}) => {
    const { stdout } = await run(`${line} -f json`, { prepare, env })
    const { active, profiles } = JSON.parse(stdout)
    return [active.username, ...profiles.map(({ username }: { username: string }) => username)]
  }
  test('the last one', async () => assert.deepEqual(await active('status'), ['alice', 'bob']))
  test('the one that --proxy names', async () =>
    assert.deepEqual(await active('status --proxy=other.example.com'), ['bob', 'alice']))
  test('the one that the environment names', async () =>
    assert.deepEqual(await active('status', { TELEPORT_PROXY: 'other.example.com:443' }), ['bob', 'alice']))
  test('text marks it, and lists the others after it', async () => {
    const { stdout } = await run('status', { prepare })
    assert.match(
      stdout,
      /^> Profile URL: {8}https:\/\/proxy\.example\.com:443\n[\s\S]*\n\n {2}Profile URL: {8}https:\/\/other/,
    )
  })
  test('tsh login makes another one active without asking', async () =>
    assert.match(
      (await run('login --proxy=other.example.com', { prepare })).stdout,
      /^> Profile URL: +https:\/\/other/,
    ))
})
