/** A member stays one: it renews what it is and what it serves under, in time and never twice at once. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { createRouterTransport, type ServiceImpl, type Transport } from '@connectrpc/connect'
import type { CaSigner } from '#ca/authorities.ts'
import { issueHostCertificate, issueServedNameCertificate } from '#ca/issue-host.ts'
import { AccessDenied, Unavailable } from '#errors.ts'
import { JoinService } from '#gen/access/v1/access_pb.ts'
import type { HostIdentity } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { issueCertificate, parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, type KeyPair, parsePublicKey, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { toConnectError } from '#rpc/status.ts'
import { openIdentityStore } from './identity-store.ts'
import type { MemberIdentity } from './join.ts'
import { type RenewOptions, renewalDelayMs, renewIdentity } from './renew.ts'
import { openServedNames } from './served-names.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const START = Date.parse('2026-06-01T12:00:00Z')
const agent = {
  kind: 'host',
  hostId: '4f7d7a2e-4a51-4a0a-9f4b-0a6f3d9f7f11',
  nodeName: 'agent-1',
  cluster: 'example.com',
} as const

const ca = makeAuthority()

function makeAuthority(): CaSigner {
  const { publicKey, privateKey } = generateKeyPair()
  const name = [['2.5.4.3', 'example.com']] as const
  const notAfter = new Date('2036-06-01T00:00:00Z')
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date('2026-05-01T00:00:00Z'),
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign'],
  })
  return { certificatePem: pem, name, privateKey, notAfter }
}

/** Thirty days of membership from `at` on. */
function membership(publicKey: string, at: number, change: Partial<HostIdentity> = {}) {
  const identity: HostIdentity = { ...agent, roles: ['App'], expires: new Date(at + 30 * DAY_MS), ...change }
  return {
    certificatePem: issueHostCertificate(ca, identity, parsePublicKey(publicKey), new Date(at)).pem,
    hostId: identity.hostId,
    clusterName: identity.cluster,
    hostAuthoritiesPem: ca.certificatePem,
  }
}

function memberSince(at: number, keys: KeyPair = generateKeyPair()): MemberIdentity {
  const { certificatePem, hostId, clusterName } = membership(publicKeyPem(keys.publicKey), at)
  return {
    hostId,
    clusterName,
    certificatePem,
    privateKeyPem: privateKeyPem(keys.privateKey),
    hostAuthorities: [ca.certificatePem],
  }
}

const serve = (implementation: Partial<ServiceImpl<typeof JoinService>>): Transport =>
  createRouterTransport(({ service }) => void service(JoinService, implementation))

/** Runs the loop with a clock that only its waiting moves, until the first renewal or `attempts` failures. */
async function runRenewal(answer: (publicKeyPem: string, now: number) => ReturnType<typeof membership>, attempts = 50) {
  await using stack = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'renew-'))
  stack.defer(() => rm(dataDir, { recursive: true }))
  const store = stack.use(await openIdentityStore(dataDir))
  const stop = new AbortController()
  const delays: number[] = []
  const renewed: MemberIdentity[] = []
  let now = START
  const options: RenewOptions = {
    identity: memberSince(START),
    role: 'App',
    rpc: serve({ renew: ({ publicKeyPem }) => answer(publicKeyPem, now) }),
    store,
    onRenewed(identity) {
      renewed.push(identity)
      stop.abort()
    },
    log: silentLog,
    clock: () => new Date(now),
    signal: stop.signal,
    async wait(ms) {
      delays.push(ms)
      now += ms
      if (delays.length > attempts) stop.abort()
    },
  }
  await renewIdentity(options)
  return { delays, renewed, kept: await store.find('App'), before: options.identity, endedAt: now }
}

suite('a member renews its identity', () => {
  test('with a new key, after two thirds of its life, and keeps the new one', async () => {
    const { delays, renewed, kept, before, endedAt } = await runRenewal(membership)
    assert.equal(renewed.length, 1)
    assert.deepEqual(kept, renewed[0])
    assert.equal(kept?.hostId, before.hostId)
    assert.notEqual(kept?.privateKeyPem, before.privateKeyPem)
    const days = (endedAt - START) / DAY_MS
    assert.ok(days > 19.9 && days < 22.6, `after ${days} of 30 days`)
    assert.ok(
      delays.every((ms) => ms <= DAY_MS),
      'a timer holds 24 days at most',
    )
  })

  test('again and again while Auth is away', async () => {
    let failures = 0
    const { renewed } = await runRenewal((publicKey, now) => {
      if (failures++ < 5) throw toConnectError(new Unavailable('away', { hint: 'wait' }))
      return membership(publicKey, now)
    })
    assert.equal(renewed.length, 1)
    assert.equal(failures, 6)
  })

  test('at growing intervals that end at an hour', async () => {
    const { delays, kept } = await runRenewal(() => {
      throw toConnectError(new Unavailable('away', { hint: 'wait' }))
    })
    assert.equal(kept, undefined)
    const retries = delays.slice(-10)
    assert.ok(retries.every((ms) => ms >= HOUR_MS / 2 && ms <= 1.5 * HOUR_MS))
  })

  for (const [says, answer] of [
    [
      'a certificate for another key',
      (_: string, now: number) => membership(publicKeyPem(generateKeyPair().publicKey), now),
    ],
    [
      'a membership of another cluster',
      (key: string, now: number) => membership(key, now, { cluster: 'other.example.com' }),
    ],
    ['a membership without its role', (key: string, now: number) => membership(key, now, { roles: ['Kube'] })],
    [
      'a certificate that no authority of the cluster signed',
      (key: string, now: number) => ({ ...membership(key, now), hostAuthoritiesPem: makeAuthority().certificatePem }),
    ],
  ] as const) {
    test(`and does not take ${says}`, async () => {
      const { renewed, kept } = await runRenewal(answer, 30)
      assert.deepEqual(renewed, [])
      assert.equal(kept, undefined)
    })
  }

  test('between two thirds and three quarters of the life, each member at its own instant', () => {
    const identity = memberSince(START)
    const lifeMs = 30 * DAY_MS + 60_000
    const from = new Date(START - 60_000)
    assert.equal(
      renewalDelayMs(identity, from, () => 0),
      (lifeMs * 2) / 3,
    )
    assert.equal(
      renewalDelayMs(identity, from, () => 1),
      (lifeMs * 3) / 4,
    )
    assert.equal(renewalDelayMs(identity, new Date(START + 300 * DAY_MS)), 0)
  })
})

suite('a member serves a name under a certificate', () => {
  /** Auth for one name, with one hour of life to each certificate. */
  const openNames = () => {
    const asked: string[] = []
    const state = { now: START, isAway: false }
    const rpc = serve({
      issueServedName({ kind, name, publicKeyPem }) {
        asked.push(`${kind}/${name}`)
        if (state.isAway) throw toConnectError(new Unavailable('away', { hint: 'wait' }))
        if (name === 'forbidden') throw toConnectError(new AccessDenied('not this name', { hint: 'serve another' }))
        const serverName = `label.${kind}.example.com`
        const now = new Date(state.now)
        const served = { serverName, publicKey: parsePublicKey(publicKeyPem), now, ttlMs: HOUR_MS }
        return { certificatePem: issueServedNameCertificate(ca, served).pem, serverName }
      },
    })
    const options = { rpc, log: silentLog, clock: () => new Date(state.now) }
    return { asked, state, options, names: openServedNames(options) }
  }

  test('that is asked for once, however many connections come', async () => {
    const { asked, names } = openNames()
    using _names = names
    const all = await Promise.all(Array.from({ length: 5 }, () => names.contextFor('app', 'awsconsole')))
    assert.deepEqual(asked, ['app/awsconsole'])
    assert.equal(new Set(all.map(({ cert }) => cert)).size, 1)
    assert.deepEqual(parseCertificate(all[0]?.cert ?? '').dnsNames, ['label.app.example.com'])
    assert.equal(all[0]?.serverName, 'label.app.example.com')
  })

  test('of its own for each name and kind', async () => {
    const { asked, names } = openNames()
    using _names = names
    await names.contextFor('app', 'a')
    await names.contextFor('kube', 'a')
    await names.contextFor('app', 'b')
    assert.deepEqual(asked, ['app/a', 'kube/a', 'app/b'])
  })

  test('that serves on while Auth is away, until it expires', async () => {
    const { state, names } = openNames()
    using _names = names
    const first = await names.contextFor('app', 'a')
    Object.assign(state, { isAway: true, now: START + 50 * 60_000 })
    assert.deepEqual(await names.contextFor('app', 'a'), first)
    state.now = START + 2 * HOUR_MS
    await assert.rejects(names.contextFor('app', 'a'), /away/)
    state.isAway = false
    assert.notDeepEqual(await names.contextFor('app', 'a'), first)
  })

  test('that is kept for a start while Auth is away, until it expires, and for no name that Auth refuses', async () => {
    const keepIn = join(mkdtempSync(join(tmpdir(), 'names-')), 'served-names')
    const { state, options, names: unused } = openNames()
    unused[Symbol.dispose]()
    const open = () => openServedNames({ ...options, keepIn })
    const first = open()
    const given = await first.contextFor('app', '../a')
    first[Symbol.dispose]()
    assert.deepEqual(
      readdirSync(keepIn).map((file) => statSync(join(keepIn, file)).mode & 0o777),
      [0o600],
    )
    state.isAway = true
    using again = open()
    assert.deepEqual(await again.contextFor('app', '../a'), given)
    await assert.rejects(again.contextFor('app', 'other'), /away/)
    await assert.rejects(again.contextFor('kube', '../a'), /away/)
    state.now = START + 2 * HOUR_MS
    using late = open()
    await assert.rejects(late.contextFor('app', '../a'), /away/)
    rmSync(dirname(keepIn), { recursive: true })
  })

  test('only where Auth lets it', async () => {
    const { names } = openNames()
    using _names = names
    await assert.rejects(names.contextFor('app', 'forbidden'), /not this name/)
  })

  test('that is asked for anew after it was forgotten', async () => {
    const { asked, names } = openNames()
    using _names = names
    await names.contextFor('app', 'a')
    names.forget('app', 'a')
    await names.contextFor('app', 'a')
    assert.equal(asked.length, 2)
  })
})
