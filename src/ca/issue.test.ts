/** What is issued says what it should, to OpenSSL and in real handshakes, and no more. */
import assert from 'node:assert/strict'
import { type KeyObject, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { decodeIdentity } from '#identity/decode.ts'
import type { HostIdentity, UserIdentity } from '#identity/identity.ts'
import { InvalidCertificate, issueCertificate, type Name, parseCertificate } from '#pki/certificate.ts'
import { verifyChain } from '#pki/chain.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import type { CaSigner } from './authorities.ts'
import { issueAppCertificate } from './issue-app.ts'
import { issueHostCertificate, issueServedNameCertificate } from './issue-host.ts'
import { issueUserCertificate } from './issue-user.ts'

const now = new Date()
now.setUTCMilliseconds(0)
const inHours = (hours: number): Date => new Date(now.getTime() + hours * 3_600_000)
const CLUSTER = 'example.com'

/** Every authority of a cluster has the same name, as in the real ones. */
function makeSigner(notAfter = inHours(1000)): CaSigner {
  const { publicKey, privateKey } = generateKeyPair()
  const name: Name = [['2.5.4.3', CLUSTER]]
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: inHours(-1),
    notAfter,
    isCa: true,
    pathLength: 0,
    keyUsage: ['keyCertSign', 'cRLSign'],
  })
  return { certificatePem: pem, name, privateKey, notAfter }
}

const [userCa, hostCa] = [makeSigner(), makeSigner()]
const keys = generateKeyPair()
const alice: UserIdentity = {
  kind: 'user',
  name: 'alice',
  roles: ['access'],
  traits: {},
  cluster: CLUSTER,
  expires: inHours(12),
  awsRoleArns: [],
  azureIdentities: [],
  kubeUsers: [],
  kubeGroups: [],
  userType: 'local',
  accessRequests: [],
  isRenewable: false,
  disallowReissue: false,
}
const agent: HostIdentity = {
  kind: 'host',
  hostId: '4f7d7a2e-4a51-4a0a-9f4b-0a6f3d9f7f11',
  nodeName: 'agent-1',
  roles: ['App'],
  cluster: CLUSTER,
  expires: inHours(24),
}

test('a user certificate is good for its identity until it expires', () => {
  const { pem } = issueUserCertificate(userCa, alice, keys.publicKey, now)
  const certificate = verifyChain({ chain: [pem], roots: [userCa.certificatePem], at: now, purpose: 'client' })
  assert.deepEqual(decodeIdentity(certificate, 'user'), alice)
  assert.deepEqual(certificate.notBefore, new Date(now.getTime() - 60_000))
  assert.deepEqual(certificate.keyUsage, ['digitalSignature', 'keyEncipherment'])
  assert.deepEqual(certificate.extendedKeyUsage, ['serverAuth', 'clientAuth'])
  assert.match(new X509Certificate(pem).subject, /CN=alice/)
})

test('an app certificate is for apps alone, and names the one app', () => {
  const routeToApp = {
    name: 'awsconsole',
    sessionId: 's',
    publicAddr: 'awsconsole.example.com',
    cluster: CLUSTER,
    serverName: 'label.app.example.com',
    awsRoleArn: 'arn:aws:iam::123456789012:role/ReadOnly',
  }
  const { der } = issueAppCertificate(userCa, { ...alice, routeToApp }, keys.publicKey, now)
  const identity = decodeIdentity(parseCertificate(der), 'user')
  assert.deepEqual(identity.usage, ['apps'])
  assert.deepEqual(identity.routeToApp, routeToApp)
})

suite('nothing issued outlives its authority', () => {
  const dying = makeSigner(inHours(2))
  for (const [says, issue] of [
    ['a user certificate', (key) => issueUserCertificate(dying, alice, key, now)],
    ['a member certificate', (key) => issueHostCertificate(dying, agent, key, now)],
    [
      'a served name',
      (key) => issueServedNameCertificate(dying, { serverName: 'a.app.example.com', publicKey: key, now, ttlMs: 1e10 }),
    ],
  ] as readonly (readonly [string, (key: KeyObject) => { der: Buffer }])[]) {
    test(says, () => assert.deepEqual(parseCertificate(issue(keys.publicKey).der).notAfter, inHours(2)))
  }
})

test('a certificate that would have expired already is not issued', () => {
  assert.throws(() => issueUserCertificate(userCa, { ...alice, expires: now }, keys.publicKey, now), InvalidCertificate)
})

suite('a member certificate', () => {
  const issued = (identity: HostIdentity) =>
    parseCertificate(issueHostCertificate(hostCa, identity, keys.publicKey, now).der)

  test('carries the identity of the member', () => assert.deepEqual(decodeIdentity(issued(agent), 'host'), agent))

  test('of an agent serves nothing', () => {
    const { dnsNames, extendedKeyUsage } = issued(agent)
    assert.deepEqual(dnsNames, [agent.hostId])
    assert.deepEqual(extendedKeyUsage, ['clientAuth'])
  })

  test('does not let a node name become a server name', () => {
    const certificate = issued({ ...agent, nodeName: 'auth.rpc.example.com' })
    assert.deepEqual(certificate.dnsNames, [agent.hostId])
  })

  test('of Auth serves RPC, of a proxy the tunnel', () => {
    const { dnsNames, extendedKeyUsage } = issued({ ...agent, roles: ['Auth', 'Proxy'] })
    assert.deepEqual(dnsNames, [agent.hostId, 'auth.rpc.example.com', 'proxy.tunnel.example.com'])
    assert.deepEqual(extendedKeyUsage, ['serverAuth', 'clientAuth'])
  })
})

suite('a served-name certificate', () => {
  const issued = (): string =>
    issueServedNameCertificate(hostCa, {
      serverName: 'label.app.example.com',
      extraDnsNames: ['awsconsole.example.com', 'label.app.example.com'],
      ipAddresses: ['127.0.0.1'],
      publicKey: keys.publicKey,
      now,
      ttlMs: 3_600_000,
    }).pem

  test('is for that name and those beside it', () => {
    const { dnsNames, ipAddresses, notAfter } = parseCertificate(issued())
    assert.deepEqual(dnsNames, ['label.app.example.com', 'awsconsole.example.com'])
    assert.deepEqual(ipAddresses, ['127.0.0.1'])
    assert.deepEqual(notAfter, inHours(1))
  })

  test('is no identity', () => {
    assert.throws(() => decodeIdentity(parseCertificate(issued()), 'host'))
    assert.throws(() => verifyChain({ chain: [issued()], roots: [hostCa.certificatePem], at: now, purpose: 'client' }))
  })
})

test('a server that trusts both authorities tells their certificates apart, though both have one name', async () => {
  const served = issueServedNameCertificate(hostCa, {
    serverName: 'label.app.example.com',
    publicKey: keys.publicKey,
    now,
    ttlMs: 3_600_000,
  })
  const server = tls.createServer({
    cert: served.pem,
    key: privateKeyPem(keys.privateKey),
    ca: [userCa.certificatePem, hostCa.certificatePem],
    requestCert: true,
    rejectUnauthorized: true,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clients = [
    issueUserCertificate(userCa, alice, keys.publicKey, now),
    issueHostCertificate(hostCa, agent, keys.publicKey, now),
  ]
  for (const { pem } of clients) {
    const client = tls.connect({
      port: (server.address() as AddressInfo).port, // TCP
      host: '127.0.0.1',
      servername: 'label.app.example.com',
      ca: [userCa.certificatePem, hostCa.certificatePem],
      cert: pem,
      key: privateKeyPem(keys.privateKey),
    })
    const [socket] = (await once(server, 'secureConnection')) as [tls.TLSSocket]
    assert.equal(socket.authorized, true)
    assert.equal(client.authorizationError ?? null, null)
    socket.destroy()
    client.destroy()
  }
  server.close()
})
