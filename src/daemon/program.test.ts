/** The program as people run it: a process of its own, with signals and exit codes. */
import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'

const root = new URL('../..', import.meta.url).pathname

function teleport(args: readonly string[], env: Record<string, string> = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [join(root, 'bin/teleport.ts'), ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
  })
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = teleport(args, env)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (data) => (output.stdout += data))
  child.stderr.on('data', (data) => (output.stderr += data))
  const [code] = await once(child, 'close')
  return { code, ...output }
}

async function temporary(files: Record<string, string> = {}) {
  const path = await mkdtemp(join(tmpdir(), 'daemon-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text.replaceAll('$DIR', path))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

const authFile = `
version: v3
teleport: {data_dir: $DIR/data, nodename: n1, pid_file: $DIR/pid, diag_addr: "127.0.0.1:0", log: {output: stdout, format: {output: json}}}
auth_service: {cluster_name: example.com, listen_addr: "127.0.0.1:0"}
proxy_service: {enabled: no}
`
const resources = `
kind: role
metadata: {name: boot}
spec: {allow: {db_names: [x], app_labels: {env: dev}}}
`

/** A running daemon whose log lines can be waited for. */
function running(args: readonly string[]) {
  const child = teleport(args)
  const lines: Record<string, unknown>[] = []
  let rest = ''
  let wake = () => {}
  child.stdout.on('data', (data) => {
    const parts = `${rest}${data}`.split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts.map((line) => JSON.parse(line) as Record<string, unknown>))
    wake()
  })
  let complaint = ''
  child.stderr.on('data', (data) => {
    complaint += data
  })
  const closed = once(child, 'close').finally(() => wake())
  return {
    child,
    lines,
    closed,
    async until(message: RegExp): Promise<Record<string, unknown>> {
      for (;;) {
        const found = lines.find((line) => message.test(String(line.message)))
        if (found) return found
        if (child.exitCode !== null) throw new Error(`the process ended before ${message}\n${complaint}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await closed
    },
  }
}

suite('teleport start', () => {
  test('runs what the file enables, answers monitors, and ends in order on SIGTERM', async () => {
    await using dir = await temporary({ 'teleport.yaml': authFile, 'r.yaml': resources })
    await using daemon = running([
      'start',
      '-c',
      join(dir.path, 'teleport.yaml'),
      '--bootstrap',
      join(dir.path, 'r.yaml'),
    ])
    const { diag_port: port, cluster } = await daemon.until(/^all services are running/)
    assert.equal(cluster, 'example.com')
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200)
    assert.equal(await readFile(join(dir.path, 'pid'), 'utf8'), `${daemon.child.pid}\n`)
    assert.equal((await daemon.until(/^resource was created/)).name, 'boot')
    assert.match(String((await daemon.until(/db_names/)).message), /is kept and has no effect/)

    daemon.child.kill('SIGHUP')
    await daemon.until(/^SIGHUP does nothing/)
    daemon.child.kill('SIGTERM')
    assert.deepEqual(await daemon.closed, [0, null])
    assert.equal(existsSync(join(dir.path, 'pid')), false)
    assert.match(
      String(daemon.lines[0]?.message),
      /^Starting Teleport v[\d.]+ with a config file located at ".*teleport\.yaml"$/,
    )
    assert.equal(daemon.lines.at(-1)?.message, 'stopped')

    await using again = running([
      'start',
      '-c',
      join(dir.path, 'teleport.yaml'),
      '--bootstrap',
      join(dir.path, 'r.yaml'),
      '--apply-on-startup',
      join(dir.path, 'r.yaml'),
    ])
    await again.until(/^all services are running/)
    assert.ok(again.lines.some(({ message }) => /^--bootstrap is ignored/.test(String(message))))
    assert.ok(again.lines.some(({ message }) => message === 'resource was updated'))
    again.child.kill('SIGINT')
    assert.deepEqual(await again.closed, [0, null])
  })

  test('runs Auth, proxy and agent in one process, which needs no token', async () => {
    const file = authFile
      .replace('proxy_service: {enabled: no}', 'proxy_service: {web_listen_addr: "127.0.0.1:0"}')
      .concat('app_service: {apps: [{name: awsconsole, cloud: AWS}]}\n')
    await using dir = await temporary({ 'teleport.yaml': file })
    await using daemon = running(['start', '-c', join(dir.path, 'teleport.yaml')])
    await daemon.until(/^connected to the proxy/)
    const { diag_port: port } = await daemon.until(/^all services are running/)
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200)
    daemon.child.kill('SIGTERM')
    assert.deepEqual(await daemon.closed, [0, null])
  })

  test('takes its file in base64, and ends when resources are wrong', async () => {
    await using dir = await temporary({ 'r.yaml': 'kind: role\nmetadata: {name: r}\nspec: {alow: {}}\n' })
    const text = Buffer.from(authFile.replaceAll('$DIR', dir.path)).toString('base64')
    const { code, stderr } = await run([
      'start',
      '--config-string',
      text,
      '--apply-on-startup',
      join(dir.path, 'r.yaml'),
    ])
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: .*r\.yaml:3:8: role "r": spec\.alow: unknown field "alow", did you mean "allow"\?$/m)
    assert.equal(existsSync(join(dir.path, 'pid')), false)
  })

  for (const { says, args, env, code, stderr } of [
    {
      says: 'a file that is not there',
      args: ['start', '-c', '/nowhere.yaml'],
      code: 1,
      stderr: /^ERROR: failed to open file for Teleport configuration: \/nowhere\.yaml\nhint: /,
    },
    {
      says: 'base64 that is none',
      args: ['start', '--config-string', '***'],
      code: 2,
      stderr: /^ERROR: configuration should be base64 encoded: /,
    },
    {
      says: 'a wrong file in the environment',
      args: ['start'],
      env: { TELEPORT_CONFIG: Buffer.from('a: 1').toString('base64') },
      code: 1,
      stderr: /^ERROR: failed parsing the config file: --config-string:1:1: a: unknown field "a"/,
    },
    {
      says: 'an app without a URI',
      args: ['app', 'start', '--name', 'a', '--config-string', Buffer.from('version: v3').toString('base64')],
      code: 2,
      stderr: /^ERROR: please provide both --app-name and --app-uri/,
    },
    { says: 'an unknown option', args: ['start', '--rolls=app'], code: 2, stderr: /did you mean --roles\?/ },
    { says: 'no command', args: [], code: 2, stderr: /a command is missing/ },
  ]) {
    test(`${says} is refused`, async () => {
      const result = await run(args, env)
      assert.equal(result.code, code)
      assert.match(result.stderr, stderr)
    })
  }
})

suite('the other commands', () => {
  test('version has our version and the one that it is compatible with', async () => {
    assert.match((await run(['version'])).stdout, /^Teleport v\d+\.\d+\.\d+ \(compatible with v18\.\d+\.\d+\)/)
  })
  test('status is for SSH sessions', async () => {
    assert.equal((await run(['status'])).stdout, 'You are not inside of a Teleport SSH session\n')
    const session = {
      SSH_TELEPORT_USER: 'alice',
      SSH_SESSION_ID: 'sid',
      SSH_TELEPORT_CLUSTER_NAME: 'c',
      SSH_SESSION_WEBPROXY_ADDR: 'p:443',
      SSH_TELEPORT_HOST_UUID: 'h',
      SSH_CLIENT: '10.0.0.1 1 2',
      USER: 'root',
    }
    const { stdout } = await run(['status'], session)
    assert.match(stdout, /^Session URL : https:\/\/p:443\/web\/cluster\/c\/console\/session\/sid$/m)
  })
  test('configure --test says whether a file is right', async () => {
    await using dir = await temporary({ 'good.yaml': authFile, 'bad.yaml': 'a: 1\n' })
    const good = await run(['configure', '--test', join(dir.path, 'good.yaml')])
    assert.deepEqual([good.code, good.stderr], [0, `OK ${join(dir.path, 'good.yaml')}\n`])
    const bad = await run(['configure', '--test', join(dir.path, 'bad.yaml')])
    assert.equal(bad.code, 1)
    assert.match(bad.stderr, /^FAIL .*bad\.yaml\nERROR: failed parsing the config file: .*unknown field "a"/)
    const both = await run(['configure', '--test', 'x', '--output', 'file'])
    assert.match(both.stderr, /^ERROR: only --output or --test can be set, not both/)
  })
  test('configure writes a file once', async () => {
    await using dir = await temporary()
    const path = join(dir.path, 'new.yaml')
    const args = [
      'configure',
      '-o',
      `file://${path}`,
      '--cluster-name',
      'a.example.com',
      '--data-dir',
      join(dir.path, 'none'),
    ]
    const first = await run(args)
    assert.equal(first.code, 0)
    assert.match(first.stdout, /^A Teleport configuration file has been created at/)
    assert.match((await run(args)).stderr, /^ERROR: will not overwrite the existing file/)
    assert.equal((await run(['configure', '--test', path])).code, 0)
  })
  test('install systemd prints the unit', async () => {
    assert.match(
      (await run(['install', 'systemd'])).stdout,
      /^ExecStart=.*teleport start --config \/etc\/teleport\.yaml/m,
    )
  })
})
