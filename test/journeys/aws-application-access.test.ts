/** Executes `docs/guides/aws-application-access.md`: its commands as they stand, with the stock clients, against the lab. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { createLabAuthority } from '#lab/authority.ts'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import { expectedOutput, type GuideBlock, readGuide } from '#test/guide.ts'
import { findAwsCli, openShell, type Ran, type Running, type Shell } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'
import { type Cluster, freePort, type Person, startCluster } from '#tour/cluster.ts'

/** What the guide's reader would replace, and what stands in for it here. Files of root go into the agent's own folder. */
function placeholders(stage: Stage): readonly (readonly [RegExp, string])[] {
  return [
    [/teleport\.example\.com:443/g, stage.cluster.proxyAddr],
    [/\bmyuser\b/g, stage.person.name],
    [/\bjoin-token\b/g, stage.saved.token ?? ''],
    [/\/tmp\/token/g, join(stage.agent.home, 'token')],
    [/\/etc\/teleport\.yaml/g, join(stage.agent.home, 'teleport.yaml')],
    [/\b23456\b/g, String(stage.localProxyPort)],
  ]
}

interface Stage {
  readonly lab: AwsLab
  readonly cluster: Cluster
  readonly person: Person
  /** Terminals: the administrator of the AWS account, and root on the agent's host with stand-ins for sudo and systemctl. */
  readonly awsAdmin: Shell
  readonly agent: Shell
  readonly localProxyPort: number
  readonly saved: { token?: string; exports?: Readonly<Record<string, string>> }
  readonly running: Map<string, Running>
}

test('the guide "Reach AWS through the Application Service" works as it is written', async (t) => {
  for (const tool of ['curl', 'jq', 'python-boto3']) if (requireTool(t, tool) === undefined) return
  const aws = findAwsCli() ?? requireTool(t, 'aws-v2')
  if (aws === undefined) return
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'guide-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const stage = await setTheStage(stack, dir, aws)

  const blocks = readGuide('aws-application-access')
  let notYet = 0
  let steps = 0
  let last: Ran | undefined
  let failed = false
  for (const block of blocks) {
    if (block.marks.has('not-yet-available')) {
      notYet++
      continue
    }
    if (block.marks.size === 0 && Object.keys(block.values).length === 0) continue // shown, not run
    steps++
    if (failed) continue
    await t.test(`${block.before}, line ${block.line}: ${block.text.split('\n')[0]}`, async () => {
      failed = true
      last = await play(block, stage, last)
      failed = false
    })
  }
  for (const running of stage.running.values()) await running.stop('SIGINT')
  t.diagnostic(`${steps} steps of the guide, ${notYet} not yet available`)
})

/** Does what a reader does with one block; `last` is what the block before it printed. */
async function play(block: GuideBlock, stage: Stage, last: Ran | undefined): Promise<Ran | undefined> {
  const text = placeholders(stage).reduce((filled, [from, to]) => filled.replace(from, to), block.text)
  const shell = terminalOf(block, stage)
  const { file, background, save, service } = block.values
  if (file !== undefined) {
    const name = file.startsWith('/') ? join(shell.home, file.split('/').at(-1) ?? '') : join(shell.home, file)
    mkdirSync(dirname(name), { recursive: true })
    // The guide keeps the default data folder, which is root's: the agent here gets one of its own.
    const dataDir = `teleport:\n  data_dir: ${join(shell.home, 'data')}`
    writeFileSync(name, text.replace(/^teleport:$/m, dataDir))
    return last
  }
  if (block.marks.has('expect')) {
    const seen = `${last?.stdout ?? ''}${last?.stderr ?? ''}`
    assert.match(seen, expectedOutput(text))
    if (save === 'token') stage.saved.token = seen.trim()
    if (save === 'exports') {
      stage.saved.exports = Object.fromEntries(
        [...seen.matchAll(/export (\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
      )
    }
    return last
  }
  if (block.language === 'python') {
    const env = { ...stage.saved.exports }
    return shell.run('python-boto3 -', { input: text, env })
  }
  if (background !== undefined) {
    const running = shell.start(text.trim())
    stage.running.set(background, running)
    await running.waitFor(/export HTTPS_PROXY\S+/)
    return { code: 0, stdout: running.output(), stderr: '' }
  }
  if (block.marks.has('interactive')) {
    const input = `${stage.person.password}\n${stage.person.authenticator.nextCode()}\n`
    return shell.run(`set -e\n${text}`, { input })
  }
  const ran = await shell.run(`set -e\n${text}`)
  if (service !== undefined) await serviceUp(stage)
  return ran
}

function terminalOf({ marks }: GuideBlock, { person, awsAdmin, agent }: Stage): Shell {
  if (marks.has('aws-admin')) return awsAdmin
  return marks.has('agent') ? agent : person.shell
}

/** The service manager's part: starts what the unit would start, and waits until the app is there. */
async function serviceUp(stage: Stage): Promise<void> {
  assert.ok(existsSync(join(stage.agent.home, 'started')), 'the guide started the service')
  const running = stage.agent.start(`teleport start -c ${join(stage.agent.home, 'teleport.yaml')} -d`)
  stage.running.set('teleport', running)
  const deadline = Date.now() + 20_000
  for (;;) {
    const { stdout } = await stage.cluster.admin.run('tctl get app_server --format json')
    if (stdout.includes('awsconsole')) return
    if (Date.now() > deadline) throw new Error(`the app did not appear\n${running.output()}`)
  }
}

async function setTheStage(stack: AsyncDisposableStack, dir: string, aws: string): Promise<Stage> {
  // The guide makes its roles itself.
  const lab = stack.use(await startAwsLab({ empty: true, region: 'us-west-2', buckets: ['reports'] }))
  lab.addInstance()

  // A company's own certificate authority, which workstations and agents trust.
  const authority = createLabAuthority(() => new Date())
  const keypair = { certFile: join(dir, 'proxy.crt'), keyFile: join(dir, 'proxy.key') }
  const leaf = authority.issue('localhost')
  writeFileSync(keypair.certFile, leaf.certificatePem)
  writeFileSync(keypair.keyFile, leaf.privateKeyPem, { mode: 0o600 })
  const trust = join(dir, 'trust.pem')
  writeFileSync(trust, `${authority.caPem}\n${readFileSync(lab.caFile, 'utf8')}`)
  const trusting = { NODE_EXTRA_CA_CERTS: trust, CURL_CA_BUNDLE: trust, SSL_CERT_FILE: trust }

  const cluster = stack.use(await startCluster({ dir, keypair, env: trusting }))
  const person = await cluster.addUser('myuser', ['access', 'editor', 'auditor'], {
    ...lab.environment('none'),
    ...trusting,
  })
  linkAws(person.shell, aws)
  const awsAdmin = openShell({ home: join(dir, 'aws-admin'), env: lab.environment() })
  linkAws(awsAdmin, aws)
  const agent = openShell({ home: join(dir, 'agent-host'), env: { ...lab.environment('instance'), ...trusting } })
  standIn(agent, 'sudo', 'exec "$@"')
  standIn(agent, 'systemctl', 'if [ "$1" = start ]; then touch "$HOME/started"; fi')
  return { lab, cluster, person, awsAdmin, agent, localProxyPort: await freePort(), saved: {}, running: new Map() }
}

function linkAws({ home }: Shell, aws: string): void {
  mkdirSync(join(home, 'bin'), { recursive: true })
  symlinkSync(aws, join(home, 'bin', 'aws'))
}

function standIn({ home }: Shell, name: string, script: string): void {
  mkdirSync(join(home, 'bin'), { recursive: true })
  writeFileSync(join(home, 'bin', name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(home, 'bin', name), 0o755)
}
