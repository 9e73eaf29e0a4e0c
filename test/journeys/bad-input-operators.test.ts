/** What operators are told when they get it wrong: the exact words, from real programs at a real cluster. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Cluster, startCluster } from '#tour/cluster.ts'
import { type BadInput, playRows, Transcript } from './bad-input-stage.ts'

const joinRefused = [
  'ERROR: the join was refused',
  'hint: check that the token exists, has not expired, and allows this role and this join method; the audit log at the Auth Service has the reason',
]
const zeroPin = `sha256:${'0'.repeat(64)}`

test('operators who get it wrong are told what happened and what to do, and no secret', async (t) => {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'bad-input-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const cluster = stack.use(await startCluster({ dir }))
  await cluster.admin.run('tctl users add alice --roles=access')
  const transcript = new Transcript()
  const stage: Stage = { cluster, transcript }

  await t.test('roles', async (part) => playRows(part, roleRows(stage), transcript))
  await t.test('administration', async (part) => playRows(part, adminRows(stage), transcript))
  await t.test('daemons', async (part) => playRows(part, await daemonRows(stage), transcript))
  await t.test('agents that join', async (part) => playRows(part, await joinRows(stage), transcript))
  await t.test('no secret was printed or logged', () => {
    transcript.add(cluster.processes.auth.output())
    transcript.check()
  })
})

interface Stage {
  readonly cluster: Cluster
  readonly transcript: Transcript
}

function roleRows({ cluster: { admin } }: Stage): readonly BadInput[] {
  const rows: readonly (readonly [says: string, allow: string, error: string, hint?: string])[] = [
    [
      'an ARN that is none',
      "aws_role_arns: ['ReadOnly']",
      'role.yaml:7:21: role "bad": spec.allow.aws_role_arns[0]: invalid AWS ARN: "ReadOnly"',
      'write it as arn:aws:iam::123456789012:role/NAME',
    ],
    [
      'an unknown field',
      "app_lables: {'*': '*'}",
      'role.yaml:7:5: role "bad": spec.allow.app_lables: unknown field "app_lables", did you mean "app_labels"?',
    ],
    [
      'a template without quotes',
      'aws_role_arns: [{{internal.aws_role_arns}}]',
      'role.yaml:7:21: {{internal.aws_role_arns}} is a map in YAML and not a template: put it in quotes',
      'write "{{internal.aws_role_arns}}"',
    ],
    [
      'every AWS role at once',
      "aws_role_arns: ['*']",
      'role.yaml:7:21: role "bad": spec.allow.aws_role_arns[0]: wildcard matcher is not allowed in aws_role_arns',
    ],
  ]
  return rows.map(([says, allow, error, hint = 'correct the document and try again']) => ({
    says,
    as: admin,
    does: 'cat > role.yaml; tctl create role.yaml',
    types: ['kind: role', 'version: v7', 'metadata:', '  name: bad', 'spec:', '  allow:', `    ${allow}`],
    sees: [`ERROR: ${error}`, `hint: ${hint}`],
  }))
}

function adminRows({ cluster: { admin } }: Stage): readonly BadInput[] {
  const rows: readonly (readonly [says: string, does: string, error: string, hint: string, code?: number])[] = [
    ['no such file', 'tctl create none.yaml', 'none.yaml does not exist', 'check the path'],
    ['no such role', 'tctl get role/none', 'role "none" does not exist', 'run "tctl get role" to see what exists'],
    ['no such user', 'tctl users rm none', 'user "none" does not exist', 'run "tctl get user" to see what exists'],
    [
      'a role in use',
      'tctl rm role/access',
      'role "access" is in use by alice',
      'take it away from them first with "tctl users update NAME --set-roles …"',
    ],
    ['no such format', 'tctl get roles --format=xml', 'unsupported format "xml"', 'use one of yaml, json, text', 2],
    [
      'a lifetime that is none',
      'tctl tokens add --type=app --ttl=x',
      '--ttl: "x" is not a duration',
      'write a number and a unit, such as 30m, 1h30m or 2d',
      2,
    ],
    [
      'a lock on nobody',
      'tctl lock',
      'a lock needs to know whom it stops',
      'add --user, --role or another flag of "tctl lock --help"',
      2,
    ],
    [
      'an edit that somebody else was faster with',
      `EDITOR="sh -c 'tctl users update alice --set-logins=x >/dev/null; sed -i s/access/auditor/ \\"\\$0\\"'" tctl edit user/alice 2>&1 | sed "s#/tmp/.*/user.yaml#FILE#"; exit 1`,
      'user "alice" was changed since it was read',
      'somebody changed it meanwhile: run "tctl edit" again and take your changes over from FILE',
    ],
  ]
  return rows.map(([says, does, error, hint, code = 1]) => ({
    says,
    as: admin,
    does,
    sees: [`ERROR: ${error}`, `hint: ${hint}`],
    code,
  }))
}

async function daemonRows({ cluster }: Stage): Promise<readonly BadInput[]> {
  const { dir, admin: as, processes } = cluster
  const taken = /web_listen_addr: (\S+)/.exec((await as.run(`cat ${processes.auth.configFile}`)).stdout)?.[1]
  const configure = (name: string, dataDir: string, ...lines: readonly string[]): string => {
    const file = join(dir, name)
    const all = [
      'version: v3',
      `teleport: {data_dir: ${dataDir}}`,
      'proxy_service: {enabled: no}',
      'auth_service:',
      ...lines,
    ]
    writeFileSync(file, `${all.join('\n')}\n`)
    return `teleport start -c ${file}`
  }
  const wrong = join(dir, 'wrong.yaml')
  return [
    {
      says: 'an unknown key',
      as,
      does: configure('wrong.yaml', join(dir, 'other'), '  clustername: x'),
      sees: [
        `ERROR: failed parsing the config file: ${wrong}:5:3: auth_service.clustername: unknown field "clustername", did you mean "cluster_name"?`,
        `hint: correct ${wrong}, then check it with "teleport configure --test ${wrong}"`,
      ],
    },
    {
      says: 'no such file',
      as,
      does: `teleport start -c ${dir}/none.yaml`,
      sees: [
        `ERROR: failed to open file for Teleport configuration: ${dir}/none.yaml`,
        'hint: check the path given with --config',
      ],
    },
    {
      says: 'a port that is in use',
      as,
      does: configure('port.yaml', join(dir, 'other'), `  listen_addr: ${taken}`),
      sees: [`ERROR: cannot listen on ${taken}`, 'hint: choose another listen_addr, or stop what uses this one'],
    },
    {
      says: 'a data directory that cannot be',
      as,
      does: configure('data.yaml', join(wrong, 'data'), '  listen_addr: 127.0.0.1:0'),
      sees: [
        `ERROR: the data directory ${join(wrong, 'data')} cannot be written: ENOTDIR`,
        'hint: let the user of this process write there, or set teleport.data_dir to another directory',
      ],
    },
    {
      says: 'a second daemon on the same data directory',
      as,
      does: configure('second.yaml', processes.auth.dataDir, '  listen_addr: 127.0.0.1:0'),
      sees: [
        `ERROR: the storage file ${processes.auth.dataDir}/backend/sqlite.db is in use by process ${processes.auth.pid()}`,
        `hint: stop process ${processes.auth.pid()} or give this one a data directory of its own; two cannot share a SQLite file`,
      ],
    },
  ]
}

async function joinRows({ cluster, transcript }: Stage): Promise<readonly BadInput[]> {
  const { dir, admin: as, proxyAddr, caPin } = cluster
  const newToken = async (type: string, ttl = '1h'): Promise<string> => {
    const token = (await as.run(`tctl tokens add --type=${type} --ttl=${ttl} --format=text`)).stdout.trim()
    transcript.forbid(`join token for ${type}`, token)
    return token
  }
  let count = 0
  const start = (token: string, pin = caPin): string => {
    const file = join(dir, `joining-${++count}.yaml`)
    const lines = [
      'version: v3',
      'teleport:',
      `  data_dir: ${file}.d`,
      `  join_params: {token_name: ${token}, method: token}`,
      `  proxy_server: ${proxyAddr}`,
      `  ca_pin: ${pin}`,
      'auth_service: {enabled: no}',
      'proxy_service: {enabled: no}',
      'app_service: {enabled: yes, apps: [{name: x, uri: "http://localhost:1"}]}',
    ]
    writeFileSync(file, `${lines.join('\n')}\n`)
    return `teleport start -c ${file}`
  }
  const unknown = 'ffffffffffffffffffffffffffffffff'
  transcript.forbid('join token that never was', unknown)
  return [
    { says: 'a token that does not exist', as, does: start(unknown), sees: joinRefused },
    { says: 'a token for another role: the same words', as, does: start(await newToken('proxy')), sees: joinRefused },
    {
      says: 'a pin of another cluster',
      as,
      does: start(await newToken('app'), zeroPin),
      sees: [
        `ERROR: wrong CA pin: ${proxyAddr} presents a host authority with pin ${caPin}, and ca_pin is ${zeroPin}`,
        'hint: run "tctl status" on the Auth Service and set ca_pin to each "CA pin" that it prints; if they are set already, this is not your cluster',
      ],
    },
    {
      says: 'a file of a token that is not there',
      as,
      does: start('/none/token'),
      sees: [
        "ERROR: the join token's file /none/token cannot be read",
        'hint: correct teleport.join_params.token_name, or let this process read the file',
      ],
    },
    // The rows above take longer than it lives.
    {
      says: 'a token that has expired: the same words',
      as,
      does: start(await newToken('app', '1s')),
      sees: joinRefused,
    },
  ]
}
