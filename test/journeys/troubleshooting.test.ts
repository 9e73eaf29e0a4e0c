/** What the guide's troubleshooting section promises: each failure is made, and its text and its cure are seen. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, suite, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import tls from 'node:tls'
import { systemClock } from '#clock.ts'
import { AccessKeys } from '#lab/aws/credentials.ts'
import { startInstance } from '#lab/aws/imds.ts'
import { checkout, type Ran } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'
import type { Person, Service } from '#tour/cluster.ts'
import { type AwsStage, consoleUri, startAwsStage, trustOf } from './aws-stage.ts'

const closedRole = 'arn:aws:iam::123456789012:role/Closed'
const agentRole = 'arn:aws:iam::123456789012:role/TeleportAWSAccess'
const identity = `--exec "${process.execPath}" "${checkout}test/journeys/aws-sdk-calls.ts" identity`
const STS = 'sts.us-east-1.amazonaws.com'

let stage: AwsStage
let alice: Person
before(async () => {
  stage = await startAwsStage({ roleArns: [closedRole] })
  const { lab } = stage
  lab.account().createRole({ name: 'Closed', trust: trustOf(lab.account().user('lab-admin').arn), attach: [] })
  alice = await stage.invite('alice')
})
after(() => stage[Symbol.asyncDispose]())

suite('an agent that looks ahead', () => {
  test('names the role that it cannot assume, itself, and the statement that is missing; with it the call works', async () => {
    await using agent = await startAgent('untrusted')
    const line = await logged(agent, /a role cannot be assumed.*role\/Closed.*/)
    assert.match(
      line,
      /AccessDenied: User: arn:aws:sts::123456789012:assumed-role\/TeleportAWSAccess\/i-\w+ is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role\/Closed/,
    )
    assert.match(
      agent.output(),
      /AWS knows this agent as arn:aws:sts::123456789012:assumed-role\/TeleportAWSAccess\/i-/,
    )
    const statement: unknown = JSON.parse(/add to the trust policy of \S+: (\{.*?\}) /.exec(line)?.[1] ?? '')
    assert.deepEqual(statement, { Effect: 'Allow', Principal: { AWS: agentRole }, Action: 'sts:AssumeRole' })
    assert.doesNotMatch(agent.output(), /role\/(Reader|Writer)/, 'what works is no matter for the log')
    assert.match(await metrics(agent), /^teleport_app_preflight_failures 1$/m)

    const refused = await call('untrusted', closedRole, { mayFail: true })
    assert.match(
      refused.stderr,
      /AccessDenied: .*assumed-role\/TeleportAWSAccess\/.* sts:AssumeRole on resource: .*role\/Closed; let the role's trust policy name/,
    )
    const { lab } = stage
    lab.account().role('Closed').trust = lab.account().parseTrust({ Version: '2012-10-17', Statement: [statement] })
    const { stdout } = await call('untrusted', closedRole)
    assert.equal(stdout.trim(), 'arn:aws:sts::123456789012:assumed-role/Closed/alice')
  })

  test('says that it has no credentials, and what to do on EC2 and EKS', async () => {
    await using instance = await startInstance({
      account: stage.lab.account(),
      profile: 'TeleportAWSAccess',
      region: stage.lab.region,
      keys: new AccessKeys(systemClock),
      clock: systemClock,
      hopLimit: 1,
      clientHops: 2,
    })
    await using agent = await startAgent('one-hop', { AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.endpoint })
    const line = await logged(agent, /NoCredentialProviders: no valid providers in chain.*/)
    assert.match(line, /HttpPutResponseHopLimit/)
    const refused = await call('one-hop', 'Reader', { mayFail: true })
    assert.match(
      refused.stderr,
      /ServiceUnavailable: .*NoCredentialProviders: no valid providers in chain.*HttpPutResponseHopLimit/,
    )
  })

  test('names the STS that it cannot reach, and the proxy on the way; a user sees the same', async () => {
    using _ = stage.lab.egress.block(STS)
    await using agent = await startAgent('blocked')
    const line = await logged(agent, /no answer from STS.*/)
    const proxy = stage.lab.egressUrl.replace('http://', '')
    assert.match(
      line,
      new RegExp(`no answer from STS at ${STS}:443: cannot connect to ${STS}:443: the proxy ${proxy} answered 503`),
    )
    assert.match(line, /let the agent reach https:/)
    const refused = await call('blocked', 'Reader', { mayFail: true })
    assert.match(
      refused.stderr,
      /ServiceUnavailable: no answer from STS at sts\.us-east-1\.amazonaws\.com:443: cannot connect/,
    )
  })

  test('measures how far its clock is off', async () => {
    stage.lab.setClock(new Date(Date.now() + 7 * 60_000))
    try {
      await using agent = await startAgent('late')
      await logged(agent, /the clock of this host is (6m59|7m\d)s behind that of AWS, which refuses signatures/)
    } finally {
      stage.lab.setClock(undefined)
    }
  })

  test('says that sessions of the console will end after an hour, when its own credentials are temporary', async () => {
    await using agent = await startAgent('chained', {
      ...stage.lab.environment({ role: 'TeleportAWSAccess', sessionName: 'chained' }),
    })
    const line = await logged(agent, /AWS knows this agent as .*assumed-role\/TeleportAWSAccess\/chained.*/)
    assert.match(
      line,
      /credentials:temporary note:"with temporary credentials sessions of the AWS console end after one hour/,
    )
  })

  test('says nothing and asks nothing where the file says so', async () => {
    const seen = stage.lab.seen.length
    await using agent = await startAgent('quiet', {}, ['preflight: no'])
    await wait(500)
    assert.doesNotMatch(agent.output(), /PREFLIGHT/)
    assert.equal(stage.lab.seen.length, seen)
  })
})

suite('a host that is blocked', () => {
  test('of the service that is called is named in an error that every client shows', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    using _ = stage.lab.egress.block('s3.us-east-1.amazonaws.com')
    await alice.shell.run('tsh apps login -q --aws-role Reader awsconsole')
    const { code, stderr } = await alice.shell.run('tsh aws --app awsconsole --exec aws-v2 s3 ls --region us-east-1', {
      mayFail: true,
      env: { AWS_MAX_ATTEMPTS: '1' },
    })
    assert.notEqual(code, 0)
    assert.match(stderr, /s3\.us-east-1\.amazonaws\.com/)
    assert.match(stderr, /cannot connect|no answer from/)
  })
})

suite('an agent that is not there', () => {
  test('is named as the reason, in an error that every client shows', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const agent = await startAgent('gone', {}, ['preflight: no'])
    await alice.shell.run('tsh apps login -q --aws-role Reader gone')
    await agent.stop()
    const { code, stderr } = await alice.shell.run('tsh aws --app gone --exec aws-v2 s3 ls', {
      mayFail: true,
      env: { AWS_MAX_ATTEMPTS: '1' },
    })
    assert.notEqual(code, 0)
    assert.match(stderr, /ServiceUnavailable.*no agent of app "gone" answers through localhost:\d+/)
  })
})

suite('a program that takes the local proxy for an endpoint', () => {
  test('is told to use it as its HTTPS proxy', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    await alice.shell.run('tsh apps login -q --aws-role Reader awsconsole')
    await using proxy = alice.shell.start('tsh proxy aws --app awsconsole')
    const [, port = ''] = await proxy.waitFor(/HTTPS_PROXY="http:\/\/127\.0\.0\.1:(\d+)"/)
    const answer = http.get({ host: '127.0.0.1', port, path: '/' })
    const [response] = (await once(answer, 'response')) as [http.IncomingMessage] // node:http, "response"
    response.resume()
    assert.equal(response.statusCode, 400)
    const keys = Object.fromEntries(
      [...proxy.output().matchAll(/export (AWS_\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value ?? '']),
    )
    const { code, stderr } = await alice.shell.run(
      `aws-v2 sts get-caller-identity --region us-east-1 --endpoint-url http://127.0.0.1:${port}`,
      { mayFail: true, env: { ...keys, HTTPS_PROXY: '', NO_PROXY: '127.0.0.1' } },
    )
    assert.notEqual(code, 0)
    assert.match(stderr, /HTTPS_PROXY|HTTPS proxy/)
  })

  for (const command of ['tsh proxy aws --endpoint-url', 'tsh aws --endpoint-url sts get-caller-identity']) {
    test(`hears from "${command}" that there is no such way any more`, async () => {
      const { code, stderr } = await alice.shell.run(command, { mayFail: true })
      assert.notEqual(code, 0)
      assert.match(stderr, /ERROR: --endpoint-url is no longer supported, use HTTPS proxy instead \(default mode\)/)
    })
  }
})

test('a plug-in that trusts only the authorities of the machine reaches the message hosts of Session Manager', async () => {
  await alice.shell.run('tsh apps login -q --aws-role Reader awsconsole')
  await using proxy = alice.shell.start('tsh proxy aws --app awsconsole')
  const [, port = ''] = await proxy.waitFor(/HTTPS_PROXY="http:\/\/127\.0\.0\.1:(\d+)"/)
  for (const host of ['ssmmessages.us-east-1.amazonaws.com', 'ec2messages.us-east-1.amazonaws.com']) {
    const connect = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: `${host}:443` }).end()
    const [, tunnel] = await once(connect, 'connect')
    const socket = tls.connect({ socket: tunnel, servername: host, ca: stage.lab.egress.caPem })
    await once(socket, 'secureConnect')
    assert.equal(socket.authorized, true)
    socket.destroy()
  }
})

/** Another agent, with one app of its name, which looks ahead. */
function startAgent(
  name: string,
  env: Readonly<Record<string, string>> = {},
  lines: readonly string[] = [],
): Promise<Service> {
  return stage.cluster.startAgent({
    name,
    env: { ...stage.lab.environment('instance'), ...env },
    appLines: ['apps:', `- name: ${name}`, `  uri: ${consoleUri}`, ...lines],
  })
}

async function call(app: string, role: string, options: { readonly mayFail?: boolean } = {}): Promise<Ran> {
  await alice.shell.run(`tsh apps login -q --aws-role ${role} ${app}`)
  return alice.shell.run(`tsh aws --app ${app} ${identity}`, options)
}

/** The line of the agent's log, as soon as it is there. */
async function logged(agent: Service, pattern: RegExp): Promise<string> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await wait(50)) {
    const [line] = pattern.exec(agent.output()) ?? []
    if (line !== undefined) return line
  }
  throw new Error(`no ${pattern} in\n${agent.output()}`)
}

async function metrics(agent: Service): Promise<string> {
  const [, port] = /diagnostics are served addr:127\.0\.0\.1:(\d+)/.exec(agent.output()) ?? []
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
}
