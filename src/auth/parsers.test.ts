/** Whatever arrives from outside is taken or refused with an error of ours; nothing else can come of it. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import type { HostIdentity } from '#identity/identity.ts'
import { checkName, fromDocument, kindOf } from './documents.ts'
import { checkServes } from './host-grants.ts'
import { acceptEvent } from './services/audit-service.ts'

const agent: HostIdentity = {
  kind: 'host',
  hostId: 'host',
  nodeName: 'node',
  roles: ['App'],
  cluster: 'example',
  expires: new Date('2100-01-01T00:00:00Z'),
}

/** Ends well if `work` gives a value or throws an error of ours. */
function takenOrRefused(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    assert.ok(error instanceof AccessError, String(error))
  }
}

suite('bytes from outside', () => {
  test('as a document', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (json) => takenOrRefused(() => fromDocument({ json }))))
  })

  test('as the document of a known kind', () => {
    const kinds = fc.constantFrom('role', 'user', 'token', 'app', 'lock', 'app_server', 'cluster_auth_preference')
    fc.assert(
      fc.property(kinds, fc.jsonValue(), fc.jsonValue(), (kind, metadata, spec) =>
        takenOrRefused(() => fromDocument({ json: JSON.stringify({ kind, metadata, spec }) })),
      ),
    )
  })

  test('as a kind or a name', () => {
    fc.assert(fc.property(fc.string(), (text) => takenOrRefused(() => kindOf(text))))
    fc.assert(fc.property(fc.string(), (text) => takenOrRefused(() => checkName(text))))
    for (const name of ['__proto__', 'constructor', 'toString']) assert.throws(() => kindOf(name), AccessError)
  })

  test('as an event: it is kept with our sender, or refused with a reason', () => {
    const envelope = {
      event: fc.constantFrom('app.session.request', 'user.login', 'auth', '__proto__'),
      code: fc.constantFrom('T2009I', 'T1000I', 'T3007W', ''),
      time: fc.constantFrom('2030-01-01T00:00:00.000Z', 'now', ''),
      uid: fc.string(),
      ei: fc.oneof(fc.integer(), fc.string()),
      cluster_name: fc.string(),
      server_id: fc.string(),
    }
    const events = fc.oneof(
      fc.string(),
      fc.json(),
      fc.record(envelope, { requiredKeys: [] }).map((event) => JSON.stringify(event)),
    )
    fc.assert(
      fc.property(events, (json) => {
        const outcome = acceptEvent(json, agent, { clusterName: 'example', now: new Date('2030-01-01T00:00:00Z') })
        if ('event' in outcome)
          assert.deepEqual([outcome.event.server_id, outcome.event.cluster_name], ['host', 'example'])
        else assert.notEqual(outcome.reason, '')
      }),
    )
  })

  test('a document of more than 1 MiB is refused unread', () => {
    assert.throws(() => fromDocument({ json: `"${'x'.repeat(1024 * 1024)}"` }), /larger than 1 MiB/)
  })
})

suite('what a host may serve', () => {
  const grant = (serves?: object) => ({
    nodeName: 'n',
    method: 'token',
    tokenName: '*',
    joined: '2030-01-01T00:00:00Z',
    ...(serves && { serves }),
  })
  for (const { says, grant: given, roles, name, labels, allowed } of [
    {
      says: 'anything, with a token without patterns',
      grant: grant(),
      roles: ['App'],
      name: 'a',
      labels: {},
      allowed: true,
    },
    {
      says: 'a name that a pattern fits',
      grant: grant({ names: ['web-*', 'db'] }),
      roles: ['App'],
      name: 'web-1',
      labels: {},
      allowed: true,
    },
    {
      says: 'no name that no pattern fits',
      grant: grant({ names: ['web-*', 'db'] }),
      roles: ['App'],
      name: 'aws',
      labels: {},
      allowed: false,
    },
    {
      says: 'nothing, where the list of patterns is empty',
      grant: grant({ names: [] }),
      roles: ['App'],
      name: 'a',
      labels: {},
      allowed: false,
    },
    {
      says: 'what has the labels',
      grant: grant({ labels: { env: 'dev' } }),
      roles: ['App'],
      name: 'a',
      labels: { env: 'dev', more: 'x' },
      allowed: true,
    },
    {
      says: 'nothing with another label',
      grant: grant({ labels: { env: 'dev' } }),
      roles: ['App'],
      name: 'a',
      labels: { env: 'prod' },
      allowed: false,
    },
    {
      says: 'nothing without the label',
      grant: grant({ labels: { env: 'dev' } }),
      roles: ['App'],
      name: 'a',
      labels: {},
      allowed: false,
    },
    {
      says: 'nothing without the system role',
      grant: grant(),
      roles: ['Proxy'],
      name: 'a',
      labels: {},
      allowed: false,
    },
    { says: 'nothing, when it is not known', grant: undefined, roles: ['App'], name: 'a', labels: {}, allowed: false },
  ] as const) {
    test(says, () => {
      const check = () => checkServes(given, roles, { role: 'App', name, labels: [labels] })
      if (allowed) check()
      else assert.throws(check, { code: 'denied' })
    })
  }
})
