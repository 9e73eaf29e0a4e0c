import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { SystemRole } from '#identity/identity.ts'
import { findKind, kinds } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import { maskTokenName, mayMemberSee, memberView, withoutSecrets } from './visibility.ts'

const parse = (document: { readonly kind: string; readonly [field: string]: unknown }): Resource => {
  const definition = findKind(document.kind)
  assert.ok(definition)
  return definition.parse(document)
}

const app = {
  kind: 'app',
  metadata: { name: 'awsconsole', labels: { env: 'prod' } },
  spec: {
    uri: 'https://console.aws.amazon.com/',
    cloud: 'AWS',
    aws: { external_id: 'EXTERNAL' },
    rewrite: { headers: [{ name: 'Authorization', value: 'INJECTED' }] },
  },
}
const resources: Readonly<Record<string, Resource>> = {
  app: parse(app),
  app_server: parse({
    kind: 'app_server',
    metadata: { name: 'host/awsconsole' },
    spec: { host_id: 'host', hostname: 'h', server_name: 'label.app.example', app },
  }),
  lock: parse({
    kind: 'lock',
    metadata: { name: 'l', description: 'INTERNAL NOTE' },
    spec: { target: { user: 'mallory' }, message: 'call us', created_by: 'ADMIN' },
  }),
  role: parse({
    kind: 'role',
    version: 'v8',
    metadata: { name: 'r' },
    spec: { allow: { app_labels: { env: ['prod'] } } },
  }),
  user: parse({ kind: 'user', metadata: { name: 'alice' }, spec: { roles: ['r'], local_auth: { hash: 'HASH' } } }),
  token: parse({ kind: 'token', metadata: { name: 'a-secret-join-token' }, spec: { roles: ['App'] } }),
  cert_authority: parse({
    kind: 'cert_authority',
    metadata: { name: 'host' },
    spec: {
      type: 'host',
      cluster_name: 'example',
      active_keys: {
        tls: [{ cert: 'CERT', key: 'KEY' }],
        jwt: [{ public_key: 'PUBLIC', private_key: 'PRIVATE' }],
      },
      served_name_secret: 'SERVED',
    },
  }),
  cluster_auth_preference: parse({
    kind: 'cluster_auth_preference',
    spec: { webauthn: { rp_id: 'RP' }, message_of_the_day: 'hello' },
  }),
  proxy: parse({ kind: 'proxy', metadata: { name: 'p' }, spec: { host_id: 'p', public_addr: 'proxy:443' } }),
  auth_server: parse({ kind: 'auth_server', metadata: { name: 'a' }, spec: { host_id: 'a' } }),
}

suite('which kinds a member is shown', () => {
  const shown: Readonly<Record<string, readonly string[]>> = {
    App: [
      'cluster_auth_preference',
      'cluster_networking_config',
      'session_recording_config',
      'cert_authority',
      'role',
      'app',
      'lock',
      'proxy',
    ],
    Proxy: [
      'cluster_auth_preference',
      'cluster_networking_config',
      'session_recording_config',
      'cert_authority',
      'role',
      'app',
      'app_server',
      'lock',
      'proxy',
      'auth_server',
    ],
    Kube: [
      'cluster_auth_preference',
      'cluster_networking_config',
      'session_recording_config',
      'cert_authority',
      'role',
      'lock',
      'proxy',
    ],
    Discovery: ['cert_authority', 'proxy'],
    Bot: [],
    Instance: [],
    Auth: [],
  }
  for (const [role, expected] of Object.entries(shown)) {
    test(`${role}: ${expected.join(', ') || 'nothing'}`, () => {
      const roles = [role as SystemRole]
      assert.deepEqual(
        kinds.map(({ kind }) => kind).filter((kind) => mayMemberSee(roles, kind)),
        expected,
      )
      for (const [kind, resource] of Object.entries(resources)) {
        assert.equal(memberView(roles, resource) !== undefined, expected.includes(kind), kind)
      }
    })
  }

  test('a kind named like a property of every object is not shown', () => {
    assert.equal(mayMemberSee(['App'], 'constructor'), false)
    assert.equal(mayMemberSee(['App'], '__proto__'), false)
  })
})

suite('what a member is not shown of what it sees', () => {
  for (const { kind, roles, hidden, kept } of [
    { kind: 'cert_authority', roles: ['App'], hidden: ['"KEY"', 'PRIVATE', 'SERVED'], kept: ['CERT', 'PUBLIC'] },
    { kind: 'cert_authority', roles: ['Proxy'], hidden: ['"KEY"', 'PRIVATE', 'SERVED'], kept: ['CERT', 'PUBLIC'] },
    { kind: 'lock', roles: ['App'], hidden: ['ADMIN', 'INTERNAL NOTE'], kept: ['mallory', 'call us'] },
    { kind: 'app', roles: ['Proxy'], hidden: ['EXTERNAL', 'INJECTED'], kept: ['console.aws', 'prod'] },
    { kind: 'app', roles: ['App'], hidden: [], kept: ['EXTERNAL', 'INJECTED'] },
    {
      kind: 'app_server',
      roles: ['Proxy'],
      hidden: ['EXTERNAL', 'INJECTED'],
      kept: ['label.app.example', 'awsconsole'],
    },
    { kind: 'cluster_auth_preference', roles: ['Proxy'], hidden: ['RP'], kept: ['hello'] },
  ] satisfies { kind: string; roles: SystemRole[]; hidden: string[]; kept: string[] }[]) {
    test(`${roles.join()} of ${kind}: ${hidden.join(', ') || 'it sees all'}`, () => {
      const resource = resources[kind]
      assert.ok(resource)
      const text = JSON.stringify(memberView(roles, resource))
      for (const secret of hidden) assert.ok(!text.includes(secret), secret)
      for (const value of kept) assert.ok(text.includes(value), value)
    })
  }

  test('what it is shown is a resource that its kind can read', () => {
    for (const resource of Object.values(resources)) {
      for (const role of ['App', 'Proxy'] as const) {
        const view = memberView([role], resource)
        if (view) findKind(view.kind)?.read(view)
      }
    }
  })
})

suite('what somebody without the verb "read" is not shown', () => {
  for (const { kind, hidden } of [
    { kind: 'cert_authority', hidden: ['"KEY"', 'PRIVATE', 'SERVED'] },
    { kind: 'user', hidden: ['HASH'] },
    { kind: 'token', hidden: ['a-secret'] },
  ]) {
    test(`${hidden.join(', ')} of ${kind}`, () => {
      const resource = resources[kind]
      assert.ok(resource)
      const text = JSON.stringify(withoutSecrets(resource))
      for (const secret of hidden) assert.ok(!text.includes(secret), secret)
    })
  }

  test('the name of a token with another method is no secret', () => {
    const iam = parse({
      kind: 'token',
      metadata: { name: 'iam-token' },
      spec: { roles: ['App'], join_method: 'iam', allow: [{ aws_account: '123456789012' }] },
    })
    assert.equal(withoutSecrets(iam).metadata.name, 'iam-token')
    // Stored by a version whose tokens ours cannot parse: the name may be the secret.
    const { join_method: _, ...spec } = iam.spec as Record<string, unknown>
    for (const unknown of [
      { ...iam, spec },
      { ...iam, spec: { ...spec, join_method: '' } },
    ]) {
      assert.equal(withoutSecrets(unknown).metadata.name, '*********')
    }
  })

  for (const [name, masked] of [
    ['', ''],
    ['short', '*****'],
    ['fifteen-chars-x', '***************'],
    ['sixteen-chars-xy', '************s-xy'],
    ['0123456789abcdef0123456789abcdef', '************************89abcdef'],
  ] as const) {
    test(`"${name}" is masked as "${masked}"`, () => assert.equal(maskTokenName(name), masked))
  }
})
