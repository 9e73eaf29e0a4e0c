/** The stock clients, each doing the same through `tsh aws`: AWS CLI v1 and v2, boto3 and the SDK for JavaScript. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, before, suite, type TestContext, test } from 'node:test'
import { checkout, openShell, type Ran, type Shell } from '#test/shell.ts'
import { findTool, requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, createResource, startAwsStage, trustOf } from './aws-stage.ts'

/** What boto3 does, in the words of `aws-sdk-calls.ts`. */
const boto3Calls = `
import sys, boto3
from botocore.exceptions import ClientError
action, *rest = sys.argv[1:]
s3 = boto3.client('s3')
try:
    if action == 'identity':
        print(boto3.client('sts').get_caller_identity()['Arn'])
    elif action == 'put':
        s3.upload_file(rest[0], 'reports', rest[1])
    elif action == 'get':
        s3.download_file('reports', rest[0], rest[1])
    elif action == 'roles':
        pages = boto3.client('iam').get_paginator('list_roles').paginate(PaginationConfig={'PageSize': 1})
        print(' '.join(role['RoleName'] for page in pages for role in page['Roles']))
    elif action == 'deny':
        boto3.client('iam').create_user(UserName='eve')
    elif action == 'checksum':
        body = b'a' * 8192 + b'b'
        put = s3.put_object(Bucket='reports', Key=rest[1], Body=body, ChecksumAlgorithm=rest[0])
        got = s3.get_object(Bucket='reports', Key=rest[1], ChecksumMode='ENABLED')
        print(len(got['Body'].read()), put['Checksum' + rest[0]], got['Checksum' + rest[0]])
    elif action == 'missing':
        boto3.client('sqs').list_queues()
except ClientError as error:
    sys.exit(str(error))
`

const cli = {
  identity: 'sts get-caller-identity --query Arn --output text',
  put: 's3 cp --no-progress FIRST s3://reports/SECOND',
  get: 's3 cp --no-progress s3://reports/FIRST SECOND',
  roles: 'iam list-roles --page-size 1 --query Roles[].RoleName --output text',
  deny: 'iam create-user --user-name eve',
  missing: 'sqs list-queues',
}
type Action = keyof typeof cli | 'checksum'

interface Client {
  readonly tool: string
  /** What stands behind `tsh aws` for an action. */
  readonly command: (action: Action, first?: string, second?: string) => string
  /** Algorithms that it has without extras; those of a CLI are in `aws-clients-s3.test.ts`. */
  readonly checksums: readonly string[]
  /** How it sends the body of a large upload. */
  readonly payloadMode: RegExp
}

const aws = (tool: string): Client['command'] => {
  return (action, first = '', second = '') =>
    `--exec ${tool} ${action === 'checksum' ? '' : cli[action].replace('FIRST', first).replace('SECOND', second)}`
}
const clients: readonly Client[] = [
  { tool: 'aws-v1', command: aws('aws-v1'), checksums: [], payloadMode: /^STREAMING-UNSIGNED-PAYLOAD-TRAILER$/ },
  { tool: 'aws-v2', command: aws('aws-v2'), checksums: [], payloadMode: /^UNSIGNED-PAYLOAD$/ },
  {
    tool: 'python-boto3',
    command: (...words) => `--exec python-boto3 calls.py ${words.join(' ')}`,
    checksums: ['CRC32', 'SHA1', 'SHA256'],
    payloadMode: /^STREAMING-UNSIGNED-PAYLOAD-TRAILER$/,
  },
  {
    tool: 'the SDK for JavaScript',
    command: (...words) =>
      `--exec "${process.execPath}" "${checkout}test/journeys/aws-sdk-calls.ts" ${words.join(' ')}`,
    checksums: ['CRC32', 'CRC32C', 'SHA1', 'SHA256', 'CRC64NVME'],
    payloadMode: /^STREAMING-UNSIGNED-PAYLOAD-TRAILER$/,
  },
]

suite('stock clients through tsh aws', () => {
  let stage: AwsStage
  let alice: Person
  let sent: string
  before(async () => {
    stage = await startAwsStage()
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login --quiet --aws-role Writer awsconsole')
    writeFileSync(join(alice.shell.home, 'calls.py'), boto3Calls)
    writeFileSync(join(alice.shell.home, 'file'), randomBytes(64 * 1024 * 1024))
    sent = await sha256(join(alice.shell.home, 'file'))
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const { tool, command, checksums, payloadMode } of clients) {
    suite(tool, () => {
      const need = (t: TestContext): boolean => tool.startsWith('the ') || requireTool(t, tool) !== undefined
      const run = (action: Action, ...words: string[]): Promise<Ran> =>
        alice.shell.run(`tsh aws ${command(action, ...words)}`)

      test('is the role, in a session named after the user', async (t) => {
        if (!need(t)) return
        const { stdout } = await run('identity')
        assert.equal(stdout.trim(), 'arn:aws:sts::123456789012:assumed-role/Writer/alice')
      })

      test('copies 64 MiB there and back, byte for byte', async (t) => {
        if (!need(t)) return
        const key = encodeURIComponent(tool)
        const seen = stage.lab.seen.length
        await run('put', 'file', key)
        await run('get', key, 'back')
        assert.equal(await sha256(join(alice.shell.home, 'back')), sent)
        const bodies = stage.lab.seen
          .slice(seen)
          .filter(({ operation }) => operation === 'PutObject' || operation === 'UploadPart')
        assert.ok(bodies.length > 0)
        for (const body of bodies) assert.match(body.payloadMode, payloadMode)
      })

      test('reads page after page', async (t) => {
        if (!need(t)) return
        const seen = stage.lab.seen.length
        const { stdout } = await run('roles')
        assert.deepEqual(stdout.trim().split(/\s+/), [...stage.lab.account().roles.keys()].sort())
        assert.equal(stage.lab.seen.length - seen, stage.lab.account().roles.size)
      })

      for (const algorithm of checksums) {
        test(`sends and checks ${algorithm}`, async (t) => {
          if (!need(t)) return
          const { stdout } = await run('checksum', algorithm, `checksum-${algorithm}`)
          const [size, stored, read] = stdout.trim().split(' ')
          assert.equal(size, '8193')
          assert.ok(stored)
          assert.equal(read, stored)
        })
      }

      if (tool.startsWith('the ')) return // of its packages the checkout has none for a service that the lab lacks
      test('gets a clean error from a service that is not there', async (t) => {
        if (!need(t)) return
        const { code, stdout, stderr } = await alice.shell.run(`tsh aws ${command('missing')}`, { mayFail: true })
        assert.match(
          stderr,
          /An error occurred \((InvalidAction|UnknownOperationException)\) when calling the ListQueues/,
        )
        assert.notEqual(code, 0)
        assert.equal(stdout, '')
      })
    })
  }

  suite("what the role's policy does not allow", () => {
    before(() => alice.shell.run('tsh apps login --quiet --aws-role Reader awsconsole'))

    for (const { tool, command } of clients) {
      test(`${tool} gets AWS's own AccessDenied, and it is in the audit log`, async (t) => {
        if (!tool.startsWith('the ') && requireTool(t, tool) === undefined) return
        const direct = openShell({
          home: alice.shell.home,
          env: stage.lab.environment({ role: 'Reader', sessionName: 'alice' }),
        })
        const began = new Date().toISOString()
        const through = await alice.shell.run(`tsh aws ${command('deny')}`, { mayFail: true })
        const alone = await direct.run(command('deny').replace('--exec ', ''), { mayFail: true })
        assert.match(
          through.stderr,
          /AccessDenied.*assumed-role\/Reader\/alice is not authorized to perform: iam:CreateUser/,
        )
        assert.equal(through.stderr, alone.stderr)
        assert.equal(through.code, alone.code)
        await audited(stage.cluster.admin, began, {
          aws_operation: 'iam:CreateUser',
          user: 'alice',
          aws_role_arn: 'arn:aws:iam::123456789012:role/Reader',
          app_name: 'awsconsole',
          decision: 'allowed', // by us: it was AWS that refused
          status_code: 403,
        })
      })
    }

    test('and what it allows is there as well', async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      const began = new Date().toISOString()
      const { stdout } = await alice.shell.run('tsh aws --exec aws-v2 s3 ls')
      assert.match(stdout, /reports$/m)
      await audited(stage.cluster.admin, began, { aws_operation: 's3:ListBuckets', user: 'alice', status_code: 200 })
    })
  })

  test('a role that Teleport does not grant is refused before AWS hears of it', async () => {
    const assumed = stage.lab.assumed.length
    const { code, stderr } = await alice.shell.run('tsh apps login --aws-role ExampleReadOnlyAccess awsconsole', {
      mayFail: true,
    })
    assert.equal(code, 2)
    assert.match(stderr, /ERROR: failed to find the "ExampleReadOnlyAccess" role name/)
    assert.equal(stage.lab.assumed.length, assumed)
  })

  test('a role that is assumed from there works as a profile of the CLI does, and the audit log names it', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const account = stage.lab.account()
    account.createRole({ name: 'Further', trust: trustOf(account.role('Reader').arn) })
    account.createPolicy('Chain', {
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Resource: '*' }],
    })
    account.role('Reader').attached.add(account.policyArn('Chain'))
    const role_arn = account.role('Further').arn
    const profile = `[profile further]\nrole_arn = ${role_arn}\ncredential_source = Environment\nrole_session_name = from-alice\n`
    writeFileSync(join(alice.shell.home, 'further'), profile)
    const began = new Date().toISOString()
    const { stdout } = await alice.shell.run(`tsh aws --exec aws-v2 --profile further ${cli.identity}`, {
      env: { AWS_CONFIG_FILE: join(alice.shell.home, 'further') },
    })
    const assumed = 'arn:aws:sts::123456789012:assumed-role/Further/from-alice'
    assert.equal(stdout.trim(), assumed)
    const identity = { aws_operation: 'sts:GetCallerIdentity', aws_assumed_role: assumed, user: 'alice' }
    await audited(stage.cluster.admin, began, identity)
  })

  test('a role that Teleport takes away is refused with the next call, for every client in its own words', async () => {
    const began = new Date().toISOString()
    await createResource(stage.cluster.admin, {
      kind: 'role',
      version: 'v7',
      metadata: { name: 'aws-access' },
      spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: ['arn:aws:iam::123456789012:role/Writer'] } },
    })
    const javascript = clients.at(-1)?.command('identity') ?? ''
    const deadline = Date.now() + 5_000 // the agent hears of it within a second
    while ((await alice.shell.run(`tsh aws ${javascript}`, { mayFail: true })).code === 0)
      assert.ok(Date.now() < deadline)
    const seen = stage.lab.seen.length
    for (const { tool, command } of clients) {
      if (!tool.startsWith('the ') && findTool(tool) === undefined) continue
      const { code, stderr } = await alice.shell.run(`tsh aws ${command('roles')}`, { mayFail: true })
      assert.notEqual(code, 0)
      assert.match(stderr, /AccessDenied/, tool)
      assert.match(stderr, /aws_role_arns/, tool)
    }
    assert.equal(stage.lab.seen.length, seen, 'AWS hears nothing')
    const refused = { aws_operation: 'iam:ListRoles', user: 'alice', decision: 'denied', status_code: 403 }
    await audited(stage.cluster.admin, began, refused)
  })
})

/** The newest event of the kind has these fields: it was there before the answer was. */
async function audited(admin: Shell, from: string, fields: Readonly<Record<string, unknown>>): Promise<void> {
  const { stdout } = await admin.run(`tctl audit ls --type app.session.request --from ${from} --format json`)
  const events: readonly Record<string, unknown>[] = JSON.parse(stdout)
  const event = events.find(({ aws_operation }) => aws_operation === fields.aws_operation)
  assert.ok(event, `no such event among ${events.map((each) => each.aws_operation)}`)
  assert.deepEqual(Object.fromEntries(Object.keys(fields).map((name) => [name, event[name]])), fields)
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
