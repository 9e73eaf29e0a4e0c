/** Roles that are assumed from the role of the login, and what is signed without calling anybody: real clients keep working. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, link, startAwsStage, trustOf } from './aws-stage.ts'

const WHO = 'sts get-caller-identity --query Arn --output text'
const FURTHER = 'arn:aws:iam::123456789012:role/Further'
const FURTHEST = 'arn:aws:iam::123456789012:role/Furthest'

suite('roles assumed from the role of the login', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage({ roleArns: [] })
    const account = stage.lab.account()
    account.createRole({ name: 'Further', trust: trustOf(account.role('Writer').arn), attach: ['AdministratorAccess'] })
    account.createRole({ name: 'Furthest', trust: trustOf(FURTHER), attach: ['ReadOnlyAccess'] })
    await stage.lab.putObject('reports', 'a.txt', 'the report')
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login awsconsole --aws-role Writer')
    mkdirSync(join(alice.shell.home, '.aws'))
    const chain = `[profile further]\nrole_arn = ${FURTHER}\nsource_profile = awsconsole-Writer\n[profile furthest]\nrole_arn = ${FURTHEST}\nsource_profile = further\n[profile environment]\nrole_arn = ${FURTHER}\ncredential_source = Environment\nrole_session_name = from-alice\n`
    writeFileSync(join(alice.shell.home, '.aws', 'config'), chain)
  })
  after(() => stage[Symbol.asyncDispose]())

  const exportsOf = (output: string): string => output.match(/^ {2}export .*$/gm)?.join('\n') ?? ''
  const python = async (program: string, code: string): Promise<{ stdout: string; stderr: string }> => {
    writeFileSync(join(alice.shell.home, 'program.py'), `import boto3, urllib.request\n${code}`)
    return alice.shell.run(`tsh aws --exec ${program} program.py`, { env: { AWS_DEFAULT_REGION: 'us-east-1' } })
  }

  test('boto3 assumes a role, reads S3 with its keys, and presigns with them', async (t) => {
    const program = requireTool(t, 'python-boto3')
    if (program === undefined) return
    const { stdout } = await python(
      program,
      `from botocore.config import Config
keys = boto3.client('sts').assume_role(RoleArn='${FURTHER}', RoleSessionName='job')['Credentials']
session = boto3.Session(keys['AccessKeyId'], keys['SecretAccessKey'], keys['SessionToken'])
print(session.client('sts').get_caller_identity()['Arn'])
s3 = session.client('s3', config=Config(signature_version='s3v4'))
print(s3.get_object(Bucket='reports', Key='a.txt')['Body'].read().decode())
url = s3.generate_presigned_url('get_object', Params={'Bucket': 'reports', 'Key': 'a.txt'})
print('presigned', urllib.request.urlopen(url).read().decode())
put = s3.generate_presigned_url('put_object', Params={'Bucket': 'reports', 'Key': 'b.txt'})
print(urllib.request.urlopen(urllib.request.Request(put, b'new', method='PUT')).status)
print(keys['AccessKeyId'])
`,
    )
    assert.match(stdout, /assumed-role\/Further\/job\nthe report\npresigned the report\n200\nPLACEHOLDERROLE\w{16}\n$/)
    assert.equal(stage.lab.seen.at(-1)?.principal, 'arn:aws:sts::123456789012:assumed-role/Further/job')
  })

  for (const cli of ['aws-v1', 'aws-v2']) {
    test(`profiles of ${cli} assume one role from another`, async (t) => {
      const path = requireTool(t, cli)
      if (path === undefined) return
      await using proxy = alice.shell.start('tsh proxy aws --all')
      await proxy.waitFor(/profiles are in/)
      const lines = ['further', 'furthest'].map((profile) => `${path} --profile ${profile} ${WHO}`)
      const { stdout } = await alice.shell.run(`${exportsOf(proxy.output())}\nrm -rf .aws/cli\n${lines.join('\n')}`)
      assert.match(stdout, /assumed-role\/Further\/\S+\n.*assumed-role\/Furthest\/\S+\n$/)
    })

    test(`what ${cli} keeps of an assumed role works with the next command`, async (t) => {
      const path = requireTool(t, cli)
      if (path === undefined) return
      const before = stage.lab.assumed.filter(({ role }) => role === 'Further').length
      await alice.shell.run('rm -rf .aws/cli')
      for (let round = 0; round < 3; round++) {
        const { stdout } = await alice.shell.run(`tsh aws --exec ${path} --profile environment ${WHO}`)
        assert.match(stdout, /assumed-role\/Further\/from-alice/)
      }
      assert.equal(stage.lab.assumed.filter(({ role }) => role === 'Further').length, before + 1)
    })
  }

  test('boto3 follows a chain of profiles', async (t) => {
    const program = requireTool(t, 'python-boto3')
    if (program === undefined) return
    await using proxy = alice.shell.start('tsh proxy aws --all')
    await proxy.waitFor(/profiles are in/)
    const ask = `import boto3; print(boto3.Session(profile_name="furthest").client("sts", region_name="us-east-1").get_caller_identity()["Arn"])`
    const { stdout } = await alice.shell.run(`${exportsOf(proxy.output())}\n${program} -c '${ask}'`)
    assert.match(stdout, /assumed-role\/Furthest\//)
  })

  for (const [says, call] of [
    ['get_session_token', 'get_session_token()'],
    ['get_federation_token', "get_federation_token(Name='job')"],
  ] as const) {
    test(`${says} is refused by name, and tsh says why`, async (t) => {
      const program = requireTool(t, 'python-boto3')
      if (program === undefined) return
      await assert.rejects(
        python(program, `boto3.client('sts').${call}`),
        /AccessDenied.*sts:Get\w+Token is not available/,
      )
    })
  }

  test('credentials that the agent does not know any more say so, in a way that clients understand', async (t) => {
    const program = requireTool(t, 'python-boto3')
    if (program === undefined) return
    await using proxy = alice.shell.start('tsh proxy aws')
    await proxy.waitFor(/HTTPS_PROXY=.*\n/)
    const assume = `import boto3; print(*list(boto3.client("sts", region_name="us-east-1").assume_role(RoleArn="${FURTHER}", RoleSessionName="job")["Credentials"].values())[:3])`
    const { stdout } = await alice.shell.run(`${exportsOf(proxy.output())}\n${program} -c '${assume}'`)
    const [id, secret, token] = stdout.trim().split(' ')
    link(alice.shell, requireTool(t, 'aws-v2') ?? '', 'aws')
    const use = `AWS_ACCESS_KEY_ID=${id} AWS_SECRET_ACCESS_KEY=${secret} AWS_SESSION_TOKEN=${token} aws ${WHO}`
    const run = (): ReturnType<Person['shell']['run']> =>
      alice.shell.run(`${exportsOf(proxy.output())}\n${use}`, { mayFail: true })
    assert.match((await run()).stdout, /assumed-role\/Further\/job/)
    await stage.agent.stop()
    await stage.agent.start()
    const { code, stderr } = await run()
    assert.notEqual(code, 0)
    assert.match(stderr, /\(ExpiredToken\).*not known to this agent any more; assume the role again/)
  })

  suite('near the end of the login', () => {
    before(async () => {
      await alice.shell.run('tsh logout')
      await alice.login('--ttl=30')
      await alice.shell.run('tsh apps login awsconsole --aws-role Writer')
    })
    for (const seconds of [900, 3600]) {
      test(`${seconds} seconds are asked for`, async (t) => {
        const program = requireTool(t, 'python-boto3')
        if (program === undefined) return
        const { stderr } = await python(
          program,
          `boto3.client('sts').assume_role(RoleArn='${FURTHER}', RoleSessionName='job', DurationSeconds=${seconds})`,
        )
        const got = stage.lab.assumed.at(-1)?.durationSeconds ?? 0
        if (seconds === 900) assert.equal(got, 900)
        else assert.ok(got > 900 && got <= 1800, String(got))
        assert.equal(/INFO: .*DurationSeconds of AssumeRole is lowered to/.test(stderr), seconds !== 900)
      })
    }
  })
})

suite('what is signed without calling anybody', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage()
    await stage.lab.putObject('reports', 'a b+c.txt', 'the report')
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login awsconsole --aws-role Writer')
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const [cli, env] of [
    ['aws-v2', {}],
    ['aws-v1', { AWS_CONFIG_FILE: 's3v4' }],
  ] as const) {
    test(`a URL of ${cli} s3 presign comes back through us, with a warning that it works nowhere else`, async (t) => {
      const path = requireTool(t, cli)
      if (path === undefined || requireTool(t, 'curl') === undefined) return
      writeFileSync(join(alice.shell.home, 's3v4'), '[default]\ns3 =\n  signature_version = s3v4\n')
      const { stdout, stderr } = await alice.shell.run(
        `tsh aws --exec ${path} s3 presign 's3://reports/a b+c.txt' --region us-east-1`,
        { env },
      )
      assert.match(stderr, /^WARNING: this URL is signed with placeholder keys.*s3\.signature_version s3v4/m)
      assert.equal(stderr.match(/WARNING/g)?.length, 1)
      const fetched = await alice.shell.run(`tsh aws --exec curl --silent --show-error --fail '${stdout.trim()}'`)
      assert.equal(fetched.stdout, 'the report')
    })
  }

  test('the old signature of AWS CLI version 1 is refused by name, with the way out', async (t) => {
    const path = requireTool(t, 'aws-v1')
    if (path === undefined || requireTool(t, 'curl') === undefined) return
    const { stdout } = await alice.shell.run(`tsh aws --exec ${path} s3 presign s3://reports/a --region us-east-1`)
    assert.match(stdout, /AWSAccessKeyId=PLACEHOLDER/)
    const { stdout: body, stderr } = await alice.shell.run(`tsh aws --exec curl --silent '${stdout.trim()}'`)
    assert.match(body, /signature version 2, which is not supported.*s3\.signature_version s3v4/)
    assert.match(stderr, /ERROR: .*signature version 2/)
  })

  test('eks get-token and rds generate-db-auth-token say what will refuse them', async (t) => {
    const path = requireTool(t, 'aws-v2')
    if (path === undefined) return
    const token = await alice.shell.run(`tsh aws --exec ${path} eks get-token --cluster-name c --region us-east-1`)
    assert.match(token.stdout, /k8s-aws-v1\./)
    assert.match(token.stderr, /^WARNING: this token is signed with placeholder keys.*Kubernetes access/m)
    const password = await alice.shell.run(
      `tsh aws --exec ${path} rds generate-db-auth-token --hostname h --port 5432 --username u --region us-east-1`,
    )
    assert.match(password.stderr, /^WARNING: this token is signed with placeholder keys.*database access/m)
  })
})
