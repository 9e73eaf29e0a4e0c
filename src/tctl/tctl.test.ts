/** tctl against a real Auth Service, as the local administrator. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { type Auth, startAuth } from '#auth/server.ts'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { systemClock } from '#clock.ts'
import { silentLog } from '#log.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { runTctl } from './main.ts'

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let auth: Auth
let run: (argv: readonly string[], options?: { input?: string; env?: Record<string, string> }) => Promise<Ran>

before(async () => {
  directory = await temporaryDirectory()
  const dataDir = join(directory.path, 'data')
  auth = await startAuth({
    config: {
      clusterName: 'example',
      listen: { host: '127.0.0.1', port: 0 },
      publicAddrs: [],
      tokens: [],
      settings: {},
    },
    dataDir,
    log: silentLog,
    clock: systemClock,
  })
  const config = join(directory.path, 'teleport.yaml')
  await writeFile(
    config,
    `teleport: { data_dir: ${dataDir} }\nauth_service: { listen_addr: "127.0.0.1:${auth.port}" }\n`,
  )
  run = async (argv, { input = '', env = {} } = {}) => {
    const terminal = memoryTerminal(input)
    const code = await runTctl({
      argv,
      env: { TELEPORT_CONFIG_FILE: config, ...env },
      terminal,
      clock: systemClock,
      userHome: directory.path,
      signal: new AbortController().signal,
    })
    return { code, stdout: terminal.written.stdout(), stderr: terminal.written.stderr() }
  }
})
after(async () => {
  await auth[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

/** Runs and expects success. */
async function ok(line: string, input?: string): Promise<string> {
  const ran = await run(line.split(' '), input === undefined ? {} : { input })
  assert.equal(ran.code, 0, `${line}\n${ran.stderr}`)
  return ran.stdout
}

/** Runs and expects this code; gives what was said on stderr. */
async function fails(line: string, code = 1, input?: string): Promise<string> {
  const ran = await run(line.split(' '), input === undefined ? {} : { input })
  assert.equal(ran.code, code, `${line}\n${ran.stdout}${ran.stderr}`)
  return ran.stderr
}

const role = (name: string, arn = 'arn:aws:iam::123456789012:role/ReadOnly'): string =>
  JSON.stringify({
    kind: 'role',
    version: 'v7',
    metadata: { name },
    spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: [arn] } },
  })

suite('tctl status', () => {
  test('has the rows that scripts look for', async () => {
    const text = await ok('status')
    assert.match(text, /^Cluster +example$/m)
    assert.match(text, /^Version +\d+\.\d+\.\d+ \(compatible with \d+\.\d+\.\d+\)$/m)
    assert.match(text, /^host CA +never updated$/m)
    assert.match(text, /^user CA +never updated$/m)
    assert.match(text, /^CA pin +sha256:[0-9a-f]{64}$/m)
    const document = JSON.parse(await ok('status --format=json'))
    assert.deepEqual([document.cluster, document.authorities.host], ['example', 'never updated'])
    assert.ok(text.includes(document.ca_pins[0]))
    assert.match(await ok('status -f yaml'), /^cluster: example\n/)
  })
})

suite('tctl create, get, edit and rm', () => {
  test('what is created is found again, as YAML, JSON and text', async () => {
    assert.equal(await ok('create', role('made')), 'role "made" has been created\n')
    const [document] = parseAllDocuments(await ok('get role/made'))
    assert.equal(document?.toJS().spec.allow.aws_role_arns[0], 'arn:aws:iam::123456789012:role/ReadOnly')
    const json = JSON.parse(await ok('get role/made --format=json'))
    assert.deepEqual([Array.isArray(json), json[0].metadata.name], [true, 'made'])
    assert.match(await ok('get roles --format text'), /^Role +Allowed AWS roles[\s\S]*^made +arn:aws:iam/m)
  })
  test('several references and all', async () => {
    const kinds = JSON.parse(await ok('get role/access,cap --format=json')).map(({ kind }: { kind: string }) => kind)
    assert.deepEqual(kinds, ['role', 'cluster_auth_preference'])
    assert.match(await ok('get all'), /kind: cert_authority[\s\S]*kind: role/)
  })
  test('private keys are shown only when they are asked for, with a warning', async () => {
    assert.doesNotMatch(await ok('get cert_authority --format=json'), /PRIVATE KEY/)
    const { stdout, stderr } = await run(['get', 'cert_authority', '--with-secrets'])
    assert.match(stdout, /PRIVATE KEY/)
    assert.match(stderr, /^WARNING: this holds private keys/)
  })
  test('what exists is replaced only with -f', async () => {
    await ok('create', role('twice'))
    assert.match(await fails('create', 1, role('twice')), /^ERROR: .*already exists/)
    assert.equal(await ok('create -f', role('twice')), 'role "twice" has been updated\n')
    assert.equal(await ok('create --force', role('fresh')), 'role "fresh" has been created\n')
  })
  test('many documents are created in order, and the first failure says where it stopped', async () => {
    const documents = [role('one'), role('access'), role('three')].join('\n---\n')
    const { code, stdout, stderr } = await run(['create'], { input: documents })
    assert.deepEqual([code, stdout], [1, 'role "one" has been created\n'])
    assert.match(
      stderr,
      /^Stopped at role "access", number 2 of 3: the 1 before it is written, the 1 after it was not tried\.$/m,
    )
    assert.match(await fails('get role/three'), /^ERROR: /)
  })
  test('a file with a mistake is refused whole, with line and field', async () => {
    const file = join(directory.path, 'bad.yaml')
    await writeFile(
      file,
      `${role('good')}\n---\nkind: role\nversion: v7\nmetadata:\n  name: bad\nspec:\n  allow:\n    app_label: {}\n`,
    )
    const stderr = await fails(`create ${file}`)
    assert.match(
      stderr,
      /^ERROR: .*bad\.yaml:9:5: role "bad": spec\.allow\.app_label: unknown field "app_label", did you mean "app_labels"\?/,
    )
    await fails('get role/good')
  })
  test('a file that is not there is named', async () =>
    assert.match(await fails('create /nowhere.yaml'), /^ERROR: \/nowhere\.yaml does not exist\nhint: /))
  test('an empty input is an error', async () =>
    assert.match(await fails('create', 2), /standard input holds no resource/))
  test('rm deletes, and says so when there is nothing', async () => {
    await ok('create', role('gone'))
    assert.equal(await ok('rm role/gone'), 'role "gone" has been deleted\n')
    assert.match(await fails('rm role/gone'), /^ERROR: .*gone/)
    assert.match(await fails('rm role', 2), /names no resource/)
  })
  test('rm of what there is one of puts the defaults back', async () =>
    assert.equal(await ok('rm cap'), 'cluster_auth_preference has been reset to defaults\n'))

  const edit = (script: string) => run(['edit', 'role/edited'], { env: { TELEPORT_EDITOR: script } })
  test('edit saves what the editor wrote', async () => {
    await ok('create', role('edited'))
    const { code, stdout } = await edit('sed -i s/ReadOnly/Admin/')
    assert.deepEqual([code, stdout], [0, 'role "edited" has been updated\n'])
    assert.match(await ok('get role/edited'), /role\/Admin/)
  })
  test('edit says when nothing has changed', async () =>
    assert.deepEqual((await edit('true')).stdout, 'Nothing has changed.\n'))
  test('edit refuses another name', async () => {
    const { code, stderr } = await edit('sed -i "s/name: edited/name: other/"')
    assert.equal(code, 1)
    assert.match(stderr, /kind and name cannot be changed by an edit/)
  })
  test('edit keeps what was written when somebody else was faster', async () => {
    const rival = join(directory.path, 'rival.json')
    await writeFile(rival, role('edited', 'arn:aws:iam::123456789012:role/Rival'))
    const script = join(directory.path, 'editor.ts')
    await writeFile(
      script,
      `import { readFileSync, writeFileSync } from 'node:fs'
       const [done, file] = process.argv.slice(2)
       writeFileSync(done, '')
       while (readFileSync(done, 'utf8') !== 'go') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
       writeFileSync(file, readFileSync(file, 'utf8').replace(/role\\/\\w+/, 'role/Mine'))`,
    )
    const gate = join(directory.path, 'gate')
    const editing = edit(`${process.execPath} ${script} ${gate}`)
    while ((await readFile(gate, 'utf8').catch(() => undefined)) === undefined) await new Promise(setImmediate)
    await ok(`create -f ${rival}`)
    await writeFile(gate, 'go')
    const { code, stderr } = await editing
    assert.equal(code, 1)
    const [, kept = ''] = /^What you wrote is kept in (.*)$/m.exec(stderr) ?? []
    assert.match(await readFile(kept, 'utf8'), /role\/Mine/)
    assert.match(stderr, /hint: somebody changed it meanwhile/)
    assert.match(await ok('get role/edited'), /role\/Rival/)
  })
  test('edit with an editor that is not there saves nothing', async () =>
    assert.match((await edit('/nowhere/editor')).stderr, /^ERROR: the editor "\/nowhere\/editor" failed$/m))
})

suite('tctl users', () => {
  test('add prints the URL of the invite as the guides have it', async () => {
    const text = await ok('users add alice --roles=access,auditor --aws-role-arns=arn:aws:iam::123456789012:role/A')
    assert.match(
      text,
      /^User "alice" has been created but requires a password\. Share this URL with the user to complete user setup, link is valid for 1h:\nhttps:\/\/\S+\/web\/invite\/\w+\n\nNOTE: Make sure \S+ points at a Teleport proxy which users can access\.\n$/,
    )
  })
  test('add gives JSON for scripts', async () => {
    const token = JSON.parse(await ok('users add json --roles access --ttl 2h --format=json'))
    assert.equal(token.spec.user, 'json')
    assert.ok(token.spec.url.endsWith(`/web/invite/${token.metadata.name}`))
  })
  test('add of somebody who exists says how to update them', async () => {
    assert.match(
      await fails('users add alice --roles=access'),
      /tctl users update alice --set-roles access {2}# replace roles\nERROR: /,
    )
  })
  for (const [line, text] of [
    ['users add bob --roles=nope', /^ERROR: .*nope/],
    ['users add bob --roles=access --azure-identities=*', /^ERROR: Azure identity cannot be a wildcard\.$/m],
    ['users add bob --roles=access --azure-identities=x', /^ERROR: Azure identity "x" has invalid format\.$/m],
    ['users add bob --roles=access --db-roles=*', /database role can't be a wildcard/],
    ['users add bob --roles=access --host-user-uid=x', /host user UID must be a numeric ID/],
    ['users add bob --roles=access --ttl=49h', /give at most 48h/],
    ['users add bob', /required option '--roles <list>' not specified/],
    ['users update alice', /Nothing to update\. Please provide at least one --set flag\./],
  ] as const) {
    test(`refused: ${line}`, async () => {
      const { code, stderr } = await run(line.split(' '))
      assert.notEqual(code, 0)
      assert.match(stderr, text)
    })
  }
  test('update replaces and reports each field', async () => {
    const text = await ok('users update alice --set-roles=access --set-logins=root,ubuntu --set-traits team=a,b')
    assert.equal(
      text,
      'User alice has been updated:\n\tNew roles: access\n\tNew logins: root,ubuntu\n\tNew team: a,b\n',
    )
    const [alice] = JSON.parse(await ok('get user/alice --format=json'))
    assert.deepEqual(alice.spec.traits.team, ['a', 'b'])
    assert.deepEqual(alice.spec.traits.aws_role_arns, ['arn:aws:iam::123456789012:role/A'])
  })
  test('ls lists users with their roles', async () => {
    assert.match(await ok('users ls'), /^User +Roles\n-+ -+\nalice +access\njson +access\n$/)
    assert.equal(JSON.parse(await ok('users ls --format json')).length, 2)
    assert.match(await ok('users ls --format yaml'), /^- kind: user\n/)
  })
  test('reset gives a new URL', async () =>
    assert.match(
      await ok('users reset alice'),
      /^User "alice" has been reset\. Share this URL with the user to complete password reset, link is valid for 8h:\nhttps:\/\/\S+\/web\/reset\//,
    ))
  test('rm deletes several', async () => {
    assert.equal(await ok('users rm alice,json'), 'User "alice" has been deleted\nUser "json" has been deleted\n')
    assert.equal(await ok('users ls'), 'No users found\n')
  })
})

suite('tctl tokens', () => {
  test('add --format=text prints the token alone', async () =>
    assert.match(await ok('tokens add --type=app --ttl=1h --format=text'), /^[0-9a-f]{32}\n$/))
  test('add --format=json has an indent of one space and no newline at the end', async () => {
    const text = await ok('tokens add --type=KUBE --format=json')
    assert.match(
      text,
      /^\{\n "token": "[0-9a-f]{32}",\n "roles": \[\n {2}"Kube",\n {2}"App",\n {2}"Discovery"\n \],[\s\S]*\}$/,
    )
  })
  test('add without a format needs a proxy to name', async () =>
    assert.match(await fails('tokens add --type=app'), /^ERROR: cluster has no proxies\nhint: /))
  test('add without a format prints what to run', async () => {
    const text = await ok('tokens add --type=proxy --value=proxy-token-0123456789')
    assert.match(text, /^The invite token: proxy-token-0123456789\nThis token will expire in 30 minutes\.$/m)
    assert.match(text, /--token=proxy-token-0123456789 \\\n +--ca-pin=sha256:[0-9a-f]{64}/)
  })
  test('add of a token that exists asks for another name', async () =>
    assert.match(
      await fails('tokens add --type=proxy --value=proxy-token-0123456789'),
      /^ERROR: failed to create token \("proxy-token-0123456789" already exists\), please use another name$/m,
    ))
  test('add of an unknown role names those that exist', async () =>
    assert.match(await fails('tokens add --type=nope'), /role "nope" is not registered\nhint: use one of/))
  test('ls hides all but the end of a token', async () => {
    assert.match(
      await ok('tokens ls'),
      /^Token +Type +Labels +Expiry Time \(UTC\)\n[\s\S]*^\*{16}456789 +Proxy +\d\d \w{3} \d\d \d\d:\d\d UTC \((29|30)m\d+s\)$/m,
    )
    assert.match(await ok('tokens ls --with-secrets --format=text'), /^proxy-token-0123456789$/m)
  })
  test('rm deletes by the token itself', async () => {
    assert.equal(await ok('tokens rm proxy-token-0123456789'), 'Token proxy-token-0123456789 has been deleted\n')
    assert.match(await fails('tokens rm', 2), /Need an argument: token/)
  })
})

suite('tctl auth, lock and audit', () => {
  test('auth export prints certificates, and keys only when asked', async () => {
    assert.match(await ok('auth export --type=tls-host'), /^-----BEGIN CERTIFICATE-----/)
    assert.doesNotMatch(await ok('auth export --type=tls-spiffe'), /PRIVATE/)
    assert.match(await ok('auth export --type=tls-user --keys'), /PRIVATE KEY/)
    assert.doesNotMatch(await ok('auth export --type=tls-user-der'), /BEGIN/)
    assert.match(await fails('auth export --type=nope'), /^ERROR: /)
  })
  test('auth ls lists the auth processes', async () =>
    assert.match(await ok('auth ls'), /^Hostname +UUID +Address +Version\n/))
  test('lock creates a lock that is listed and removed', async () => {
    const [, name = ''] =
      /^Created a lock with name "([0-9a-f-]{36})"\.\n$/.exec(await ok('lock --user=mallory --ttl=1h')) ?? []
    assert.match(await ok('get locks'), new RegExp(`name: ${name}[\\s\\S]*user: mallory`))
    await ok(`rm lock/${name}`)
  })
  for (const [line, text] of [
    ['lock --user=a --ttl=1h --expires=2030-01-01T00:00:00Z', /use only one of --expires and --ttl/],
    ['lock --message=x', /a lock needs to know whom it stops/],
    ['lock --user=a --expires=2001-01-01T00:00:00Z', /is not a time in the future/],
  ] as const) {
    test(`refused: ${line}`, async () => assert.match(await fails(line, 2), text))
  }
  test('audit ls shows what was done, the newest first', async () => {
    const events: { event: string; time: string }[] = JSON.parse(await ok('audit ls --last=1h --format=json'))
    assert.ok(
      events.some(({ event }) => event === 'lock.created'),
      JSON.stringify(events.map(({ event }) => event)),
    )
    assert.deepEqual(
      events.map(({ time }) => time),
      events
        .map(({ time }) => time)
        .toSorted()
        .toReversed(),
    )
    assert.match(
      await ok('audit ls --type=role.created --limit=1'),
      /^Time +Event +Code +User +Details\n-.*\n\S+ role\.created +T9000I .*\n$/,
    )
    assert.match(await fails('audit ls --last=1h --from=2001-01-01', 2), /use only one of --from and --last/)
  })
})

suite('whom tctl calls as', () => {
  test('an identity file that was named', async () => {
    const { code } = await run(
      ['status', '--identity', auth.adminIdentityFile, '--auth-server', `127.0.0.1:${auth.port}`],
      {
        env: { TELEPORT_CONFIG_FILE: '/nowhere' },
      },
    )
    assert.equal(code, 0)
  })
  test('nobody where there is no configuration and no login', async () => {
    const { code, stderr } = await run(['status'], { env: { TELEPORT_CONFIG_FILE: '/nowhere' } })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: tctl does not know which cluster to call\nhint: log in with "tsh login"/)
  })
  test('a configuration that was named must be there', async () =>
    assert.match(await fails('status -c /nowhere.yaml'), /^ERROR: \/nowhere\.yaml/))
})
