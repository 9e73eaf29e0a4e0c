import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { type JoinToken, parseJoinToken } from '#resources/join-token.ts'
import type { Resource } from '#resources/resource.ts'
import { eventsTable } from './commands/audit.ts'
import { readEdited } from './commands/edit.ts'
import { newLock } from './commands/lock.ts'
import { rotationText } from './commands/status.ts'
import { changesText, tokenText } from './commands/users.ts'
import { parseNamedRef, parseRefs } from './resource-ref.ts'
import { resourcesText } from './resource-text.ts'
import { byExpiry, expiryText, instructionsText, maskedName } from './token-text.ts'

const now = new Date('2026-01-02T03:04:05Z')
const token = (name: string, changes: object = {}, expires?: string): JoinToken =>
  parseJoinToken({
    kind: 'token',
    version: 'v2',
    metadata: { name, ...(expires === undefined ? {} : { expires }) },
    spec: { roles: ['App'], ...changes },
  })

suite('join tokens in lists', () => {
  for (const [name, shown] of [
    ['0123456789abcdef0123456789abcdef', '************************89abcdef'],
    ['0123456789abcdef', '************cdef'],
    ['short', '*****'],
  ] as const) {
    test(`${name} is shown as ${shown}`, () => assert.equal(maskedName(token(name)), shown))
  }
  test('a name that is no secret is shown', () =>
    assert.equal(
      maskedName(token('iam-token', { join_method: 'iam', allow: [{ aws_account: '123456789012' }] })),
      'iam-token',
    ))
  test('show when they expire, and how soon', () => {
    assert.equal(expiryText(token('a'), now), 'never')
    assert.equal(expiryText(token('a', {}, '2026-01-02T04:06:08Z'), now), '02 Jan 26 04:06 UTC (1h2m3s)')
  })
  test('those that expire first come first', () => {
    const [never, late, soon] = [
      token('n'),
      token('l', {}, '2027-01-01T00:00:00Z'),
      token('s', {}, '2026-06-01T00:00:00Z'),
    ]
    assert.deepEqual([never, late, soon].toSorted(byExpiry), [soon, late, never])
  })
})

suite('instructions for a new token', () => {
  const facts = {
    token: 'secret',
    minutes: 30,
    address: 'proxy:443',
    caPins: ['sha256:a', 'sha256:b'],
    appName: 'a',
    appUri: 'http://b',
  }
  test('for an app start the agent with the app', () => {
    const text = instructionsText({ ...facts, roles: ['App'] })
    assert.match(
      text,
      /> teleport app start \\\n {3}--token=secret \\\n {3}--ca-pin=sha256:a \\\n {3}--ca-pin=sha256:b \\\n {3}--auth-server=proxy:443 \\\n {3}--name=a \\\n {3}--uri=http:\/\/b\n/,
    )
  })
  test('for Kubernetes use helm, with roles joined as helm wants them', () => {
    const text = instructionsText({ ...facts, roles: ['Kube', 'App', 'Discovery'] })
    assert.match(text, /--set roles="kube\\\\,app\\\\,discovery"/)
    assert.match(text, /--set proxyAddr=proxy:443 [\s\S]*--set authToken=secret /)
  })
  test('for other roles start the daemon with them', () =>
    assert.match(instructionsText({ ...facts, roles: ['Proxy'] }), /> teleport start \\\n[\s\S]*--roles=proxy\n/))
})

suite('references to resources', () => {
  const parsed = (text: string) => parseRefs(text).map(({ kind, name }) => [kind.kind, name])
  test('name a kind by any of its names', () =>
    assert.deepEqual(parsed('roles, User/alice,cap'), [
      ['role', undefined],
      ['user', 'alice'],
      ['cluster_auth_preference', 'cluster-auth-preference'],
    ]))
  test('keep what follows the first slash', () =>
    assert.deepEqual(parsed('app_server/host/app'), [['app_server', 'host/app']]))
  test('all are every kind', () => assert.ok(parseRefs('all').length > 10))
  test('to an unknown kind name the nearest', () =>
    assert.throws(() => parseRefs('rolls'), { hint: 'did you mean roles?' }))
  test('that must have a name say so', () =>
    assert.throws(() => parseNamedRef('role'), { hint: 'write KIND/NAME, such as role/NAME' }))
  test('of any text are references or an error of ours', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseRefs(text)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'invalid')
        }
      }),
    )
  })
})

suite('texts', () => {
  test('of a rotation', () => {
    assert.equal(rotationText({}), 'never updated')
    assert.equal(rotationText({ rotation: { last_rotated: '0001-01-01T00:00:00Z' } }), 'never updated')
    assert.equal(rotationText({ rotation: { last_rotated: '2026-01-01T00:00:00Z' } }), 'rotated 2026-01-01T00:00:00Z')
    const rotation = { state: 'in_progress', phase: 'init', mode: 'manual', started: 'then' }
    assert.equal(rotationText({ rotation }), 'init (mode: manual, started: then)')
  })
  test('of an invite, also without a proxy', () => {
    assert.match(
      tokenText('Said:', { url: 'https://p:3080/web/invite/x' }),
      /^Said:\nhttps:\/\/p:3080\/web\/invite\/x\n\nNOTE: Make sure p:3080 points/,
    )
    assert.match(
      tokenText('Said:', { url: 'https://<proxyhost>:3080/web/invite/x' }),
      /Make sure <proxyhost>:3080 points/,
    )
  })
  test('of changes to a user, in the order of the flags', () =>
    assert.equal(
      changesText(undefined, { team: ['a'], aws_role_arns: ['x', 'y'], logins: [] }),
      '\tNew logins: \n\tNew AWS role ARNs: x,y\n\tNew team: a\n',
    ))
  test('of events say who did what, and what was refused', () => {
    const call = {
      time: 't',
      event: 'app.session.request',
      code: 'T2009I',
      user: 'bob',
      app_name: 'aws',
      aws_operation: 's3:ListBuckets',
    }
    const member = '0b9ac238-b285-4069-a72d-47f85638d0fb.lab.example'
    const text = eventsTable([
      { time: 't', event: 'user.login', code: 'T1000W', user: 'alice', success: false, error: 'wrong' },
      { ...call, decision: 'allowed', status_code: 200 },
      { ...call, decision: 'denied', reason: 'locked', message: 'call us' },
      {
        time: 't',
        event: 'role.created',
        code: 'T9000I',
        user: member,
        user_kind: 3,
        user_roles: ['Admin'],
        name: 'r',
      },
      { time: 't', event: 'role.created', code: 'T9000I', user: member, user_kind: 1, name: 'r' },
      'no event',
    ])
    assert.match(text, /^t +role\.created +T9000I Admin 0b9ac238 +r$/m)
    assert.match(text, /^t +role\.created +T9000I 0b9ac238-b285-4069-a72d-47f85638d0fb\.lab\.example r$/m)
    assert.match(text, /^t +user\.login +T1000W alice +failed \(wrong\)$/m)
    assert.match(text, /^t +app\.session\.request +T2009I bob +aws s3:ListBuckets 200$/m)
    assert.match(text, /^t +app\.session\.request +T2009I bob +denied \(locked, call us\) aws s3:ListBuckets$/m)
  })
  test('of kinds without columns of their own show name, version and labels', () => {
    const unknown: Resource = { kind: 'newer', version: 'v1', metadata: { name: 'n', labels: { a: 'b' } }, spec: null }
    assert.match(resourcesText([unknown], { now }), /^Name Version Labels\n.*\nn +v1 +a=b\n$/)
  })
})

test('a lock ends after its time to live', () => {
  const lock = newLock({ user: 'alice', mfaDevice: 'd', ttl: '1h', message: 'm' }, now)
  assert.deepEqual(lock.spec.target, { user: 'alice', mfa_device: 'd' })
  assert.equal(lock.metadata.expires, '2026-01-02T04:04:05.000Z')
})

test('an edit keeps the revision that was read, whatever the text says', () => {
  const before: Resource = { kind: 'lock', version: 'v2', metadata: { name: 'n', revision: '7' }, spec: {} }
  const text = 'kind: lock\nversion: v2\nmetadata:\n  name: n\n  revision: "9"\nspec:\n  target: { user: a }\n'
  assert.equal(readEdited(text, { file: 'f', before }).metadata.revision, '7')
  assert.throws(() => readEdited(`${text}---\n${text}`, { file: 'f', before }), /must hold one resource/)
})
