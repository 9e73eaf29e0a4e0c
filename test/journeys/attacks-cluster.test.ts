/** What strangers, users and members of the cluster try at the Auth Service to be more than they are. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import {
  type CallerClients,
  type CallerKind,
  keyPem,
  password,
  type RunningAuth,
  role,
  runAuth,
} from '#auth/callers.conformance.ts'
import { AccessError } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import { issueCertificate, oids, parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { fromConnectError } from '#rpc/status.ts'

let running: RunningAuth
before(async () => {
  running = await runAuth({}, ['plain', 'editor', 'auditor'])
})
after(() => running[Symbol.asyncDispose]())

const refused = (call: Promise<unknown>): Promise<AccessError> =>
  call.then(
    () => assert.fail('it was let through'),
    (error: unknown) => {
      const told = fromConnectError(error)
      assert.ok(told instanceof AccessError)
      assert.doesNotMatch(`${told.message} ${told.hint}`, /PRIVATE KEY|argon2|SQLITE|node:internal/)
      return told
    },
  )
const document = (value: object): { document: { json: string } } => ({ document: { json: JSON.stringify(value) } })

suite('a call by who may not make it', () => {
  const joins = { token: 'x'.repeat(40), method: 'token', nodeName: 'n', publicKeyPem: '' }
  const calls: readonly (readonly [
    says: string,
    call: (as: CallerClients) => Promise<unknown>,
    by: readonly CallerKind[],
  ])[] = [
    [
      'keys of the authorities',
      (as) => as.cluster.exportAuthorities({ type: 'user', withKeys: true }),
      ['anonymous', 'plain', 'editor', 'app', 'proxy'],
    ],
    [
      'a login from a made-up address',
      (as) => as.logins.beginLogin({ user: 'plain', password, clientAddress: '10.0.0.1' }),
      ['anonymous', 'plain', 'editor', 'app', 'admin'],
    ],
    [
      'a certificate for a password, past the proxy',
      (as) => as.logins.finishLogin({ user: 'plain', password, publicKeyPem: keyPem(), clientAddress: '' }),
      ['anonymous', 'plain', 'app'],
    ],
    ['what an invite is for', (as) => as.logins.getUserToken({ token: 'x' }), ['anonymous', 'plain', 'app']],
    [
      'the served name of an app',
      (as) => as.join.issueServedName({ kind: 'app', name: 'awsconsole', publicKeyPem: keyPem() }),
      ['anonymous', 'plain', 'editor', 'proxy'],
    ],
    [
      'the name of the tunnel',
      (as) => as.join.issueServedName({ kind: 'tunnel', name: '', publicKeyPem: keyPem() }),
      ['anonymous', 'plain', 'app'],
    ],
    [
      'a public name of the proxy',
      (as) => as.join.issueServedName({ kind: 'web', name: 'example.com', publicKeyPem: keyPem() }),
      ['anonymous', 'plain', 'app'],
    ],
    [
      'the name of the Auth Service',
      (as) => as.join.issueServedName({ kind: 'web', name: 'auth.rpc.example.test', publicKeyPem: keyPem() }),
      ['app', 'proxy'],
    ],
    [
      'every name of the Auth Service',
      (as) => as.join.issueServedName({ kind: 'web', name: 'rpc.example.test', publicKeyPem: keyPem() }),
      ['proxy'],
    ],
    [
      'a renewal of what a member has',
      (as) => as.join.renew({ publicKeyPem: keyPem() }),
      ['anonymous', 'plain', 'editor'],
    ],
    ['an announcement', (as) => as.join.heartbeat({ documents: [] }), ['anonymous', 'plain', 'editor']],
    ['an event', (as) => as.audit.emit({ eventsJson: [] }), ['anonymous', 'plain', 'editor', 'auditor', 'admin']],
    ['the audit log', (as) => as.audit.search({}), ['anonymous', 'plain', 'app', 'proxy']],
    [
      'join tokens',
      (as) => as.resources.list({ kind: 'token', withSecrets: true }),
      ['anonymous', 'plain', 'auditor', 'app', 'proxy'],
    ],
    ['users', (as) => as.resources.list({ kind: 'user' }), ['anonymous', 'plain', 'app', 'proxy']],
    [
      'authorities with keys',
      (as) => as.resources.list({ kind: 'cert_authority', withSecrets: true }),
      ['anonymous', 'plain', 'auditor', 'app', 'proxy'],
    ],
    [
      'a role for themselves',
      (as) => as.resources.create(document(role('mine', { rules: [{ resources: ['*'], verbs: ['*'] }] }))),
      ['anonymous', 'plain', 'auditor', 'app', 'proxy'],
    ],
    [
      'a token for the role Admin',
      (as) =>
        as.resources.create(
          document({
            kind: 'token',
            version: 'v2',
            metadata: { name: 'root-of-all-tokens' },
            spec: { roles: ['Admin'], join_method: 'token' },
          }),
        ),
      ['plain', 'editor', 'app'],
    ],
    [
      'a token for the role Auth',
      (as) =>
        as.resources.create(
          document({
            kind: 'token',
            version: 'v2',
            metadata: { name: 'auth-of-all-tokens' },
            spec: { roles: ['Auth'], join_method: 'token' },
          }),
        ),
      ['plain', 'editor', 'app'],
    ],
    [
      'a user with the name of a bot',
      (as) =>
        as.resources.create(
          document({ kind: 'user', version: 'v2', metadata: { name: 'bot-robot' }, spec: { roles: ['access'] } }),
        ),
      ['plain', 'editor'],
    ],
    [
      'an authority',
      (as) =>
        as.resources.upsert(document({ kind: 'cert_authority', version: 'v2', metadata: { name: 'user' }, spec: {} })),
      ['plain', 'editor', 'app', 'proxy'],
    ],
    [
      'a served app by hand',
      (as) => as.resources.create(document({ kind: 'app_server', version: 'v3', metadata: { name: 'x/y' }, spec: {} })),
      ['plain', 'editor', 'app'],
    ],
    [
      'the reset of another user',
      (as) => as.users.resetUser({ name: 'editor' }),
      ['anonymous', 'plain', 'auditor', 'app', 'proxy'],
    ],
    [
      'a user',
      (as) =>
        as.users.createUser({
          user: { json: JSON.stringify({ kind: 'user', metadata: { name: 'eve' }, spec: { roles: ['editor'] } }) },
        }),
      ['anonymous', 'plain', 'auditor', 'app', 'proxy'],
    ],
    [
      'a certificate as a person',
      (as) => as.users.reissueCertificate({ publicKeyPem: keyPem() }),
      ['anonymous', 'app', 'proxy', 'admin'],
    ],
    [
      'an app session',
      (as) => as.apps.startAppSession({ app: 'awsconsole', publicKeyPem: keyPem() }),
      ['anonymous', 'app', 'proxy', 'admin'],
    ],
    [
      'a place in the cluster as Auth',
      (as) => as.join.join({ ...joins, role: 'Auth', publicKeyPem: keyPem() }),
      ['anonymous', 'app', 'proxy'],
    ],
    [
      'a place in the cluster as Admin',
      (as) => as.join.join({ ...joins, role: 'Admin', publicKeyPem: keyPem() }),
      ['anonymous', 'app', 'proxy'],
    ],
  ]
  for (const [says, call, by] of calls) {
    for (const kind of by)
      test(`${kind} does not get ${says}`, () => refused(call(running.caller(kind))).then(() => {}))
  }

  for (const kind of ['token', 'user', 'cert_authority', 'app_server', 'auth_server', 'constructor', '__proto__']) {
    test(`an App agent does not watch ${kind} with what is secret in it`, async () => {
      const events: string[] = []
      const watching = (async () => {
        for await (const event of running.caller('app').resources.watch({ kinds: [kind] })) {
          events.push(JSON.stringify(event, (_, value) => (typeof value === 'bigint' ? `${value}` : value)))
          if (event.event.case === 'snapshotEnd') return
        }
      })()
      if (kind === 'cert_authority') await watching
      else await refused(watching)
      assert.doesNotMatch(events.join(''), /PRIVATE KEY|"key"/)
    })
  }
})

suite('a certificate that says something else than its holder', () => {
  test('a user with the name of a host is a user', async () => {
    const name = `${running.auth.clusterName}`
    const eve = await running.login(`11111111-2222-4333-8444-555555555555.${name}`, ['access'])
    const identity = decodeIdentity(parseCertificate(eve.certificate?.cert ?? ''), 'user')
    assert.equal(identity.kind, 'user')
    await refused(eve.join.renew({ publicKeyPem: keyPem() }))
    await refused(eve.audit.emit({ eventsJson: [] }))
  })

  for (const name of ['Admin', 'Auth', 'Proxy']) {
    test(`there is no role of people called ${name}`, async () => {
      await refused(running.caller('admin').resources.create(document(role(name, {}))))
    })
  }

  test('the certificate of a served name is no identity', async () => {
    const keys = generateKeyPair()
    const agent = await running.joinAs('App')
    const { certificatePem } = await agent.join.issueServedName({
      kind: 'app',
      name: 'awsconsole',
      publicKeyPem: keys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    })
    const served = running.as({ cert: certificatePem, key: privateKeyPem(keys.privateKey) })
    await refused(served.cluster.whoAmI({}))
    await refused(served.join.renew({ publicKeyPem: keyPem() }))
  })

  test('a certificate that somebody signed themselves is no anonymous caller', async () => {
    const keys = generateKeyPair()
    const own = issueCertificate({
      subject: [[oids.CN, 'admin']],
      publicKey: keys.publicKey,
      issuer: { name: [[oids.CN, 'admin']], privateKey: keys.privateKey },
      notBefore: new Date(Date.now() - 1000),
      notAfter: new Date(Date.now() + 3_600_000),
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['clientAuth'],
    })
    await refused(running.as({ cert: own.pem, key: privateKeyPem(keys.privateKey) }).cluster.whoAmI({}))
  })
})

suite('a token for something else', () => {
  test('a join token opens no account, and an invite no cluster', async () => {
    const { token } = await running.caller('admin').users.createUser({
      user: { json: JSON.stringify({ kind: 'user', metadata: { name: 'invited' }, spec: { roles: ['access'] } }) },
    })
    await refused(running.joinAs('App', token))
    const proxy = running.caller('proxy')
    await refused(proxy.logins.redeemUserToken({ token: 'static-token-for-the-tests-of-auth', password }))
    await proxy.logins.redeemUserToken({ token, password })
    await refused(proxy.logins.redeemUserToken({ token, password }))
    const log = JSON.stringify(await running.events())
    assert.equal(log.includes(token), false, 'the invite is in the log')
  })

  test('what is told of a wrong token does not tell which there are', async () => {
    const told = async (token: string, as: string) => {
      const { code, message, hint } = await refused(running.joinAs(as, token))
      return { code, message, hint }
    }
    const unknown = await told('a-token-that-never-was-in-the-cluster', 'App')
    assert.deepEqual(await told('static-token-for-the-tests-of-auth', 'Discovery'), unknown)
    assert.deepEqual(await told('../static-token-for-the-tests-of-auth', 'App'), unknown)
  })
})

suite('the id of a host', () => {
  for (const as of ['App', 'Kube', 'Proxy']) {
    test(`is not taken over by who joins as ${as}`, async () => {
      const victim = await running.joinAs('App')
      const { hostId } = await running.as(undefined).join.join({
        ...{ token: 'static-token-for-the-tests-of-auth', method: 'token', role: as, nodeName: 'n' },
        ...{ hostId: victim.hostId, publicKeyPem: keyPem() },
      })
      assert.notEqual(hostId, victim.hostId)
    })
  }

  test('of the Auth Service is not given to anybody', async () => {
    const { documents } = await running.caller('admin').resources.list({ kind: 'auth_server' })
    const own = (JSON.parse(documents[0]?.json ?? '{}') as { metadata: { name: string } }).metadata.name
    const { hostId } = await running.as(undefined).join.join({
      ...{ token: 'static-token-for-the-tests-of-auth', method: 'token', role: 'App', nodeName: 'n' },
      ...{ hostId: own, publicKeyPem: keyPem() },
    })
    assert.notEqual(hostId, own)
  })

  test('stays that of the machine that joins in a second role', async () => {
    const machine = await running.joinAs('App')
    const { hostId } = await machine.join.join({
      ...{ token: 'static-token-for-the-tests-of-auth', method: 'token', role: 'Kube', nodeName: 'n' },
      ...{ hostId: machine.hostId, publicKeyPem: keyPem() },
    })
    assert.equal(hostId, machine.hostId)
  })
})

suite('an event that an agent makes up', () => {
  const event = (fields: object): string =>
    JSON.stringify({
      ...{ event: 'app.session.request', code: 'T2009I', time: new Date().toISOString(), uid: crypto.randomUUID() },
      ...{ ei: 0, cluster_name: 'x', ...fields },
    })

  test('is not dated before all others', async () => {
    const uid = crypto.randomUUID()
    await running.caller('app').audit.emit({ eventsJson: [event({ uid, time: '9999-01-01T00:00:00.000Z' })] })
    const found = (await running.events()).find((each) => each.uid === uid)
    assert.ok(Date.parse(String(found?.time)) <= Date.now() + 60_000)
    assert.equal(found?.time_reported, '9999-01-01T00:00:00.000Z')
  })

  for (const { says, json } of [
    { says: 'larger than any', json: event({ padding: 'x'.repeat(1_000_000) }) },
    { says: 'without a uid that is one', json: event({ uid: 'a\nb' }) },
    { says: 'with a uid of a kilobyte', json: event({ uid: 'x'.repeat(1024) }) },
  ]) {
    test(`is not taken: ${says}`, async () => {
      const { refused: why } = await running.caller('app').audit.emit({ eventsJson: [json] })
      assert.equal(Object.keys(why).length, 1)
    })
  }
})

suite('a document that is made to harm', () => {
  for (const { says, json } of [
    {
      says: 'members of Object',
      json: '{"kind":"role","version":"v7","metadata":{"name":"p"},"spec":{"allow":{"app_labels":{"__proto__":{"x":"y"}}}},"__proto__":{"isAdmin":true}}',
    },
    { says: 'a constructor', json: '{"kind":"constructor","metadata":{"name":"p"}}' },
    {
      says: 'depth',
      json: `{"kind":"role","metadata":{"name":"p"},"spec":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    },
    {
      says: 'a name of another folder',
      json: '{"kind":"token","version":"v2","metadata":{"name":"../../x"},"spec":{"roles":["Admin"]}}',
    },
    { says: 'an expression without end', json: JSON.stringify(role('redos', { app_labels: { a: '^(a+)+$' } })) },
  ]) {
    test(`changes nothing: ${says}`, async () => {
      await running
        .caller('admin')
        .resources.create({ document: { json } })
        .catch(() => {})
      assert.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
      assert.equal(({} as { x?: string }).x, undefined)
      await running.caller('plain').cluster.whoAmI({})
    })
  }
})
