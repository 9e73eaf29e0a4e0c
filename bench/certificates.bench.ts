/** How many certificates are issued: on one core in memory, against the bare signatures that they cannot do without, and durably. */
import { sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CaSigner } from '#ca/authorities.ts'
import { issueAppCertificate } from '#ca/issue-app.ts'
import { systemClock } from '#clock.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { issueCertificate, type Name, oids, parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, type KeyPair, type KeyType } from '#pki/key.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { type Bench, inTurns, type Metric } from './bench.ts'

/** Certificates a second on one core. */
const REACH = 10_000
/** The same when each is recorded durably before it is handed out. */
const REACH_DURABLE = 3_000
/** Logins that wait for their certificate at one time. */
const IN_FLIGHT = 64
const PAIRS = 5
const KEY_TYPES: readonly KeyType[] = ['ecdsa-p256', 'ed25519', 'rsa-2048']

export const bench: Bench = {
  name: 'certificates',
  says: 'app certificates issued in memory on one core, against raw signatures of the same key type',
  async run({ long, say }) {
    const perTurnMs = long ? 5_000 : 400
    const now = new Date()
    const holder = generateKeyPair()
    const metrics: Metric[] = []
    let subjectAttributes = 0
    for (const keyType of KEY_TYPES) {
      const keys = generateKeyPair(keyType)
      const ca = makeAuthority(keys, now)
      const identity = appIdentity(now)
      const { der } = issueAppCertificate(ca, identity, holder.publicKey, now)
      const bytes = Buffer.alloc(der.length)
      subjectAttributes = parseCertificate(der).subject.length
      const digest = keyType === 'ed25519' ? null : 'sha256'
      const issue = (): void => void issueAppCertificate(ca, identity, holder.publicKey, now)
      const justSign = (): void => void sign(digest, bytes, keys.privateKey)
      await perSecond(issue, perTurnMs / 4) // the compiler's turn
      const { value, peer, ratio } = await inTurns(
        PAIRS,
        () => perSecond(issue, perTurnMs),
        () => perSecond(justSign, perTurnMs),
      )
      say(`${keyType}: ${Math.round(value)} certificates/s, ${Math.round(peer)} signatures/s of as many bytes`)
      const measured = { name: keyType, value: Math.round(value), unit: '1/s' }
      metrics.push({ ...measured, against: 'raw signatures', ratio: Number(ratio.toFixed(3)) })
      // P-256 signs for people and machines; the others are there to compare.
      if (keyType === 'ecdsa-p256') metrics.push({ ...measured, name: 'issued', reach: REACH, met: value >= REACH })
    }
    const durable = await durablePerSecond(perTurnMs * PAIRS, now)
    say(`ecdsa-p256, each recorded on disk before it is handed out: ${Math.round(durable)} certificates/s`)
    metrics.push({
      name: 'durable',
      value: Math.round(durable),
      unit: '1/s',
      reach: REACH_DURABLE,
      met: durable >= REACH_DURABLE,
    })
    return {
      bench: 'certificates',
      input: { pairs: PAIRS, perTurnMs, subjectAttributes, durableInFlight: IN_FLIGHT },
      metrics,
    }
  },
}

/** Calls a second, measured for at least `ms`. */
async function perSecond(call: () => void, ms: number): Promise<number> {
  const start = performance.now()
  let calls = 0
  let elapsed = 0
  while (elapsed < ms) {
    for (let index = 0; index < 20; index++) call()
    calls += 20
    elapsed = performance.now() - start
  }
  return (calls * 1000) / elapsed
}

/** Certificates a second when the record of each is in SQLite, flushed, before the next step of its login. */
async function durablePerSecond(ms: number, now: Date): Promise<number> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'bench-certificates-'))
  stack.defer(() => rm(directory, { recursive: true }))
  const path = join(directory, 'state.sqlite')
  const backend = stack.use(await openSqliteBackend({ path, clock: systemClock, log: silentLog }))
  const ca = makeAuthority(generateKeyPair(), now)
  const [identity, { publicKey }] = [appIdentity(now), generateKeyPair()]
  const start = performance.now()
  let issued = 0
  const login = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      const { serial } = issueAppCertificate(ca, identity, publicKey, now)
      const record = { serial, user: identity.name, roles: identity.roles, app: identity.routeToApp.name }
      await backend.write([{ key: `/bench/${serial}`, value: Buffer.from(JSON.stringify(record)) }])
      issued++
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, login))
  return (issued * 1000) / (performance.now() - start)
}

function makeAuthority(keys: KeyPair, now: Date): CaSigner {
  const name: Name = [[oids.CN, 'example.com']]
  const notAfter = new Date(now.getTime() + 86_400_000)
  const { pem } = issueCertificate({
    subject: name,
    publicKey: keys.publicKey,
    issuer: { name, privateKey: keys.privateKey },
    notBefore: now,
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  return { certificatePem: pem, name, privateKey: keys.privateKey, notAfter }
}

/** As large as those of a user with several roles and AWS roles. */
function appIdentity(now: Date): UserIdentity & { readonly routeToApp: RouteToApp } {
  const arns = ['ReadOnly', 'PowerUser', 'Billing'].map((role) => `arn:aws:iam::123456789012:role/${role}`)
  return {
    kind: 'user',
    name: 'alice@example.com',
    roles: ['access', 'aws-ro-access', 'developer'],
    traits: { aws_role_arns: arns, groups: ['developers', 'on-call'] },
    cluster: 'example.com',
    expires: new Date(now.getTime() + 3_600_000),
    routeToApp: {
      name: 'awsconsole',
      sessionId: '0a6f3d9f-7f11-4f7d-9f4b-4a514a0a7a2e',
      publicAddr: 'awsconsole.example.com',
      cluster: 'example.com',
      serverName: `${'a'.repeat(26)}.app.example.com`,
      awsRoleArn: arns[0] ?? '',
    },
    awsRoleArns: arns,
    azureIdentities: [],
    kubeUsers: [],
    kubeGroups: [],
    loginIp: '192.0.2.1',
    userType: 'local',
    accessRequests: [],
    isRenewable: false,
    disallowReissue: false,
  }
}
