/** Every call, with a row for each kind of caller: who may, and who may not. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { generate } from 'otplib'
import { AccessError } from '#errors.ts'
import {
  appServer,
  type CallerClients,
  type CallerKind,
  callerKinds,
  keyPem,
  type RunningAuth,
  role,
  runAuth,
} from './callers.conformance.ts'

let running: RunningAuth
before(async () => {
  running = await runAuth()
  await running.caller('app').join.heartbeat({ documents: [{ json: JSON.stringify(appServer('awsconsole')) }] })
})
after(() => running[Symbol.asyncDispose]())

const json = (document: object): { json: string } => ({ json: JSON.stringify(document) })
let counter = 0
/** A name that no other row uses. */
const fresh = (): string => `made-${counter++}`
const token = (name: string): object => ({ kind: 'token', metadata: { name }, spec: { roles: ['App'] } })
const app = (name: string): object => ({ kind: 'app', metadata: { name }, spec: { uri: 'https://example.com' } })
const lock = (name: string): object => ({ kind: 'lock', metadata: { name }, spec: { target: { user: 'nobody' } } })
const user = (name: string): object => ({ kind: 'user', metadata: { name }, spec: { roles: ['plain'] } })
const cap = (): object => ({ kind: 'cluster_auth_preference', spec: { second_factor: 'off' } })
const networking = (): object => ({ kind: 'cluster_networking_config', spec: {} })
const event = (type: string, code: string): string =>
  JSON.stringify({ event: type, code, time: '2030-01-01T00:00:00.000Z', uid: fresh(), ei: 0, cluster_name: 'x' })

/** What the answer says beyond "may not": a row expects one of these for each caller who is not listed as allowed. */
const refusals = ['unauthenticated', 'denied', 'not-found']

interface Row {
  readonly call: string
  readonly may: readonly CallerKind[]
  readonly run: (caller: CallerClients, kind: CallerKind) => Promise<unknown>
}

const everyone = callerKinds
const known = callerKinds.filter((kind) => kind !== 'anonymous')
const people: readonly CallerKind[] = ['plain', 'editor', 'auditor']

/** Goes as far as the first event of a watch. */
async function watchOnce(caller: CallerClients, ...kinds: string[]): Promise<void> {
  const stop = new AbortController()
  for await (const _ of caller.resources.watch({ kinds }, { signal: stop.signal })) break
  stop.abort()
}

const rows: readonly Row[] = [
  { call: 'Ping', may: everyone, run: ({ cluster }) => cluster.ping({}) },
  { call: 'ExportAuthorities', may: everyone, run: ({ cluster }) => cluster.exportAuthorities({ type: 'tls-host' }) },
  {
    call: 'ExportAuthorities with keys',
    may: ['admin'],
    run: ({ cluster }) => cluster.exportAuthorities({ type: 'tls-host', withKeys: true }),
  },
  { call: 'WhoAmI', may: known, run: ({ cluster }) => cluster.whoAmI({}) },

  {
    call: 'Get role',
    may: ['app', 'proxy', 'editor', 'admin'],
    run: ({ resources }) => resources.get({ kind: 'role', name: 'plain' }),
  },
  {
    call: 'Get user',
    may: ['editor', 'admin'],
    run: ({ resources }) => resources.get({ kind: 'user', name: 'plain-user' }),
  },
  {
    call: 'Get authority with keys',
    may: ['admin'],
    run: ({ resources }) => resources.get({ kind: 'cert_authority', name: 'user', withSecrets: true }),
  },
  {
    call: 'Get authority',
    may: known,
    run: ({ resources }) => resources.get({ kind: 'cert_authority', name: 'user' }),
  },
  {
    call: 'List roles',
    may: ['app', 'proxy', 'editor', 'admin'],
    run: ({ resources }) => resources.list({ kind: 'role' }),
  },
  { call: 'List users', may: ['editor', 'admin'], run: ({ resources }) => resources.list({ kind: 'user' }) },
  { call: 'List tokens', may: ['editor', 'admin'], run: ({ resources }) => resources.list({ kind: 'token' }) },
  { call: 'List apps', may: known, run: ({ resources }) => resources.list({ kind: 'app' }) },
  {
    call: 'List app servers',
    may: ['proxy', 'plain', 'editor', 'auditor', 'admin'],
    run: ({ resources }) => resources.list({ kind: 'app_server' }),
  },
  { call: 'List proxies', may: known, run: ({ resources }) => resources.list({ kind: 'proxy' }) },
  {
    call: 'List auth servers',
    may: ['proxy', 'plain', 'editor', 'auditor', 'admin'],
    run: ({ resources }) => resources.list({ kind: 'auth_server' }),
  },
  {
    call: 'List auth preference',
    may: known,
    run: ({ resources }) => resources.list({ kind: 'cluster_auth_preference' }),
  },
  { call: 'Watch roles', may: ['app', 'proxy', 'editor', 'admin'], run: (caller) => watchOnce(caller, 'role') },
  {
    call: 'Watch locks',
    may: ['app', 'proxy', 'editor', 'auditor', 'admin'],
    run: (caller) => watchOnce(caller, 'lock'),
  },
  { call: 'Watch users', may: ['editor', 'admin'], run: (caller) => watchOnce(caller, 'user') },
  { call: 'Watch tokens', may: ['editor', 'admin'], run: (caller) => watchOnce(caller, 'token') },
  { call: 'Watch roles and users', may: ['editor', 'admin'], run: (caller) => watchOnce(caller, 'role', 'user') },
  ...[role, token, app, lock, user].map(
    (make): Row => ({
      call: `Create ${make.name}`,
      may: ['editor', 'admin'],
      run: ({ resources }) => resources.create({ document: json(make(fresh(), {})) }),
    }),
  ),
  {
    call: 'Update role',
    may: ['editor', 'admin'],
    run: ({ resources }) => resources.update({ document: json(role('plain', { app_labels: { env: ['dev'] } })) }),
  },
  {
    call: 'Upsert networking settings',
    may: ['editor', 'admin'],
    run: ({ resources }) => resources.upsert({ document: json(networking()) }),
  },
  {
    call: 'Upsert auth preference of the file, confirmed',
    may: ['editor', 'admin'],
    run: ({ resources }) => resources.upsert({ document: json(cap()), confirm: true }),
  },
  {
    call: 'Upsert a new token',
    may: ['editor', 'admin'],
    run: ({ resources }) => resources.upsert({ document: json(token(fresh())) }),
  },
  ...[role, token, app, lock, user].map(
    (make): Row => ({
      call: `Delete ${make.name}`,
      may: ['editor', 'admin'],
      run: async ({ resources }) => {
        const name = fresh()
        await running.create(make(name, {}))
        const { kind } = make(name, {}) as { kind: string }
        await resources.delete({ kind, name })
      },
    }),
  ),

  { call: 'ListApps', may: people, run: ({ apps }) => apps.listApps({}) },
  {
    call: 'StartAppSession',
    may: ['plain'],
    run: ({ apps }) => apps.startAppSession({ app: 'awsconsole', publicKeyPem: keyPem() }),
  },
  { call: 'EndAppSession', may: people, run: ({ apps }) => apps.endAppSession({ sessionId: crypto.randomUUID() }) },

  {
    call: 'BeginLogin',
    may: ['proxy'],
    run: ({ logins }) =>
      logins.beginLogin({ user: 'plain-user', password: 'a password for tests', clientAddress: '192.0.2.10' }),
  },
  {
    call: 'FinishLogin',
    may: ['proxy'],
    run: ({ logins }) =>
      logins.finishLogin({
        user: 'plain-user',
        password: 'a password for tests',
        publicKeyPem: keyPem(),
        clientAddress: '192.0.2.10',
      }),
  },
  {
    call: 'GetUserToken',
    may: ['proxy'],
    run: async ({ logins }) => logins.getUserToken({ token: await invite() }),
  },
  {
    call: 'RedeemUserToken',
    may: ['proxy'],
    run: async ({ logins }) => logins.redeemUserToken({ token: await invite(), password: 'a password for tests' }),
  },

  { call: 'CreateUser', may: ['editor', 'admin'], run: ({ users }) => users.createUser({ user: json(user(fresh())) }) },
  {
    call: 'ResetUser',
    may: ['editor', 'admin'],
    run: async ({ users }) => {
      const name = fresh()
      await running.create(user(name))
      await users.resetUser({ name })
    },
  },
  {
    call: 'ChangePassword',
    may: people,
    run: ({ users }) =>
      users.changePassword({ oldPassword: 'a password for tests', newPassword: 'a password for tests' }),
  },
  { call: 'ListMfaDevices', may: people, run: ({ users }) => users.listMfaDevices({}) },
  { call: 'BeginAddMfaDevice', may: people, run: ({ users }) => users.beginAddMfaDevice({ name: 'phone' }) },
  {
    call: 'FinishAddMfaDevice',
    may: people,
    run: async ({ users }, kind) => {
      if (!people.includes(kind)) return users.finishAddMfaDevice({ enrolmentId: 'x', totpCode: '000000' })
      return addDevice(users, fresh())
    },
  },
  {
    call: 'DeleteMfaDevice',
    may: people,
    run: async ({ users }, kind) => {
      if (!people.includes(kind)) return users.deleteMfaDevice({ device: 'x' })
      const { name, secret } = await addDevice(users, fresh())
      running.pass(60_000)
      return users.deleteMfaDevice({ device: name, totpCode: await codeOf(secret) })
    },
  },
  {
    call: 'ReissueCertificate',
    may: people,
    run: ({ users }) => users.reissueCertificate({ publicKeyPem: keyPem() }),
  },

  {
    call: 'Join with a token',
    may: everyone,
    run: ({ join }) =>
      join.join({
        token: 'static-token-for-the-tests-of-auth',
        method: 'token',
        role: 'App',
        nodeName: 'n',
        publicKeyPem: keyPem(),
      }),
  },
  { call: 'Renew', may: ['app', 'proxy'], run: ({ join }) => join.renew({ publicKeyPem: keyPem() }) },
  {
    call: 'IssueServedName of an app',
    may: ['app'],
    run: ({ join }) => join.issueServedName({ kind: 'app', name: 'awsconsole', publicKeyPem: keyPem() }),
  },
  {
    call: 'IssueServedName of the tunnel',
    may: ['proxy'],
    run: ({ join }) => join.issueServedName({ kind: 'tunnel', publicKeyPem: keyPem() }),
  },
  {
    call: 'IssueServedName of a web address',
    may: ['proxy'],
    run: ({ join }) => join.issueServedName({ kind: 'web', name: 'proxy.example.test', publicKeyPem: keyPem() }),
  },
  {
    call: 'Heartbeat of an app',
    may: ['app'],
    run: ({ join }) => join.heartbeat({ documents: [json(appServer('awsconsole'))] }),
  },
  {
    call: 'Heartbeat of a proxy',
    may: ['proxy'],
    run: ({ join }) =>
      join.heartbeat({
        documents: [
          json({
            kind: 'proxy',
            metadata: { name: 'x' },
            spec: { host_id: 'x', public_addr: 'proxy.example.test:443' },
          }),
        ],
      }),
  },

  { call: 'Emit', may: ['app', 'proxy'], run: ({ audit }) => audit.emit({ eventsJson: [event('auth', 'T3007W')] }) },
  { call: 'Search', may: ['editor', 'auditor', 'admin'], run: ({ audit }) => audit.search({}) },
]

const codeOf = (secret: string): Promise<string> => generate({ secret, epoch: running.now().getTime() / 1000 })

/** Devices that each caller has; the newest gives the codes. */
const secrets = new Map<CallerClients['users'], string>()

async function addDevice(users: CallerClients['users'], name: string): Promise<{ name: string; secret: string }> {
  running.pass(60_000)
  const known = secrets.get(users)
  const totpCode = known === undefined ? '' : await codeOf(known)
  const { enrolmentId, totpSecret } = await users.beginAddMfaDevice({ name, totpCode })
  await users.finishAddMfaDevice({ enrolmentId, totpCode: await codeOf(totpSecret) })
  if (known === undefined) secrets.set(users, totpSecret)
  return { name, secret: totpSecret }
}

async function invite(): Promise<string> {
  const { token } = await running.caller('admin').users.createUser({ user: json(user(fresh())) })
  return token
}

for (const { call, may, run } of rows) {
  suite(call, () => {
    for (const kind of callerKinds) {
      const isAllowed = may.includes(kind)
      test(`${kind} ${isAllowed ? 'may' : 'may not'}`, async () => {
        if (isAllowed) {
          await run(running.caller(kind), kind)
          return
        }
        await assert.rejects(run(running.caller(kind), kind), (error: unknown) => {
          assert.ok(error instanceof AccessError && refusals.includes(error.code), String(error))
          return true
        })
      })
    }
  })
}
