/** What people and operators are told when they get it wrong: the exact words, from real programs at a real cluster. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLabAuthority } from '#lab/authority.ts'
import { product } from '#product.ts'
import { openShell, type Shell } from '#test/shell.ts'
import { createAuthenticator } from '#tour/authenticator.ts'
import { type Cluster, freePort, type Person, startCluster } from '#tour/cluster.ts'
import { type BadInput, clockOff, playRows, Transcript } from './bad-input-stage.ts'

const wrongCredentials = ['ERROR: invalid username, password or second factor', 'hint: check all three, then try again']
const invalidLink = [
  'ERROR: this link is not valid: it expired, or it was used already',
  'hint: ask an administrator for a new one',
]
const zeroPin = `sha256:${'0'.repeat(64)}`

test('whoever gets it wrong is told what happened and what to do, and no secret', async (t) => {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'bad-input-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const authLines = ['authentication: {lockout: {attempts: 3}}']
  const cluster = stack.use(await startCluster({ dir, authLines }))
  const alice = await cluster.addUser('alice', ['access'])
  const bob = await cluster.addUser('bob', ['access'])
  await alice.login()
  const transcript = new Transcript()
  transcript.forbid('password', alice.password)
  const stage: Stage = { cluster, alice, bob, stranger: openShell({ home: join(dir, 'stranger') }), transcript }

  await t.test('logging in', async (part) => playRows(part, loginRows(stage), transcript))
  await t.test('invites', async (part) => playRows(part, await inviteRows(stage), transcript))
  await t.test('proxies', async (part) => playRows(part, await proxyRows(stage, stack), transcript))
  await t.test('the workstation', async (part) => playRows(part, workstationRows(stage), transcript))
  await t.test('no secret was printed or logged', () => {
    transcript.add(cluster.processes.auth.output())
    transcript.check()
  })
})

interface Stage {
  readonly cluster: Cluster
  readonly alice: Person
  /** Has signed up and never logs in. */
  readonly bob: Person
  /** A workstation that has not logged in. */
  readonly stranger: Shell
  readonly transcript: Transcript
}

function loginRows({ cluster, alice, bob, stranger: as }: Stage): readonly BadInput[] {
  const attempt = (user: string): string =>
    `tsh login --proxy=${cluster.proxyAddr} --user=${user} --ca-pin=${cluster.caPin}`
  const lockedOut = [
    'ERROR: user has exceeded maximum failed login attempts',
    'hint: try again in 30 minutes, or ask an administrator to reset the account',
  ]
  const nobody = ['once', 'twice', 'thrice'].map((time) => ({
    says: `a user who does not exist, ${time}: the same words as for a wrong password`,
    as,
    does: attempt('nobody'),
    types: ['not the password', '123456'],
    sees: wrongCredentials,
  }))
  return [
    {
      says: 'a wrong password',
      as,
      does: attempt('bob'),
      types: ['not the password', '123456'],
      sees: wrongCredentials,
    },
    { says: 'a wrong code', as, does: attempt('bob'), types: [bob.password, '000000'], sees: wrongCredentials },
    { says: 'a third failure', as, does: attempt('bob'), types: ['not the password'], sees: wrongCredentials },
    {
      says: 'locked out, with the right password too',
      as,
      does: attempt('bob'),
      types: [bob.password],
      sees: lockedOut,
    },
    ...nobody,
    { says: 'who does not exist is locked out alike', as, does: attempt('nobody'), types: ['x'], sees: lockedOut },
    {
      says: 'no answer to the question',
      as,
      does: attempt('alice'),
      sees: [
        `ERROR: the input ended before an answer to "Enter password for Teleport user alice:"`,
        'hint: run the command in a terminal, or pipe one line for each question',
      ],
    },
    {
      says: 'a clock that is half a day behind',
      as,
      does: `${attempt('alice')} 2>&1 | sed 's/20[0-9T:.-]*Z/TIME/g'; exit 1`,
      types: [alice.password, alice.authenticator.nextCode()],
      env: clockOff(-13),
      sees: [
        'ERROR: the clock of this machine and that of the cluster differ too much',
        'hint: set the clock: it shows TIME, and the certificate is valid from TIME to TIME',
      ],
    },
  ]
}

async function inviteRows({ cluster, stranger: as, transcript }: Stage): Promise<readonly BadInput[]> {
  const { admin, proxyAddr, caPin } = cluster
  const invite = async (user: string, flags = ''): Promise<string> => {
    const { stdout } = await admin.run(`tctl users add ${user} --roles=access ${flags}`)
    const url = /https:\/\/\S+/.exec(stdout)?.[0] ?? ''
    transcript.forbid(`token of the invite of ${user}`, url.split('/').at(-1) ?? '')
    return url
  }
  const used = await invite('carol')
  {
    await using terminal = as.start(`tsh signup --ca-pin=${caPin} ${used}`)
    terminal.write('a long enough password\n')
    const [, secret = ''] = await terminal.waitFor(/secret[^A-Z2-7]*([A-Z2-7]{16,})/i)
    terminal.write(`${createAuthenticator(secret).nextCode()}\n`)
    await terminal.waitFor(/has been set/i)
  }
  const signup = (url: string): string => `tsh signup --ca-pin=${caPin} ${url}`
  return [
    { says: 'an invite that was used', as, does: signup(used), types: ['another long password'], sees: invalidLink },
    {
      says: 'an invite that never was: the same words',
      as,
      does: signup(`https://${proxyAddr}/web/invite/${'0'.repeat(32)}`),
      sees: invalidLink,
    },
    {
      says: 'a URL that is no invite',
      as,
      does: signup(`https://${proxyAddr}/web/login`),
      sees: [
        'ERROR: this is not the URL of an invite or a reset',
        'hint: copy it whole: https://PROXY/web/invite/TOKEN, as "tctl users add" prints it',
      ],
      code: 2,
    },
    {
      says: 'a password that is too short',
      as,
      does: signup(await invite('dave')),
      types: ['short'],
      sees: ['ERROR: the password has 5 characters', 'hint: choose one of 12 to 128'],
    },
  ]
}

async function proxyRows(stage: Stage, stack: AsyncDisposableStack): Promise<readonly BadInput[]> {
  const { cluster, stranger: as } = stage
  const { dir, proxyAddr } = cluster
  const authority = createLabAuthority(() => new Date())
  const { certificatePem: cert, privateKeyPem: key } = authority.issue('localhost')
  const serve = async (answer: object | string): Promise<number> => {
    const body = typeof answer === 'string' ? answer : JSON.stringify(answer)
    const server = https.createServer({ cert, key }, (_, response) => response.end(body)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => {
      server.close()
      server.closeAllConnections()
    })
    return (server.address() as AddressInfo).port // TCP
  }
  const trust = join(dir, 'company.pem')
  writeFileSync(trust, authority.caPem)
  const env = { NODE_EXTRA_CA_CERTS: trust }
  const login = (address: string, flags = ''): string => `tsh login --proxy=${address} --user=alice ${flags}`
  const nothingThere = await freePort()
  const website = await serve('<html>hello</html>')
  const newer = await serve({ cluster_name: 'c', server_version: '99.0.0', min_client_version: '98.0.0', auth: {} })
  const authPort = /listen_addr: 127\.0\.0\.1:(\d+)/.exec(
    (await cluster.admin.run(`cat ${cluster.processes.auth.configFile}`)).stdout,
  )?.[1]
  return [
    {
      says: 'a pin of another cluster',
      as,
      does: login(proxyAddr, `--ca-pin=${zeroPin}`),
      sees: [
        `ERROR: the proxy ${proxyAddr} shows no certificate with the key ${zeroPin}`,
        'hint: compare the pin with "tctl status"; if it is right, somebody else answers at this address',
      ],
    },
    {
      says: 'a pin that is none',
      as,
      does: login(proxyAddr, '--ca-pin=hello'),
      sees: [
        'ERROR: "hello" is not a CA pin',
        'hint: copy the "CA pin" line of "tctl status": sha256: and 64 hex digits',
      ],
    },
    {
      says: 'no pin where the machine does not trust the proxy',
      as,
      does: login(proxyAddr),
      sees: [
        `ERROR: the certificate of ${proxyAddr} is not signed by an authority that is trusted here`,
        'hint: give --ca-pin with the "CA pin" of "tctl status"; --insecure skips the check, in a test set-up alone',
      ],
    },
    {
      says: 'an address where nothing listens',
      as,
      does: login(`localhost:${nothingThere}`),
      sees: [
        `ERROR: cannot connect to localhost:${nothingThere}: ECONNREFUSED`,
        'hint: check the address, the network and, where one is needed, HTTPS_PROXY',
      ],
    },
    {
      says: 'a website that is no proxy',
      as,
      env,
      does: login(`localhost:${website}`),
      sees: [
        `ERROR: localhost:${website} answered something that is not JSON (status 200): it is probably not a Teleport proxy`,
        `hint: check the address: https://localhost:${website}/webapi/ping answers with JSON at a proxy`,
      ],
    },
    {
      says: 'the port of the Auth Service',
      as,
      does: login(`localhost:${authPort}`, `--ca-pin=${cluster.caPin}`),
      sees: [
        `ERROR: localhost:${authPort} does not answer like a Teleport proxy`,
        'hint: check that this is the address of a Teleport proxy',
      ],
    },
    {
      says: 'a cluster that wants a newer tsh',
      as,
      env,
      does: login(`localhost:${newer}`),
      sees: [
        `ERROR: this client is version ${product.version}, the cluster needs 98.0.0 or newer`,
        'hint: install version 99.0.0 of the client, or give --skip-version-check to try nevertheless',
      ],
    },
    {
      says: 'no proxy at all',
      as,
      does: 'tsh login --user=alice',
      sees: ['ERROR: no proxy is named', 'hint: add --proxy=HOST, the public address of your cluster'],
      code: 2,
    },
  ]
}

function workstationRows({ alice: { shell }, stranger, cluster }: Stage): readonly BadInput[] {
  const notLoggedIn = ['ERROR: Not logged in.', 'hint: run "tsh login --proxy=HOST --user=NAME"']
  const expired = ['ERROR: Active profile expired.', 'hint: run "tsh login" to log in again']
  const later = clockOff(13)
  return [
    ...['status', 'aws s3 ls', 'env'].map((command) => ({
      says: `tsh ${command} before a login`,
      as: stranger,
      does: `tsh ${command}`,
      sees: notLoggedIn,
    })),
    ...['status', 'apps login awsconsole', 'aws s3 ls', 'proxy aws'].map((command) => ({
      says: `tsh ${command} after the login expired`,
      as: shell,
      does: `tsh ${command}`,
      env: later,
      sees: expired,
    })),
    {
      says: 'an app that does not exist',
      as: shell,
      does: 'tsh apps login nope',
      sees: [
        'ERROR: app "nope" not found, use `tsh apps ls` to see registered apps',
        'hint: if it should be there, ask for a role whose app_labels match it, then run "tsh logout" and log in again',
      ],
    },
    {
      says: 'a misspelt option',
      as: shell,
      does: 'tsh apps login --aws-rol=x y',
      sees: ["ERROR: unknown option '--aws-rol=x'", 'hint: did you mean --aws-role?'],
      code: 2,
    },
    {
      says: 'a misspelt command',
      as: shell,
      does: 'tsh stauts',
      sees: ["ERROR: unknown command 'stauts'", 'hint: did you mean status?'],
      code: 2,
    },
    {
      says: 'a reader that has seen enough, and an output that is closed',
      as: shell,
      does: 'tsh --help | head -1 && tsh status | head -1 && tsh status >&- && tsh apps ls >&-',
      sees: [],
      code: 0,
    },
    {
      says: 'tctl without permission',
      as: shell,
      does: 'tctl get roles',
      sees: [
        'ERROR: access denied to perform action "list" on "role": none of your roles has it in allow.rules',
        'hint: ask for a role whose allow.rules have the resource "role" with the verb "list"',
      ],
    },
    {
      says: 'tctl that does not know where',
      as: stranger,
      does: 'tctl status',
      sees: [
        'ERROR: tctl does not know which cluster to call',
        'hint: log in with "tsh login", or run tctl on the host of the Auth Service, or give --identity and --auth-server',
      ],
    },
    {
      says: 'a name that steers terminals',
      as: shell,
      does: `tsh apps login "$(printf 'x\\033[2Jü')"`,
      sees: [
        'ERROR: app "x\\u001b[2Jü" not found, use `tsh apps ls` to see registered apps',
        'hint: if it should be there, ask for a role whose app_labels match it, then run "tsh logout" and log in again',
      ],
    },
    {
      says: 'another cluster',
      as: shell,
      does: 'tsh login other',
      sees: [
        'ERROR: no cluster "other" is known at this proxy',
        'hint: leave the name out; another cluster is named by --proxy',
      ],
      code: 2,
    },
    {
      says: 'a configuration without an Auth Service',
      as: shell,
      does: `tctl -c ${cluster.dir}/none.yaml status`,
      sees: [
        `ERROR: ${cluster.dir}/none.yaml is no configuration of an Auth Service`,
        'hint: check the path, and that auth_service is enabled in it',
      ],
    },
  ]
}
