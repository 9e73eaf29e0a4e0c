/** tsh where nobody is logged in. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { systemClock } from '#clock.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { runTsh } from './main.ts'

async function run(line: string | readonly string[]) {
  await using home = await temporaryDirectory()
  const terminal = memoryTerminal()
  const code = await runTsh({
    argv: typeof line === 'string' ? line.split(' ') : line,
    env: {},
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
