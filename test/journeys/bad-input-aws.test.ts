/** What people are told when AWS or an agent says no: the exact words of real programs, against a cloud that checks. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { getActiveLogin } from '#client/active-login.ts'
import { findAppLogin } from '#client/app-session.ts'
import { dialApp } from '#client/dial.ts'
import { createEgress } from '#net/egress.ts'
import { findAwsCli } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, createResource, link, startAwsStage, trustOf } from './aws-stage.ts'
import { type BadInput, playRows, Transcript } from './bad-input-stage.ts'

const otherAccount = 'arn:aws:iam::210987654321:role/Reader'
const untrusted = 'arn:aws:iam::123456789012:role/Untrusted'
const reader = 'arn:aws:iam::123456789012:role/Reader'

test('whoever is refused on the way to AWS is told by whom, why, and what to do', async (t) => {
  const aws = findAwsCli() ?? requireTool(t, 'aws-v2')
  if (aws === undefined) return
  const transcript = new Transcript()
  await using stage = await startAwsStage({
    roleArns: [otherAccount, untrusted],
    agentEnv(lab) {
      const {
        AWS_SECRET_ACCESS_KEY: key = '',
        AWS_SESSION_TOKEN: token = '',
        ...rest
      } = lab.environment({
        role: 'TeleportAWSAccess',
      })
      transcript.forbid('secret key of the agent', key)
      transcript.forbid('session token of the agent', token)
      return { ...rest, AWS_SECRET_ACCESS_KEY: key, AWS_SESSION_TOKEN: token }
    },
  })
  const { lab, cluster } = stage
  lab.account().createRole({ name: 'Untrusted', trust: trustOf(lab.account().role('Reader').arn) })
  const alice = await stage.invite('alice')
  transcript.forbid('password', alice.password)
  link(alice.shell, aws, 'aws')

  await t.test('choosing a role', async (part) => playRows(part, choosingRows(alice), transcript))
  await alice.shell.run('tsh apps login --aws-role Writer awsconsole')
  await t.test('programs', async (part) => playRows(part, programRows(alice), transcript))
  await t.test('the local proxy', async () => localProxy(alice, transcript))
  await t.test('requests that tsh did not make', async () => forwardedHosts(alice, transcript))
  await t.test('AWS', async (part) => {
    {
      using _ = lab.inject({ service: 'sts', operation: 'AssumeRole', reset: true })
      await playRows(part, [unreachableRow(alice)], transcript)
    }
    await playRows(part, [await untrustedRow(alice)], transcript)
    assert.match(
      stage.agent.output(),
      /assumed-role\/TeleportAWSAccess\/lab is not authorized to perform: sts:AssumeRole/,
    )
    await alice.shell.run(`tsh apps login --aws-role ${reader} awsconsole`)
    lab.setClock(new Date(Date.now() - 20 * 60_000))
    await playRows(part, [clockRow(alice)], transcript)
    lab.setClock(undefined)
  })
  await t.test('permissions', async (part) => permissions(part, stage, alice, transcript))
  await t.test('no secret was printed or logged', () => {
    transcript.add(cluster.processes.auth.output())
    transcript.add(stage.agent.output())
    transcript.check()
  })
})

function choosingRows({ shell: as }: Person): readonly BadInput[] {
  const choose = 'hint: run "tsh apps login --aws-role ROLE awsconsole" with one of these roles'
  const row = (says: string, flag: string, error: string): BadInput => ({
    says,
    as,
    does: `tsh apps login ${flag} awsconsole`,
    sees: [`ERROR: ${error}`, choose],
    and: /^Available AWS roles:\nRole Name +Role ARN\n-+ -+\n(.*\n)*Reader +arn:aws:iam::123456789012:role\/Reader\n/m,
    code: 2,
  })
  return [
    row('none of several roles', '', '--aws-role flag is required'),
    row(
      'a name in two accounts',
      '--aws-role Reader',
      'provided role name "Reader" is ambiguous, please specify full role ARN',
    ),
    row('a role that is not granted', '--aws-role Nope', 'failed to find the "Nope" role name'),
    row('an ARN that is not granted', `--aws-role ${reader}2`, `failed to find the "${reader}2" role ARN`),
    {
      says: 'no app chosen yet',
      as,
      does: 'tsh aws s3 ls',
      sees: [
        "ERROR: please login to AWS App using 'tsh apps login' first",
        'hint: run "tsh apps ls" to see the apps, or name one with --app',
      ],
    },
  ]
}

function programRows({ shell: as }: Person): readonly BadInput[] {
  return [
    {
      says: 'no AWS CLI',
      as,
      does: 'mkdir -p few; for p in sh dirname readlink; do ln -sf "$(command -v $p)" few/$p; done; T=$(command -v tsh); PATH=few $T aws s3 ls',
      sees: [
        'ERROR: exec: "aws": executable file not found in $PATH',
        'hint: install the AWS CLI, or name another program with --exec',
      ],
    },
    {
      says: 'another program that is not there',
      as,
      does: 'tsh aws --exec terrafrom plan',
      sees: [
        'ERROR: exec: "terrafrom": executable file not found in $PATH',
        'hint: check the name or give its full path',
      ],
    },
    {
      says: 'the exit code of the program is its own',
      as,
      does: `tsh aws --exec sh -c 'exit 7'`,
      sees: [],
      code: 7,
    },
  ]
}

/** One local proxy for all rows; its exports in the environment, one of them wrong. */
async function localProxy({ shell }: Person, transcript: Transcript): Promise<void> {
  await using proxy = shell.start('tsh proxy aws')
  await proxy.waitFor(/export HTTPS_PROXY\S+/)
  const output = proxy.output()
  const env = Object.fromEntries([...output.matchAll(/export (\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]))
  const rows: readonly (readonly [says: string, env: Record<string, string>, flags: string, error: string])[] = [
    [
      'exports of an earlier proxy',
      { AWS_ACCESS_KEY_ID: 'PLACEHOLDERSTALE' },
      '',
      'An error occurred (InvalidClientTokenId) when calling the ListBuckets operation: AccessKeyID does not match: the request is signed with an access key that this proxy did not give out (export the variables that tsh printed anew, and look for keys in AWS_PROFILE, ~/.aws or the program itself)',
    ],
    [
      'half of the exports',
      { AWS_SECRET_ACCESS_KEY: 'something-else' },
      '',
      'An error occurred (SignatureDoesNotMatch) when calling the ListBuckets operation: signature verification failed (use the access key that tsh printed, and no other AWS credentials beside it)',
    ],
    [
      'the proxy as endpoint',
      {},
      `--endpoint-url ${env.HTTPS_PROXY}`,
      'An error occurred (InvalidRequest) when calling the ListBuckets operation: this is an HTTPS proxy and no endpoint: set it as HTTPS_PROXY, and leave the endpoint URL out',
    ],
  ]
  for (const [says, wrong, flags, error] of rows) {
    const ran = await shell.run(`aws s3 ls ${flags}`, { env: { ...env, ...wrong }, mayFail: true })
    transcript.add(ran.stdout + ran.stderr)
    assert.equal(ran.stderr.trim(), error, says)
    assert.notEqual(ran.code, 0)
  }
  assert.notEqual(await proxy.stop('SIGINT'), null)
}

/** Calls the agent as nothing of ours does, with the certificate of the app. */
async function forwardedHosts({ shell }: Person, transcript: Transcript): Promise<void> {
  const login = await getActiveLogin(join(shell.home, '.tsh'), { now: new Date() })
  const app = await findAppLogin(login, 'awsconsole')
  assert.ok(app)
  using egress = createEgress({})
  const says =
    'proxied requests must include X-Forwarded-Host header with an AWS service endpoint; call AWS through "tsh aws" or "tsh proxy aws", which set this'
  for (const hosts of [
    [],
    ['sts.amazonaws.com', 's3.amazonaws.com'],
    ['example.com'],
    ['sts.amazonaws.com.example.com'],
    ['sts.amazonaws.com:8443'],
  ]) {
    const socket = await dialApp({
      app: 'awsconsole',
      proxyAddr: login.profile.proxy,
      egress,
      serverName: app.route.serverName,
      certificate: app.certificatePem,
      key: app.privateKeyPem,
      hostAuthorities: login.hostAuthorities,
    })
    const headers = ['Host', 'localhost', ...hosts.flatMap((host) => ['X-Forwarded-Host', host])]
    const request = https.request({ createConnection: () => socket, path: '/', headers })
    request.end()
    const [response] = await once(request, 'response')
    const body = await text(response)
    transcript.add(body)
    socket.destroy()
    assert.equal(response.statusCode, 400, `${hosts}`)
    assert.ok(body.replaceAll('\\"', '"').includes(says), body)
  }
}

async function untrustedRow({ shell: as }: Person): Promise<BadInput> {
  await as.run('tsh apps login --aws-role Untrusted awsconsole')
  return {
    says: 'a role that does not trust the agent',
    as,
    does: 'tsh aws s3 ls',
    sees: [
      `ERROR: awsconsole: AccessDenied: User: arn:aws:sts::123456789012:assumed-role/TeleportAWSAccess/lab is not authorized to perform: sts:AssumeRole on resource: ${untrusted}; let the role's trust policy name the agent's own principal, which stands behind "User:", and that principal's policy allow sts:AssumeRole on the role; check the external id too`,
    ],
    and: /An error occurred \(AccessDenied\) when calling the ListBuckets operation: AccessDenied: User: arn:aws:sts:/,
    code: 'aws',
  }
}

function unreachableRow({ shell: as }: Person): BadInput {
  return {
    says: 'STS cannot be reached',
    as,
    env: { AWS_MAX_ATTEMPTS: '1' },
    does: 'tsh aws s3 ls',
    sees: [
      'ERROR: awsconsole: no answer from STS at sts.us-east-1.amazonaws.com:443: TimeoutError: socket hang up; let the agent reach https://sts.us-east-1.amazonaws.com, through its HTTPS_PROXY if it needs one, then try again',
    ],
    and: /An error occurred \(ServiceUnavailable\) when calling the ListBuckets operation .*: no answer from STS at/,
    code: 'aws',
  }
}

function clockRow({ shell: as }: Person): BadInput {
  return {
    says: 'an agent whose clock is ahead',
    as,
    env: { AWS_MAX_ATTEMPTS: '1' },
    does: 'tsh aws s3 ls',
    sees: [],
    and: /An error occurred \(RequestTimeTooSkewed\) .*The difference between the request time and the current time is too large/,
    code: 'aws',
  }
}

async function permissions(
  part: { test(name: string, work: () => Promise<void>): Promise<void> },
  { cluster: { admin } }: AwsStage,
  { shell: as }: Person,
  transcript: Transcript,
): Promise<void> {
  const role = (name: string, spec: object): Promise<void> =>
    createResource(admin, { kind: 'role', version: 'v7', metadata: { name }, spec })
  const row = (
    says: string,
    sees: readonly string[],
    does = 'tsh aws s3 ls',
    code: number | 'aws' = 'aws',
  ): Promise<void> => playRows(part, [{ says, as, does, sees, code }], transcript)

  const denied = 'ERROR: awsconsole: '
  const notGranted = `${denied}access to app "awsconsole" is denied: none of your roles whose allow.app_labels match this app lists this ARN in allow.aws_role_arns; if you were given a role since you signed in, sign in again with "tsh login"; else ask an administrator for one`

  await admin.run('tctl lock --user=alice --message="call the help desk" --ttl=1h')
  await row('a user who is locked', [
    `${denied}lock targeting User:"alice" is in force: call the help desk; ask your administrator why`,
  ])
  await row(
    'a user who is locked, at the cluster',
    [
      'ERROR: lock targeting User:"alice" is in force: call the help desk',
      'hint: ask an administrator what the lock is for',
    ],
    'tsh apps ls',
    1,
  )
  await admin.run('tctl rm $(tctl get locks --format json | sed -n \'s/.*"name": "\\(.*\\)".*/lock\\/\\1/p\')')

  await role('aws-access', { allow: { app_labels: { '*': '*' }, aws_role_arns: [otherAccount] } })
  await row('a role that was narrowed since', [notGranted])
  await role('aws-new', { allow: { app_labels: { '*': '*' }, aws_role_arns: [reader] } })
  await admin.run('tctl users update alice --set-roles=access,aws-access,aws-new')
  await row('a role that was given since the login', [notGranted])
  await role('aws-access', { deny: { app_labels: { '*': '*' } } })
  await row('a role that denies', [
    `${denied}access to app "awsconsole" is denied: one of your roles denies it; ask an administrator which of your roles it is`,
  ])
  await row(
    'a role that denies, at the cluster',
    [
      'ERROR: app "awsconsole" not found, use `tsh apps ls` to see registered apps',
      'hint: if it should be there, ask for a role whose app_labels match it, then run "tsh logout" and log in again',
    ],
    'tsh apps login --aws-role Reader awsconsole',
    1,
  )
}
