import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { AccessDenied, AlreadyExists, Conflict, InvalidInput } from '#errors.ts'
import { type CallerClients, type RunningAuth, role, runAuth } from './callers.conformance.ts'

let running: RunningAuth
let editor: CallerClients
before(async () => {
  running = await runAuth()
  editor = running.caller('editor')
})
after(() => running[Symbol.asyncDispose]())

const send = (document: object): { document: { json: string } } => ({ document: { json: JSON.stringify(document) } })
const read = ({ json }: { json: string }) => JSON.parse(json)
const get = async (kind: string, name: string, withSecrets = false) =>
  read(await editor.resources.get({ kind, name, withSecrets }))
const user = (name: string, roles: string[], more: object = {}): object => ({
  kind: 'user',
  metadata: { name },
  spec: { roles, ...more },
})
const locks = async () =>
  (await running.caller('admin').resources.list({ kind: 'lock' })).documents.map((document) => read(document))

suite('writing resources', () => {
  test('what is created twice exists already', async () => {
    await editor.resources.create(send(role('twice', {})))
    await assert.rejects(editor.resources.create(send(role('twice', {}))), { code: 'already-exists' })
  })

  test('an update at an old revision is a conflict, and keeps what is there', async () => {
    const first = read(await editor.resources.create(send(role('revised', {}))))
    await editor.resources.update(send({ ...first, spec: { ...first.spec, allow: { app_labels: { a: ['1'] } } } }))
    await assert.rejects(
      editor.resources.update(send({ ...first, spec: { ...first.spec, allow: { app_labels: { a: ['2'] } } } })),
      { code: 'conflict' },
    )
    assert.deepEqual((await get('role', 'revised')).spec.allow.app_labels, { a: ['1'] })
  })

  test('an update without a revision replaces', async () => {
    await editor.resources.create(send(role('unrevised', {})))
    await editor.resources.update(send(role('unrevised', { app_labels: { a: ['1'] } })))
    assert.deepEqual((await get('role', 'unrevised')).spec.allow.app_labels, { a: ['1'] })
  })

  test('an update of what is not there is refused, an upsert creates it', async () => {
    await assert.rejects(editor.resources.update(send(role('absent', {}))), { code: 'not-found' })
    assert.equal((await editor.resources.upsert(send(role('absent', {})))).created, true)
    assert.equal((await editor.resources.upsert(send(role('absent', {})))).created, false)
  })

  for (const { says, document, error } of [
    { says: 'an unknown kind', document: { kind: 'spaceship', metadata: { name: 'x' } }, error: /no resource kind/ },
    {
      says: 'an alias in place of the kind',
      document: { kind: 'roles', metadata: { name: 'x' } },
      error: /no resource kind/,
    },
    { says: 'an unknown field', document: role('x', { app_label: {} }), error: /app_labels/ },
    { says: 'the built-in role', document: role('default-implicit-role', {}), error: /reserved role/ },
    { says: 'a user whose role does not exist', document: user('x', ['no-such-role']), error: /no-such-role/ },
    { says: 'a user with a name of a bot', document: user('bot-x', ['plain']), error: /bots/ },
    {
      says: 'a user with a password hash',
      document: user('x', ['plain'], { local_auth: { password_hash: 'x' } }),
      error: /local_auth/,
    },
    {
      says: 'a token for the Auth Service',
      document: { kind: 'token', metadata: { name: 'x' }, spec: { roles: ['Auth'] } },
      error: /Auth/,
    },
    {
      says: 'an authority',
      document: { kind: 'cert_authority', metadata: { name: 'user' }, spec: { type: 'user', cluster_name: 'x' } },
      error: /not written by hand/,
    },
    {
      says: 'an app server',
      document: { kind: 'proxy', metadata: { name: 'p' }, spec: { host_id: 'p' } },
      error: /not written by hand/,
    },
    {
      says: 'a label of the cluster',
      document: { ...role('x', {}), metadata: { name: 'x', labels: { 'teleport.internal/removal': 'yes' } } },
      error: /set by the cluster/,
    },
    {
      says: 'a resource that poses as the file’s',
      document: { ...role('x', {}), metadata: { name: 'x', labels: { 'teleport.dev/origin': 'config-file' } } },
      error: /set by the cluster/,
    },
  ]) {
    test(`${says} is refused by name`, async () => {
      for (const caller of [running.caller('admin'), editor]) {
        await assert.rejects(caller.resources.create(send(document)), error)
      }
    })
  }

  test('what is no JSON is refused', async () => {
    await assert.rejects(editor.resources.create({ document: { json: '{"kind":' } }), InvalidInput)
    await assert.rejects(editor.resources.create({}), InvalidInput)
  })

  test('who writes is recorded in the document, whatever it says', async () => {
    await editor.resources.create(
      send(user('authored', ['plain'], { created_by: { user: { name: 'somebody else' } } })),
    )
    assert.equal((await get('user', 'authored')).spec.created_by.user.name, 'editor-user')
  })
})

suite('settings', () => {
  test('of the configuration file change only when confirmed', async () => {
    const settings = { kind: 'cluster_auth_preference', spec: { second_factor: 'off', message_of_the_day: 'hi' } }
    await assert.rejects(editor.resources.upsert(send(settings)), /configuration file/)
    await assert.rejects(editor.resources.update(send(settings)), Conflict)
    await editor.resources.upsert({ ...send(settings), confirm: true })
    assert.equal(
      (await get('cluster_auth_preference', 'cluster-auth-preference')).metadata.labels['teleport.dev/origin'],
      'dynamic',
    )
  })

  test('that are removed go back to the defaults', async () => {
    const name = 'cluster-networking-config'
    await editor.resources.upsert(send({ kind: 'cluster_networking_config', spec: { keep_alive_count_max: 7 } }))
    await editor.resources.delete({ kind: 'cluster_networking_config', name })
    assert.equal((await get('cluster_networking_config', name)).spec.keep_alive_count_max, 3)
  })
})

suite('removing what certificates still say', () => {
  test('a removed user is stopped at once, although their certificate is valid', async () => {
    const alice = await running.login('alice', ['plain'])
    await alice.cluster.whoAmI({})
    await editor.resources.delete({ kind: 'user', name: 'alice' })
    await assert.rejects(alice.cluster.whoAmI({}), /lock targeting User:"alice" is in force: the user was removed/)
    const [lock] = (await locks()).filter(({ spec }) => spec.target.user === 'alice')
    const hours = (Date.parse(lock.spec.expires) - running.now().getTime()) / 3_600_000
    assert.ok(hours > 29.9 && hours <= 30)
  })

  test('a new user of that name has to wait, or the lock has to go', async () => {
    await assert.rejects(editor.resources.create(send(user('alice', ['plain']))), /was removed/)
    const [lock] = (await locks()).filter(({ spec }) => spec.target.user === 'alice')
    await editor.resources.delete({ kind: 'lock', name: lock.metadata.name })
    await running.login('alice', ['plain'])
  })

  test('a role that is taken away stops the certificates that name it, until it is given back', async () => {
    await running.create(role('extra', {}))
    const bob = await running.login('bob', ['plain', 'extra'])
    await editor.resources.update(send(user('bob', ['plain'])))
    await assert.rejects(bob.cluster.whoAmI({}), AccessDenied)
    await editor.resources.upsert(send(user('bob', ['plain', 'extra'])))
    await bob.cluster.whoAmI({})
  })

  test('a role in use is not removed, and who may list users is told by whom', async () => {
    await running.create(role('used', {}), role('remover', { rules: [{ resources: ['role'], verbs: ['delete'] }] }))
    await editor.resources.create(send(user('carol', ['used'])))
    await assert.rejects(editor.resources.delete({ kind: 'role', name: 'used' }), /in use by carol/)
    const remover = await running.login('remover', ['remover'])
    await assert.rejects(remover.resources.delete({ kind: 'role', name: 'used' }), /in use by users/)
    await editor.resources.update(send(user('carol', ['plain'])))
    await editor.resources.delete({ kind: 'role', name: 'used' })
  })

  test('a lock stops a user and a member wherever they call', async () => {
    const dave = await running.login('dave', ['plain'])
    const agent = await running.joinAs('App')
    await running.create(
      { kind: 'lock', metadata: { name: 'dave' }, spec: { target: { user: 'dave' } } },
      { kind: 'lock', metadata: { name: 'agent' }, spec: { target: { server_id: agent.hostId } } },
    )
    await assert.rejects(dave.apps.listApps({}), /lock targeting User:"dave"/)
    await assert.rejects(agent.resources.list({ kind: 'role' }), /lock targeting ServerId/)
    await editor.resources.delete({ kind: 'lock', name: 'dave' })
    await dave.apps.listApps({})
  })
})

suite('secrets', () => {
  test('names of tokens are masked in a list, and shown to who asks for secrets and may read', async () => {
    const [masked] = (await editor.resources.list({ kind: 'token' })).documents.map((document) => read(document))
    assert.match(masked.metadata.name, /^\*+/)
    const shown = (await editor.resources.list({ kind: 'token', withSecrets: true })).documents.map((document) =>
      read(document),
    )
    assert.ok(shown.some(({ metadata }) => metadata.name === 'static-token-for-the-tests-of-auth'))
  })

  test('keys of authorities are not in what everyone may read', async () => {
    const { json } = await running.caller('plain').resources.get({ kind: 'cert_authority', name: 'host' })
    assert.match(json, /BEGIN CERTIFICATE/)
    assert.doesNotMatch(json, /PRIVATE KEY|served_name_secret/)
  })

  test('rules with readnosecrets do not give secrets', async () => {
    await running.create(role('half', { rules: [{ resources: ['token'], verbs: ['list', 'readnosecrets'] }] }))
    const half = await running.login('half', ['half'])
    await half.resources.list({ kind: 'token' })
    await assert.rejects(half.resources.list({ kind: 'token', withSecrets: true }), AccessDenied)
    await assert.rejects(async () => {
      for await (const _ of half.resources.watch({ kinds: ['token'] })) break
    }, AccessDenied)
  })
})

test('a static token cannot be removed while the file names it', async () => {
  await assert.rejects(
    editor.resources.delete({ kind: 'token', name: 'static-token-for-the-tests-of-auth' }),
    /configuration file/,
  )
})

test('each change has its event, with who made it', async () => {
  const before = (await running.events()).length
  await editor.resources.create(send(role('evented', {})))
  await editor.resources.update(send(role('evented', { app_labels: { a: ['1'] } })))
  await editor.resources.delete({ kind: 'role', name: 'evented' })
  await editor.resources.create(send(user('evented', ['plain'])))
  await editor.resources.create(
    send({ kind: 'app', metadata: { name: 'evented' }, spec: { uri: 'https://e.example' } }),
  )
  await editor.resources.create(send({ kind: 'lock', metadata: { name: 'evented' }, spec: { target: { user: 'x' } } }))
  await editor.resources.create(
    send({ kind: 'token', metadata: { name: 'evented-secret-token' }, spec: { roles: ['App'] } }),
  )
  await editor.resources.upsert(send({ kind: 'cluster_networking_config', spec: {} }))
  const events = (await running.events()).slice(before)
  assert.deepEqual(
    events.map(({ event, code, user }) => [event, code, user]),
    [
      ['role.created', 'T9000I', 'editor-user'],
      ['role.updated', 'T9002I', 'editor-user'],
      ['role.deleted', 'T9001I', 'editor-user'],
      ['user.create', 'T1002I', 'editor-user'],
      ['app.create', 'TAP03I', 'editor-user'],
      ['lock.created', 'TLK00I', 'editor-user'],
      ['join_token.create', 'TJT00I', 'editor-user'],
      ['cluster_networking_config.update', 'TCNET002I', 'editor-user'],
    ],
  )
  assert.doesNotMatch(JSON.stringify(events), /evented-secret/)
})

test('a refused change leaves no event', async () => {
  const before = (await running.events()).length
  await assert.rejects(editor.resources.create(send(role('plain', {}))), AlreadyExists)
  await assert.rejects(running.caller('plain').resources.create(send(role('mine', {}))), AccessDenied)
  assert.equal((await running.events()).length, before)
})
