/** Many accounts and roles through one port: `tsh proxy aws --all`, profiles in the AWS config file, two terminals at once. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { findTool, requireTool } from '#test/tools.ts'
import { freePort, type Person } from '#tour/cluster.ts'
import { type AwsStage, consoleUri, link, startAwsStage, trustOf } from './aws-stage.ts'

const ACCOUNTS = Array.from({ length: 100 }, (_, index) => String(300_000_000_000 + index))
const MAIN = '123456789012'
const WHO = 'sts get-caller-identity --query Arn --output text'
const MINE = '# mine\n[default]\nregion = us-east-1\ns3 =\n  max_concurrent_requests = 7\n'

suite('many AWS apps through one proxy', () => {
  let stage: AwsStage
  let alice: Person
  let config: string
  before(async () => {
    stage = await startAwsStage({
      appLines: [
        'apps:',
        ...ACCOUNTS.flatMap((id, index) => app(`account-${index}`, id)),
        ...app('main', MAIN),
        '- name: web',
        '  uri: http://127.0.0.1:9',
      ],
      roleArns: ACCOUNTS.map((id) => `arn:aws:iam::${id}:role/Auditor`),
    })
    const agent = stage.lab.account().role('TeleportAWSAccess').arn
    for (const id of ACCOUNTS) {
      stage.lab.account(id).createRole({ name: 'Auditor', trust: trustOf(agent), attach: ['ReadOnlyAccess'] })
    }
    alice = await stage.invite('alice')
    const cli = findTool('aws-v2') ?? findTool('aws')
    if (cli !== undefined) link(alice.shell, cli, 'aws')
    config = join(alice.shell.home, '.aws', 'config')
    mkdirSync(join(alice.shell.home, '.aws'))
    writeFileSync(config, MINE)
  })
  after(() => stage[Symbol.asyncDispose]())

  const tsh = (line: string): ReturnType<Person['shell']['run']> => alice.shell.run(`tsh ${line}`, { mayFail: true })
  /** Lines to paste into a shell that is to use a running proxy. */
  const exportsOf = (output: string): string => output.match(/^ {2}export .*$/gm)?.join('\n') ?? ''

  test('a program with 100 accounts runs through one port', async (t) => {
    const python = requireTool(t, 'python-boto3')
    if (python === undefined) return
    await using proxy = alice.shell.start('tsh proxy aws --all')
    await proxy.waitFor(/profiles are in/)
    writeFileSync(join(alice.shell.home, 'accounts.py'), accountsProgram)
    const { stdout } = await alice.shell.run(`${exportsOf(proxy.output())}\n${python} accounts.py`)
    assert.deepEqual(stdout.trim().split('\n').sort(), [...ACCOUNTS].sort())
    assert.match(proxy.output(), /--profile main-Reader .*\n.*--profile main-Writer /)
    assert.doesNotMatch(proxy.output(), /--profile web /)
    assert.equal(await proxy.stop('SIGINT'), 0)
    const { stdout: apps } = await tsh('apps ls')
    assert.doesNotMatch(apps, /^> /m, 'nobody was logged in to anything that they did not ask for')
    assert.ok(readFileSync(config, 'utf8').startsWith(MINE))
  })

  test('profiles stay the same when the proxy starts again, also after a new login', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const port = await freePort()
    await using proxy = alice.shell.start(`tsh proxy aws --all -p ${port}`)
    await proxy.waitFor(/profiles are in/)
    const written = readFileSync(config, 'utf8')
    const paste = exportsOf(proxy.output())
    const ask = async (): Promise<string> =>
      (await alice.shell.run(`${paste}\naws --profile account-7 ${WHO}; aws --profile main-Writer ${WHO}`)).stdout
    const both = /300000000007:assumed-role\/Auditor\/alice\n.*123456789012:assumed-role\/Writer\/alice\n/
    assert.match(await ask(), both)
    const login = readFileSync(join(alice.shell.home, '.tsh', 'keys', 'localhost', 'alice.crt'))
    await alice.shell.run('rm .tsh/keys/localhost/alice.crt') // as if it had expired
    await alice.login()
    assert.notDeepEqual(readFileSync(join(alice.shell.home, '.tsh', 'keys', 'localhost', 'alice.crt')), login)
    assert.match(await ask(), both)
    assert.equal(await proxy.stop(), 0)
    await using again = alice.shell.start(`tsh proxy aws --all -p ${port}`)
    await again.waitFor(/profiles are in/)
    assert.equal(readFileSync(config, 'utf8'), written)
    assert.match(await ask(), both)
  })

  test('two terminals with two roles of one app do not disturb each other', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    assert.equal((await tsh('apps login main --aws-role Reader')).code, 0)
    await using reader = alice.shell.start('tsh proxy aws --app main')
    await using writer = alice.shell.start('tsh proxy aws --app main --aws-role Writer')
    await Promise.all([reader, writer].map((proxy) => proxy.waitFor(/HTTPS_PROXY=/)))
    for (let round = 0; round < 2; round++) {
      const [first, second, third, fourth] = await Promise.all([
        alice.shell.run(`${exportsOf(reader.output())}\naws ${WHO}`),
        alice.shell.run(`${exportsOf(writer.output())}\naws ${WHO}`),
        alice.shell.run(`tsh aws --app main --aws-role Writer ${WHO}`),
        alice.shell.run(`tsh aws --app main ${WHO}`),
      ])
      assert.match(first.stdout, /assumed-role\/Reader\/alice/)
      assert.match(second.stdout, /assumed-role\/Writer\/alice/)
      assert.match(third.stdout, /assumed-role\/Writer\/alice/)
      assert.match(fourth.stdout, /assumed-role\/Reader\/alice/)
    }
  })

  test('four terminals that log in to an app at once, for the first time, all get through', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const all = await Promise.all(Array.from({ length: 4 }, () => tsh(`aws --app account-50 ${WHO}`)))
    for (const { stdout, stderr } of all) assert.match(stdout, /300000000050:assumed-role\/Auditor\/alice/, stderr)
  })

  test('roles of one app are profiles beside each other', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    await using proxy = alice.shell.start('tsh proxy aws --app main=Reader --app main=Writer --app account-1')
    await proxy.waitFor(/profiles are in/)
    const ask = ['main-Reader', 'main-Writer', 'account-1'].map((profile) => `aws --profile ${profile} ${WHO}`)
    const { stdout } = await alice.shell.run(`${exportsOf(proxy.output())}\n${ask.join('\n')}`)
    assert.match(stdout, /Reader\/alice\n.*Writer\/alice\n.*300000000001:assumed-role\/Auditor\/alice\n$/)
  })

  test('two proxies that start at once both find their profiles', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    await tsh('proxy aws --undo')
    await using one = alice.shell.start('tsh proxy aws --app account-1 --app account-2')
    await using two = alice.shell.start('tsh proxy aws --app account-2 --app account-3')
    await Promise.all([one, two].map((proxy) => proxy.waitFor(/profiles are in/)))
    for (const [proxy, other] of [
      [one, 'account-1'],
      [two, 'account-3'],
    ] as const) {
      const { stdout } = await alice.shell.run(
        `${exportsOf(proxy.output())}\naws --profile account-2 ${WHO}; aws --profile ${other} ${WHO}`,
      )
      assert.equal(stdout.match(/Auditor\/alice/g)?.length, 2)
    }
  })

  for (const [line, says] of [
    ['aws --app main --aws-role Nobody s3 ls', /Writer[\s\S]*ERROR: failed to find the "Nobody" role name\nhint: /],
    ['proxy aws --app main=Nobody --app account-1', /ERROR: failed to find the "Nobody" role name\nhint: /],
    ['proxy aws --app main=Reader --app main=Reader --app nothing', /ERROR: app "nothing" not found/],
    ['proxy aws --all --app main', /ERROR: --all and --app exclude each other\nhint: /],
    ['proxy aws --all --aws-role Nobody', /ERROR: no app offers you the AWS role "Nobody"\nhint: /],
    ['aws --app web --aws-role Reader s3 ls', /ERROR: selected app "web" is not an AWS application/],
  ] as const) {
    test(`tsh ${line} is refused`, async () => {
      const { code, stderr } = await tsh(line)
      assert.notEqual(code, 0)
      assert.match(stderr, says)
    })
  }

  test("the user's own profile of a name is refused, and stays", async () => {
    await tsh('proxy aws --undo')
    const before = `${MINE}\n[profile account-5]\nregion = eu-west-1\n`
    writeFileSync(config, before)
    const { code, stderr } = await tsh('proxy aws --app account-4 --app account-5')
    assert.notEqual(code, 0)
    assert.match(
      stderr,
      /ERROR: .*\.aws\/config: section "profile account-5" is not managed by teleport, remove the section and try again\nhint: /,
    )
    assert.equal(readFileSync(config, 'utf8'), before)
    writeFileSync(config, MINE)
  })

  test('a logout takes the profiles of the app away, and leaves the file as it was', async () => {
    await using proxy = alice.shell.start('tsh proxy aws --app account-8 --app account-9')
    await proxy.waitFor(/profiles are in/)
    await proxy.stop()
    await tsh('apps logout account-8')
    assert.doesNotMatch(readFileSync(config, 'utf8'), /account-8\b/)
    assert.match(readFileSync(config, 'utf8'), /\[profile account-9\]/)
    await tsh('apps logout')
    assert.equal(readFileSync(config, 'utf8'), MINE)
    assert.ok(!existsSync(`${config}.tsh-lock`))
  })
})

function app(name: string, account: string): readonly string[] {
  return [`- name: ${name}`, `  uri: ${consoleUri}`, `  labels: {aws_account_id: "${account}"}`]
}

/** Asks each account who the program is there, many at once. The models of the services are read once: that takes longest. */
const accountsProgram = `
import boto3, botocore.loaders, botocore.session
from concurrent.futures import ThreadPoolExecutor
loader = botocore.loaders.create_loader()
def client(name):
    core = botocore.session.Session(profile=name)
    core.register_component('data_loader', loader)
    return boto3.Session(botocore_session=core).client('sts', region_name='us-east-1')
names = [name for name in boto3.Session().available_profiles if name.startswith('account-')]
with ThreadPoolExecutor(16) as pool:
    for account in pool.map(lambda each: each.get_caller_identity()['Account'], [client(name) for name in names]):
        print(account)
`
