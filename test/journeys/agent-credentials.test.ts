/** Where an agent's own AWS credentials come from, whose session it opens with them, and how it gets out. */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { systemClock } from '#clock.ts'
import type { AwsLab } from '#lab/aws/cloud.ts'
import { AccessKeys } from '#lab/aws/credentials.ts'
import { startInstance } from '#lab/aws/imds.ts'
import { checkout, type Ran } from '#test/shell.ts'
import type { Person, Service } from '#tour/cluster.ts'
import { type AwsStage, consoleUri, startAwsStage, trustOf } from './aws-stage.ts'

const ACCOUNT = '123456789012'
const sharedRole = `arn:aws:iam::${ACCOUNT}:role/Shared`
const guardedRole = `arn:aws:iam::${ACCOUNT}:role/Guarded`
const identity = `--exec "${process.execPath}" "${checkout}test/journeys/aws-sdk-calls.ts" identity`

let stage: AwsStage
let alice: Person

before(async () => {
  const externalId = ['  aws:', '    external_id: open-sesame']
  stage = await startAwsStage({
    appLines: ['apps:', ...app('awsconsole'), ...app('guarded', externalId), ...app('unguarded')],
    roleArns: [sharedRole, guardedRole],
  })
  const { lab } = stage
  const account = lab.account()
  // Whoever of the account may assume roles at all may assume this one: the rows differ in who asks.
  account.createRole({ name: 'Shared', trust: trustOf(ACCOUNT), attach: ['ReadOnlyAccess'] })
  account.createRole({
    name: 'Guarded',
    trust: trustOf(account.role('TeleportAWSAccess').arn, { StringEquals: { 'sts:ExternalId': 'open-sesame' } }),
    attach: ['ReadOnlyAccess'],
  })
  account.createUser('agent-user', { attach: ['AssumeRole'] })
  alice = await stage.invite('alice')
})
after(() => stage[Symbol.asyncDispose]())

suite('an agent takes its AWS credentials from', () => {
  interface Source {
    readonly says: string
    /** Variables of the agent's host beside the way out; may write into its home. */
    readonly env: (home: string) => Readonly<Record<string, string>>
    /** Who asks STS for the user's role. */
    readonly asks: string
  }
  const sources: readonly Source[] = [
    {
      says: 'keys in the environment',
      env: () => keysOf(stage.lab.environment({ user: 'agent-user' })),
      asks: `arn:aws:iam::${ACCOUNT}:user/agent-user`,
    },
    {
      says: 'temporary keys in the environment',
      env: () => keysOf(stage.lab.environment({ role: 'TeleportAWSAccess', sessionName: 'from-vault' })),
      asks: `arn:aws:sts::${ACCOUNT}:assumed-role/TeleportAWSAccess/from-vault`,
    },
    {
      says: 'the profile AWS_PROFILE of the shared credentials file',
      env: (home) => {
        writeAws(home, 'credentials', {
          default: { aws_access_key_id: 'x', aws_secret_access_key: 'y' },
          lab: userKeys(),
        })
        return { AWS_PROFILE: 'lab' }
      },
      asks: `arn:aws:iam::${ACCOUNT}:user/agent-user`,
    },
    {
      says: 'a profile of the configuration file that assumes a role with another profile',
      env: (home) => {
        writeAws(home, 'credentials', { base: userKeys() })
        const role_arn = stage.lab.account().role('ByProfile').arn
        writeAws(home, 'config', {
          'profile chained': { role_arn, source_profile: 'base', role_session_name: 'agent-1' },
        })
        return { AWS_PROFILE: 'chained' }
      },
      asks: `arn:aws:sts::${ACCOUNT}:assumed-role/ByProfile/agent-1`,
    },
    {
      says: 'the web identity of a Kubernetes service account (IRSA)',
      env: (home) => webIdentity(stage.lab, home),
      asks: `arn:aws:sts::${ACCOUNT}:assumed-role/OnEks/agent-pod`,
    },
    {
      says: 'the metadata service of its instance (IMDSv2)',
      env: () => ({ AWS_EC2_METADATA_SERVICE_ENDPOINT: stage.lab.instance.endpoint }),
      asks: `arn:aws:sts::${ACCOUNT}:assumed-role/TeleportAWSAccess/INSTANCE`,
    },
  ]
  before(() => {
    const account = stage.lab.account()
    account.createRole({ name: 'ByProfile', trust: trustOf(account.user('agent-user').arn), attach: ['AssumeRole'] })
  })

  sources.forEach(({ says, env, asks }, index) => {
    test(says, async () => {
      const name = `source-${index}`
      await using agent = await startAgent(name, env)
      const ran = await call(alice, name, sharedRole)
      assert.equal(ran.stdout.trim(), `arn:aws:sts::${ACCOUNT}:assumed-role/Shared/alice`, ran.stderr + agent.output())
      const last = stage.lab.assumed.at(-1)
      assert.equal(last?.caller, asks.replace('INSTANCE', stage.lab.instance.instanceId))
      assert.equal(last?.sessionName, 'alice')
    })
  })

  test('the credential endpoint of its container', async () => {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = stage.lab.environment({
      role: 'TeleportAWSAccess',
      sessionName: 'pod-identity',
    })
    const answer = {
      AccessKeyId: AWS_ACCESS_KEY_ID,
      SecretAccessKey: AWS_SECRET_ACCESS_KEY,
      Token: AWS_SESSION_TOKEN,
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    }
    const server = http.createServer((request, response) => {
      const isAllowed = request.headers.authorization === 'token-of-the-pod'
      response.writeHead(isAllowed ? 200 : 401, { 'content-type': 'application/json' })
      response.end(isAllowed ? JSON.stringify(answer) : '{}')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    try {
      await using _ = await startAgent('container', () => ({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'token-of-the-pod',
      }))
      await call(alice, 'container', sharedRole)
      assert.match(stage.lab.assumed.at(-1)?.caller ?? '', /TeleportAWSAccess\/pod-identity$/)
    } finally {
      server.close()
    }
  })

  test('nowhere, when the metadata service is one hop too far: the log says what to do, the user gets an error of AWS', async () => {
    await using instance = await startInstance({
      account: stage.lab.account(),
      profile: 'TeleportAWSAccess',
      region: stage.lab.region,
      keys: new AccessKeys(systemClock),
      clock: systemClock,
      hopLimit: 1,
      clientHops: 2,
    })
    await using agent = await startAgent('one-hop', () => ({ AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.endpoint }))
    const { code, stderr } = await call(alice, 'one-hop', sharedRole, { mayFail: true })
    assert.equal(code, 1)
    assert.match(agent.output(), /NoCredentialProviders: no valid providers in chain.*/)
    assert.match(agent.output(), /HttpPutResponseHopLimit/)
    assert.match(stderr, /ServiceUnavailable: .*NoCredentialProviders: no valid providers in chain/)
  })
})

suite("the session is the user's", () => {
  const long = 'a-user-name-that-an-identity-provider-made-from-a-very-long-e-mail-address'
  const rows: readonly (readonly [user: string, session: string])[] = [
    ['bob@example.com', 'bob@example.com'],
    ['weird name/1', `weird-name-1-${sha1('weird name/1')}`],
    [long, `${long.slice(0, 47)}-${sha1(long)}`],
    ['jürgen', `j-rgen-${sha1('jürgen')}`],
    ['z', `z-${sha1('z')}`],
  ]
  for (const [user, session] of rows) {
    test(`of "${user}", as ${session}`, async () => {
      const person = await stage.invite(user)
      const { stdout } = await call(person, 'awsconsole', sharedRole)
      assert.equal(stdout.trim(), `arn:aws:sts::${ACCOUNT}:assumed-role/Shared/${session}`)
      const events = await stage.cluster.admin.run(
        `tctl audit ls --type app.session.request --last 1m --limit 1 --format json`,
      )
      const [event]: readonly Record<string, unknown>[] = JSON.parse(events.stdout)
      assert.equal(event?.user, user)
    })
  }

  test('and is opened once for all that they ask for, also at the same time', async () => {
    const assumed = stage.lab.assumed.length
    const person = await stage.invite('carol')
    await person.shell.run(`tsh apps login -q --aws-role ${sharedRole} awsconsole`)
    const asked = Array.from({ length: 4 }, () => person.shell.run(`tsh aws ${identity}`))
    for (const { stdout } of await Promise.all(asked)) assert.match(stdout, /Shared\/carol/)
    assert.equal(stage.lab.assumed.length - assumed, 1)
  })

  test('for as long as the shortest session is, with no tags', () => {
    const { durationSeconds, tags, sourceIdentity } = stage.lab.assumed.at(-1) ?? {}
    assert.deepEqual(
      { durationSeconds, tags, sourceIdentity },
      { durationSeconds: 900, tags: {}, sourceIdentity: undefined },
    )
  })

  test("with the app's external id, and without it AWS's refusal reaches the user", async () => {
    const { stdout } = await call(alice, 'guarded', guardedRole)
    assert.match(stdout, /assumed-role\/Guarded\/alice/)
    assert.equal(stage.lab.assumed.at(-1)?.externalId, 'open-sesame')
    const refused = await call(alice, 'unguarded', guardedRole, { mayFail: true })
    assert.equal(refused.code, 1)
    assert.match(
      refused.stderr,
      /AccessDenied: .*assumed-role\/TeleportAWSAccess\/.* is not authorized to perform: sts:AssumeRole on resource: .*role\/Guarded/,
    )
  })

  test('from the STS of the region that they ask in', async () => {
    const person = await stage.invite('dave')
    await call(person, 'awsconsole', sharedRole, { env: { AWS_REGION: 'eu-west-1' } })
    const asked = stage.lab.seen.filter(({ operation }) => operation === 'AssumeRole').at(-1)
    assert.equal(asked?.host, 'sts.eu-west-1.amazonaws.com')
    assert.equal(asked?.region, 'eu-west-1')
  })
})

suite('an agent gets out', () => {
  const instance = (): Record<string, string> => ({
    AWS_EC2_METADATA_SERVICE_ENDPOINT: stage.lab.instance.endpoint,
  })
  const loopback = (): number => stage.lab.egress.connections.filter(({ outcome }) => outcome === 'loopback').length

  test('through HTTPS_PROXY to AWS, and directly to what NO_PROXY names', async () => {
    const [aws, local] = [stage.lab.egress.connections.length, loopback()]
    await using _ = await startAgent('no-proxy', instance)
    await call(alice, 'no-proxy', sharedRole)
    const hosts = stage.lab.egress.connections.slice(aws).map(({ host }) => host)
    assert.ok(hosts.includes('sts.us-east-1.amazonaws.com'), hosts.join(' '))
    assert.equal(loopback(), local, 'the cluster is reached directly')
  })

  test('not to a proxy that shows a certificate of an authority it does not know', async () => {
    await using agent = await startAgent('no-ca', () => ({
      ...instance(),
      NODE_EXTRA_CA_CERTS: '',
      SSL_CERT_FILE: '',
      AWS_CA_BUNDLE: '',
    }))
    const { code, stderr } = await call(alice, 'no-ca', sharedRole, { mayFail: true })
    assert.equal(code, 1)
    assert.match(stderr, /ServiceUnavailable: .*certificate/)
    assert.match(agent.output(), /certificate/)
  })

  test('to AWS under an authority that only SSL_CERT_FILE names', async () => {
    await using _ = await startAgent('ssl-cert-file', () => ({ ...instance(), NODE_EXTRA_CA_CERTS: '' }))
    await call(alice, 'ssl-cert-file', sharedRole)
  })

  test('not to a host that the proxy blocks, and says which', async () => {
    using _ = stage.lab.egress.block('sts.us-east-1.amazonaws.com')
    await using agent = await startAgent('blocked', instance)
    const { code, stderr } = await call(alice, 'blocked', sharedRole, { mayFail: true })
    assert.equal(code, 1)
    assert.match(
      stderr,
      /ServiceUnavailable: .*cannot connect to sts\.us-east-1\.amazonaws\.com:443: the proxy .* answered 503/,
    )
    assert.match(agent.output(), /sts\.us-east-1\.amazonaws\.com/)
  })
})

/** Signs in to the app and asks AWS who one is there. */
async function call(
  { shell }: Person,
  appName: string,
  role: string,
  options: { readonly mayFail?: boolean; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ran> {
  await shell.run(`tsh apps login -q --aws-role ${role} ${appName}`)
  return shell.run(`tsh aws --app ${appName} ${identity}`, options)
}

/** An agent with one app, both of that name, on a host that has the way out and `env`. */
async function startAgent(name: string, env: (home: string) => Readonly<Record<string, string>>): Promise<Service> {
  const home = join(stage.cluster.dir, `host-${name}`)
  mkdirSync(home, { recursive: true })
  const { AWS_EC2_METADATA_DISABLED: _, ...wayOut } = stage.lab.environment('none')
  return stage.cluster.startAgent({
    name,
    env: { ...wayOut, ...env(home) },
    appLines: ['apps:', ...app(name), 'preflight: no'],
  })
}

function app(name: string, more: readonly string[] = []): readonly string[] {
  return [`- name: ${name}`, `  uri: ${consoleUri}`, ...more]
}

function keysOf(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => /^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)$/.test(name)),
  )
}

function userKeys(): Record<string, string> {
  const keys = keysOf(stage.lab.environment({ user: 'agent-user' }))
  return Object.fromEntries(Object.entries(keys).map(([name, value]) => [name.toLowerCase(), value]))
}

/** `~/.aws/credentials` or `~/.aws/config`. */
function writeAws(
  home: string,
  file: string,
  sections: Readonly<Record<string, Readonly<Record<string, string>>>>,
): void {
  mkdirSync(join(home, '.aws'), { recursive: true })
  const text = Object.entries(sections).flatMap(([section, values]) => [
    `[${section}]`,
    ...Object.entries(values).map(([name, value]) => `${name} = ${value}`),
  ])
  writeFileSync(join(home, '.aws', file), `${text.join('\n')}\n`)
}

/** What the webhook of EKS gives a pod; the token is of a provider that the role `OnEks` trusts. */
function webIdentity(lab: AwsLab, home: string): Record<string, string> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const iss = 'https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE'
  const sub = 'system:serviceaccount:teleport-agent:teleport-kube-agent'
  const provider = lab
    .account()
    .createOidcProvider(iss, { clientIds: ['sts.amazonaws.com'], keys: [publicKey.export({ format: 'jwk' })] })
  const Condition = { StringEquals: { [`${provider.url}:sub`]: sub, [`${provider.url}:aud`]: 'sts.amazonaws.com' } }
  const Principal = { Federated: provider.arn }
  const Statement = [{ Effect: 'Allow', Principal, Action: 'sts:AssumeRoleWithWebIdentity', Condition }]
  const role = lab
    .account()
    .createRole({ name: 'OnEks', trust: { Version: '2012-10-17', Statement }, attach: ['AssumeRole'] })
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 600
  const input = `${part({ alg: 'ES256' })}.${part({ iss, sub, aud: 'sts.amazonaws.com', exp })}`
  const signature = sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  writeFileSync(join(home, 'token'), `${input}.${signature.toString('base64url')}`)
  return {
    AWS_ROLE_ARN: role.arn,
    AWS_WEB_IDENTITY_TOKEN_FILE: join(home, 'token'),
    AWS_ROLE_SESSION_NAME: 'agent-pod',
  }
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex').slice(0, 16)
}
