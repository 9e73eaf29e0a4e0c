import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { authServerName, parseServerName, servedNameLabel, serverName, tunnelServerName } from './names.ts'

const secret = randomBytes(32)

suite('labels of served names', () => {
  test('a label is 26 letters and digits that stay the same', () => {
    assert.match(servedNameLabel(secret, 'app', 'awsconsole'), /^[a-z2-7]{26}$/)
    assert.equal(servedNameLabel(secret, 'app', 'awsconsole'), servedNameLabel(secret, 'app', 'awsconsole'))
  })

  for (const [says, other] of [
    ['another secret', servedNameLabel(randomBytes(32), 'app', 'a')],
    ['another kind', servedNameLabel(secret, 'kube', 'a')],
    ['another name', servedNameLabel(secret, 'app', 'b')],
  ] as const) {
    test(`${says} gives another label`, () => assert.notEqual(servedNameLabel(secret, 'app', 'a'), other))
  }

  test('a label is the base32 of RFC 4648 of an HMAC-SHA256', () => {
    assert.equal(servedNameLabel(Buffer.alloc(0), 'app', ''), 'y5japht4meogmr4bq4dzh2sowl') // made with Python's hmac and base64
  })
})

suite('server names', () => {
  const label = servedNameLabel(secret, 'app', 'awsconsole')
  for (const { says, name, is } of [
    { says: 'an app', name: `${label}.app.example.com`, is: { kind: 'app', label } },
    { says: 'a kube cluster, in capitals', name: `${label}.KUBE.Example.COM`, is: { kind: 'kube', label } },
    { says: 'the Auth Service', name: authServerName('example.com'), is: { kind: 'rpc', label: 'auth' } },
    { says: 'the tunnel', name: tunnelServerName('example.com'), is: { kind: 'tunnel', label: 'proxy' } },
    { says: 'another cluster is not ours', name: `${label}.app.example.org`, is: undefined },
    { says: 'a cluster below ours is not ours', name: `${label}.app.sub.example.com`, is: undefined },
    { says: 'a plain name instead of a label is not ours', name: 'awsconsole.app.example.com', is: undefined },
    { says: 'an unknown kind is not ours', name: `${label}.db.example.com`, is: undefined },
    { says: 'another label of the RPC kind is not ours', name: 'proxy.rpc.example.com', is: undefined },
    { says: 'an app label of the tunnel kind is not ours', name: `${label}.tunnel.example.com`, is: undefined },
    { says: 'the cluster alone is not ours', name: 'example.com', is: undefined },
    { says: 'a name without the dot before the cluster is not ours', name: `${label}.appexample.com`, is: undefined },
  ]) {
    test(says, () => assert.deepEqual(parseServerName(name, 'example.com'), is))
  }

  test('what serverName makes parseServerName reads', () => {
    fc.assert(
      fc.property(fc.constantFrom('app', 'kube'), fc.string(), fc.domain(), (kind, name, cluster) => {
        const label = servedNameLabel(secret, kind, name)
        assert.deepEqual(parseServerName(serverName(kind, label, cluster), cluster), { kind, label })
      }),
    )
  })
})
