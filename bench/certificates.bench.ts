/** How many certificates one core issues, against the bare signatures that they cannot do without. */
import { sign } from 'node:crypto'
import type { CaSigner } from '#ca/authorities.ts'
import { issueAppCertificate } from '#ca/issue-app.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { issueCertificate, type Name, oids } from '#pki/certificate.ts'
import { generateKeyPair, type KeyPair, type KeyType } from '#pki/key.ts'
import { type Bench, inTurns, type Metric } from './bench.ts'

/** Certificates a second on one core. */
const REACH = 10_000
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
    for (const keyType of KEY_TYPES) {
      const keys = generateKeyPair(keyType)
      const ca = makeAuthority(keys, now)
      const identity = appIdentity(now)
      const bytes = Buffer.alloc(issueAppCertificate(ca, identity, holder.publicKey, now).der.length)
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
    return {
      bench: 'certificates',
      input: { pairs: PAIRS, perTurnMs, subjectAttributes: 20, durable: false },
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
