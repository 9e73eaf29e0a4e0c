/** `tsh aws` and `tsh proxy aws` as real processes, against a TLS server that stands where the agent is. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import type tls from 'node:tls'
import { answerHeaders } from '#aws/forwarding.ts'
import { issueServedNameCertificate } from '#ca/issue-host.ts'
import { decodeUser } from '#client/active-login.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import {
  hourMs,
  sampleAuthority,
  sampleIdentity,
  samplePair,
  sampleRoute,
  storeSampleLogin,
  temporaryDirectory,
} from '#test/sample-login.ts'
import { openShell } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'

const awsRoleArn = 'arn:aws:iam::123456789012:role/Reader'
const caller =
  '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/Reader/alice</Arn><UserId>AROA:alice</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>'

/** A home with logins to AWS apps, and a server that answers for their agents. */
async function setUp({
  apps = ['awsconsole'],
  expires = new Date(Date.now() + hourMs),
}: {
  apps?: readonly string[]
  expires?: Date
} = {}) {
  const stack = new AsyncDisposableStack()
  const home = stack.use(await temporaryDirectory())
  const hosts = sampleAuthority('hosts')
  const key = generateKeyPair()
  const { serverName } = sampleRoute('any')
  const served = issueServedNameCertificate(hosts, {
    serverName,
    publicKey: key.publicKey,
    now: new Date(),
    ttlMs: hourMs,
  })
  const asked: { app: string; host: string; url: string }[] = []
  const agent = https.createServer(
    {
      cert: served.pem,
      key: privateKeyPem(key.privateKey),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    (request, response) => {
      const certificate = (request.socket as tls.TLSSocket).getPeerX509Certificate() // the server is a TLS server
      const app = decodeUser(certificate?.toString() ?? '').routeToApp?.name ?? ''
      asked.push({ app, host: String(request.headers['x-forwarded-host']), url: request.url ?? '' })
      request.resume()
      if (request.method === 'HEAD')
        response.writeHead(403, { [answerHeaders.apiError]: 'no%20role%20of%20yours%20allows%20it' }).end()
      else response.writeHead(200, { 'content-type': 'text/xml' }).end(caller)
    },
  )
  agent.listen(0, '127.0.0.1')
  await once(agent, 'listening')
  stack.defer(() => {
    agent.closeAllConnections()
    agent.close()
  })
  const proxy = { host: '127.0.0.1', port: (agent.address() as AddressInfo).port }
  const tshHome = `${home.path}/.tsh`
  const { keys } = await storeSampleLogin(tshHome, sampleIdentity(), { name: '127.0.0.1', proxy })
  await keys.writeHostAuthorities('example', hosts.certificatePem)
  for (const app of apps) {
    const identity = sampleIdentity({
      expires: new Date(Math.floor(expires.getTime() / 1000) * 1000),
      routeToApp: sampleRoute(app, { awsRoleArn }),
    })
    await keys.writeApp('example', app, samplePair(identity))
  }
  const shell = openShell({
    home: home.path,
    env: { AWS_REGION: 'us-east-1', AWS_DEFAULT_REGION: 'us-east-1', AWS_PAGER: '', AWS_MAX_ATTEMPTS: '1' },
  })
  return { shell, keys, asked, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

suite('tsh aws', () => {
  const cli = (context: TestContext): string | undefined => requireTool(context, 'aws-v1')

  test('runs the AWS CLI through the agent of the app, over mutual TLS', async (context) => {
    const aws = cli(context)
    if (aws === undefined) return
    await using site = await setUp()
    const { stdout, stderr } = await site.shell.run(`tsh aws --exec ${aws} sts get-caller-identity`, {
      env: { AWS_PROFILE: 'other' },
    })
    assert.match(stdout, /assumed-role\/Reader\/alice/)
    assert.equal(stderr, 'WARNING: not passed on, because the AWS role comes from the app login: AWS_PROFILE\n')
    assert.deepEqual(site.asked, [{ app: 'awsconsole', host: 'sts.us-east-1.amazonaws.com', url: '/' }])
    assert.equal((await stat(site.keys.appPaths('example', 'awsconsole').localCa)).mode & 0o777, 0o600)
  })

  test('tells the reason of a refusal where the AWS CLI shows only a status', async (context) => {
    const aws = cli(context)
    if (aws === undefined) return
    await using site = await setUp()
    const { code, stderr } = await site.shell.run(`tsh aws --exec ${aws} s3api head-object --bucket reports --key k`, {
      mayFail: true,
    })
    assert.notEqual(code, 0)
    assert.match(stderr, /^ERROR: awsconsole: no role of yours allows it$/m)
    assert.match(stderr, /\(403\)/)
  })

  test('passes on arguments and the exit code of the program', async () => {
    await using site = await setUp()
    const { code, stdout } = await site.shell.run(
      `tsh aws --exec sh -c 'echo "$AWS_ACCESS_KEY_ID $0 $1"; exit 9' --app --debug`,
      { mayFail: true },
    )
    assert.equal(code, 9)
    assert.match(stdout, /^PLACEHOLDER[A-Z2-7]{16} --app --debug\n$/)
  })

  test('asks which app is meant, and takes the one that is named', async () => {
    await using site = await setUp({ apps: ['a', 'b'] })
    const { code, stderr } = await site.shell.run('tsh aws --exec true', { mayFail: true })
    assert.equal(code, 2)
    assert.match(
      stderr,
      /^ERROR: multiple apps are available \(a, b\), please specify one via CLI argument\nhint: add --app a, for example\n/,
    )
    await site.shell.run('tsh aws --app b --exec true')
  })

  test('says what to do when the program is missing', async () => {
    await using site = await setUp()
    const { code, stderr } = await site.shell.run('tsh aws --exec no-such-program x', { mayFail: true })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: exec: "no-such-program": executable file not found in \$PATH\nhint: /)
  })
})

suite('tsh proxy aws', () => {
  test('prints exports that make a client in another shell work, until it is interrupted', async (context) => {
    const aws = requireTool(context, 'aws-v2')
    if (aws === undefined) return
    await using site = await setUp()
    await using proxy = site.shell.start('tsh proxy aws')
    await proxy.waitFor(/HTTPS_PROXY=.*\n/)
    assert.match(
      proxy.output(),
      /^\nStarted AWS proxy on (http:\/\/127\.0\.0\.1:\d+)\.\nTo avoid port randomization, you can choose the listening port using the --port flag\.\n\nUse the following credentials and HTTPS proxy setting to connect to the proxy:\n {2}export AWS_ACCESS_KEY_ID="PLACEHOLDER[A-Z2-7]{16}"\n {2}export AWS_SECRET_ACCESS_KEY="[\w-]{40}"\n {2}export AWS_CA_BUNDLE=".*-localca\.pem"\n {2}export HTTPS_PROXY="\1"\n$/,
    )
    const exports = proxy
      .output()
      .match(/export .*/g)
      ?.join('\n')
    const { stdout } = await site.shell.run(`${exports}\n${aws} sts get-caller-identity`)
    assert.match(stdout, /assumed-role\/Reader\/alice/)
    assert.equal(await proxy.stop('SIGINT'), 0)
  })

  test('serves several apps, each as a profile', async (context) => {
    const aws = requireTool(context, 'aws-v1')
    if (aws === undefined) return
    await using site = await setUp({ apps: ['staging', 'production'] })
    await using proxy = site.shell.start('tsh proxy aws --app staging --app production')
    await proxy.waitFor(/--profile production .*\n/)
    const exports = proxy
      .output()
      .match(/export .*/g)
      ?.join('\n')
    for (const app of ['production', 'staging'])
      await site.shell.run(`${exports}\n${aws} --profile ${app} sts get-caller-identity`)
    assert.deepEqual(
      site.asked.map(({ app }) => app),
      ['production', 'staging'],
    )
    const file = join(site.shell.home, '.aws', 'config')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.match(
      await readFile(file, 'utf8'),
      /^; Do not edit\. Section managed by Teleport\. Generated for accessing staging\n\[profile staging\]\naws_access_key_id = PLACEHOLDER/,
    )
    assert.equal(await proxy.stop('SIGINT'), 0)
    await site.shell.run('tsh proxy aws --undo')
    assert.equal(await readFile(file, 'utf8'), '')
  })

  test('refuses the endpoint mode that is gone', async () => {
    await using site = await setUp()
    const { code, stderr } = await site.shell.run('tsh proxy aws --endpoint-url', { mayFail: true })
    assert.equal(code, 2)
    assert.match(stderr, /^ERROR: --endpoint-url is no longer supported, use HTTPS proxy instead \(default mode\)\n/)
  })
})
