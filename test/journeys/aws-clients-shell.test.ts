/** At the terminal: `tsh aws` with several apps, `tsh proxy aws` in a second terminal, exit codes and Ctrl-C. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { findTool, requireTool } from '#test/tools.ts'
import { freePort, type Person } from '#tour/cluster.ts'
import { type AwsStage, consoleUri, link, startAwsStage, trustOf } from './aws-stage.ts'

const OTHER_ACCOUNT = '210987654321'
const WHO = 'sts get-caller-identity --query Arn --output text'

suite('AWS at the terminal', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage({
      appLines: [
        'apps:',
        ...app('first', '123456789012'),
        ...app('second', OTHER_ACCOUNT),
        '- name: everywhere',
        `  uri: ${consoleUri}`,
        '- name: web',
        '  uri: http://127.0.0.1:9',
      ],
      roleArns: [`arn:aws:iam::${OTHER_ACCOUNT}:role/Reader`],
    })
    const agent = stage.lab.account().role('TeleportAWSAccess').arn
    stage.lab.account(OTHER_ACCOUNT).createRole({ name: 'Reader', trust: trustOf(agent), attach: ['ReadOnlyAccess'] })
    alice = await stage.invite('alice')
    const cli = findTool('aws-v2') ?? findTool('aws')
    if (cli !== undefined) link(alice.shell, cli, 'aws')
  })
  after(() => stage[Symbol.asyncDispose]())

  const tsh = (line: string, env: Readonly<Record<string, string>> = {}): ReturnType<Person['shell']['run']> =>
    alice.shell.run(`tsh ${line}`, { mayFail: true, env })

  suite('which app and which role', () => {
    test('without a login it says what to do', async () => {
      const { code, stderr } = await tsh('aws s3 ls')
      assert.notEqual(code, 0)
      assert.match(stderr, /ERROR: please login to AWS App using 'tsh apps login' first\nhint: /)
    })

    test('the label aws_account_id narrows the roles that are offered', async () => {
      const first = await tsh('apps login first')
      assert.match(
        first.stdout + first.stderr,
        /Available AWS roles:[\s\S]*Reader[\s\S]*Writer[\s\S]*--aws-role flag is required/,
      )
      assert.doesNotMatch(first.stdout + first.stderr, new RegExp(OTHER_ACCOUNT))
      const second = await tsh('apps login second') // one role of that account, so there is no choice
      assert.match(second.stdout, new RegExp(`Your IAM role:\n  arn:aws:iam::${OTHER_ACCOUNT}:role/Reader\n`))
      const other = await tsh(`apps login first --aws-role arn:aws:iam::${OTHER_ACCOUNT}:role/Reader`)
      assert.match(other.stderr, /ERROR: failed to find the ".*" role ARN/)
    })

    test('a name that two accounts have is ambiguous where there is no label', async () => {
      const { code, stdout, stderr } = await tsh('apps login everywhere --aws-role Reader')
      assert.notEqual(code, 0)
      assert.match(stderr, /ERROR: provided role name "Reader" is ambiguous, please specify full role ARN/)
      assert.doesNotMatch(stdout + stderr, /Writer/)
    })

    test('with two logins one has to be named, and each is its own role', async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      assert.equal((await tsh('apps login first --aws-role Writer')).code, 0)
      const unnamed = await tsh(`aws ${WHO}`)
      assert.notEqual(unnamed.code, 0)
      assert.match(
        unnamed.stderr,
        /ERROR: multiple apps are available \(first, second\), please specify one via CLI argument/,
      )
      assert.match((await tsh(`aws --app first ${WHO}`)).stdout, /123456789012:assumed-role\/Writer\/alice/)
      assert.match((await tsh(`aws --app second ${WHO}`)).stdout, /210987654321:assumed-role\/Reader\/alice/)
    })

    test('another role takes effect with the next login, without a logout', async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      await tsh('apps login first --aws-role Reader')
      assert.match((await tsh(`aws --app first ${WHO}`)).stdout, /assumed-role\/Reader\/alice/)
    })

    test('an app that is none of AWS, or not there, is refused by name', async () => {
      assert.match((await tsh('aws --app web s3 ls')).stderr, /ERROR: selected app "web" is not an AWS application/)
      assert.match((await tsh('aws --app nothing s3 ls')).stderr, /ERROR: app "nothing" not found/)
    })
  })

  suite('the exit code is that of the program', () => {
    for (const [line, code] of [
      ['--exec true', 0],
      ["--exec sh -c 'exit 7'", 7],
      ["--exec sh -c 'kill -9 $$'", 137],
      ['--exec no-such-program', 1],
    ] as const) {
      test(`tsh aws ${line}: ${code}`, async () => {
        assert.equal((await tsh(`aws --app first ${line}`)).code, code)
      })
    }

    test('of the AWS CLI as well', async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      assert.equal((await tsh('aws --app first s3 ls s3://there-is-none')).code, 254)
      assert.equal((await tsh('aws --app first nonsense')).code, 252)
    })

    test("what the user's own AWS settings would change does not get in the way", async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      const { stdout, stderr } = await tsh(`aws --app first ${WHO}`, {
        AWS_PROFILE: 'other',
        AWS_SESSION_TOKEN: 'stale',
        AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
        NO_PROXY: '.amazonaws.com,localhost,127.0.0.1',
      })
      assert.match(stdout, /assumed-role\/Reader\/alice/)
      assert.match(stderr, /WARNING: .*AWS_ENDPOINT_URL, AWS_PROFILE, AWS_SESSION_TOKEN/)
    })

    test('Ctrl-C goes to the program, and tsh waits for its end', async () => {
      writeFileSync(
        join(alice.shell.home, 'wait.sh'),
        'trap "echo cleaned up; exit 9" INT\necho ready\nwhile :; do sleep 0.1; done\n',
      )
      await using running = alice.shell.start('tsh aws --app first --exec sh wait.sh')
      await running.waitFor(/ready/)
      assert.equal(await running.stop('SIGINT'), 9)
      assert.match(running.output(), /cleaned up/)
    })
  })

  suite('tsh proxy aws in a second terminal', () => {
    /** How the printed lines get into a shell, for the shells that may be here. */
    const shells: readonly {
      says: string
      format: string
      shell: string
      paste: (lines: string, then: string) => string
    }[] = [
      { says: 'sh', format: 'unix', shell: 'sh', paste: (lines, then) => `${lines}\n${then}\n` },
      { says: 'bash', format: 'unix', shell: 'bash', paste: (lines, then) => `${lines}\n${then}\n` },
      { says: 'zsh', format: 'unix', shell: 'zsh', paste: (lines, then) => `${lines}\n${then}\n` },
      {
        says: 'env',
        format: 'text',
        shell: 'sh',
        paste: (lines, then) =>
          `env ${lines
            .trim()
            .split(/\s*\n\s*/)
            .join(' ')} ${then}\n`,
      },
      { says: 'powershell', format: 'powershell', shell: 'pwsh', paste: (lines, then) => `${lines}\n${then}\n` },
    ]

    for (const { says, format, shell, paste } of shells) {
      test(`--format ${format}, pasted into ${says}`, async (t) => {
        if (requireTool(t, 'aws-v2') === undefined || !hasShell(t, shell)) return
        await using proxy = alice.shell.start(`tsh proxy aws --app first --format ${format}`)
        await proxy.waitFor(/HTTPS_PROXY\S+/)
        const lines = proxy
          .output()
          .split('\n')
          .filter((line) => /^ {2}\S/.test(line))
        assert.equal(lines.length, 4)
        const { stdout } = await alice.shell.run(`${shell} -`, { input: paste(lines.join('\n'), `aws ${WHO}`) })
        assert.match(stdout, /assumed-role\/Reader\/alice/)
        assert.equal(await proxy.stop('SIGINT'), 0)
      })
    }

    for (const [format, pattern] of [
      ['command-prompt', /^ {2}set AWS_ACCESS_KEY_ID=PLACEHOLDER\w+$/m],
      ['athena-odbc', /^\[Teleport AWS Athena Access\]\nAuthenticationType *= *IAM Credentials$/m],
      ['athena-jdbc', /jdbc:awsathena:\/\/User=PLACEHOLDER\w+;/],
    ] as const) {
      test(`--format ${format}`, async () => {
        await using proxy = alice.shell.start(`tsh proxy aws --app first --format ${format}`)
        await proxy.waitFor(pattern)
        assert.equal(await proxy.stop('SIGTERM'), 0)
      })
    }

    test('with two apps each is a profile, on the port that was asked for', async (t) => {
      if (requireTool(t, 'aws-v2') === undefined) return
      const port = await freePort()
      await using proxy = alice.shell.start(`tsh proxy aws --app first --app second -p ${port}`)
      await proxy.waitFor(/Choose an app by its profile:[\s\S]*second/)
      assert.doesNotMatch(proxy.output(), /port randomization/)
      const lines = proxy
        .output()
        .split('\n')
        .filter((line) => /^ {2}export/.test(line))
      const ask = ['first', 'second'].map((profile) => `aws --profile ${profile} ${WHO}`)
      const { stdout } = await alice.shell.run('sh -', { input: [...lines, ...ask, ''].join('\n') })
      assert.match(stdout, /123456789012:assumed-role\/Reader\/alice\n.*210987654321:assumed-role\/Reader\/alice/)
      const taken = await tsh(`proxy aws --app first -p ${port}`)
      assert.notEqual(taken.code, 0)
      assert.match(taken.stderr, /ERROR: cannot listen on 127\.0\.0\.1:\d+\nhint: .*another port/)
    })

    test('it goes on for another program after a connection was refused', async (t) => {
      if (requireTool(t, 'curl') === undefined) return
      await using proxy = alice.shell.start('tsh proxy aws --app first')
      const [, url = ''] = await proxy.waitFor(/HTTPS_PROXY="([^"]+)"/)
      const [, ca = ''] = await proxy.waitFor(/AWS_CA_BUNDLE="([^"]+)"/)
      assert.ok(existsSync(ca))
      const curl = (rest: string): ReturnType<Person['shell']['run']> =>
        alice.shell.run(`curl --silent --cacert '${ca}' --proxy ${url} ${rest}`, {
          mayFail: true,
          env: { NO_PROXY: '' },
        })
      const unsigned = await curl('https://reports.s3.amazonaws.com/secret')
      assert.match(unsigned.stdout, /<Code>AccessDenied<\/Code>/)
      const foreign = await curl(
        "--user AKIAFOREIGN:secret --aws-sigv4 aws:amz:us-east-1:sts 'https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15'",
      )
      assert.match(foreign.stdout, /<Code>\w+<\/Code>/)
      const plain = await alice.shell.run(
        `curl --silent --output /dev/null --write-out '%{http_code}' --noproxy '' --proxy ${url} http://example.com/`,
      )
      assert.equal(plain.stdout, '400')
    })
  })
})

function app(name: string, account: string): readonly string[] {
  return [`- name: ${name}`, `  uri: ${consoleUri}`, `  labels: {aws_account_id: "${account}"}`]
}

function hasShell(t: TestContext, name: string): boolean {
  if (findTool(name) !== undefined) return true
  t.skip(`${name} is not here`)
  return false
}
