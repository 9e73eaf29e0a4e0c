/** What a stranger answers is refused with a reason, before anything is sent to it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import { AccessError } from '#errors.ts'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { issueCertificate, type Name } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, spkiSha256 } from '#pki/key.ts'
import { WrongCaPin } from './ca-pin.ts'
import { type FetchHostAuthorities, fetchHostAuthorities, NotACluster } from './host-authorities.ts'

interface TestAuthority {
  readonly pem: string
  readonly pin: string
}

function makeAuthority(cluster: string, isCa = true): TestAuthority & { readonly key: string } {
  const { publicKey, privateKey } = generateKeyPair()
  const name: Name = [['2.5.4.3', cluster]]
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 600_000),
    dnsNames: ['localhost'],
    isCa,
    keyUsage: isCa ? ['keyCertSign'] : ['digitalSignature'],
  })
  return { pem, pin: `sha256:${spkiSha256(publicKey).toString('hex')}`, key: privateKeyPem(privateKey) }
}

const one = makeAuthority('one.example.com')
const oneNext = makeAuthority('one.example.com')
const two = makeAuthority('two.example.com')
const web = makeAuthority('localhost', false)

/** Asks a server on loopback that answers like this. */
async function fetchFrom(
  answer: http.RequestListener,
  options: Partial<FetchHostAuthorities> = {},
): ReturnType<typeof fetchHostAuthorities> {
  await using stack = new AsyncDisposableStack()
  const server = https.createServer({ cert: web.pem, key: web.key }, answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  const egress = stack.use(createEgress({}))
  return await fetchHostAuthorities({
    address: { kind: 'proxy', host: 'localhost', port: (server.address() as AddressInfo).port }, // TCP
    egress,
    pins: [one.pin, oneNext.pin],
    log: silentLog,
    ...options,
  })
}

const answering =
  (...authorities: readonly TestAuthority[]): http.RequestListener =>
  (_, response) =>
    void response.end(authorities.map(({ pem }) => pem).join(''))

test('the authorities of a cluster that is being rotated are both taken when both have a pin', async () => {
  const { clusterName, certificates } = await fetchFrom(answering(one, oneNext))
  assert.equal(clusterName, 'one.example.com')
  assert.deepEqual(certificates, [one.pem, oneNext.pem])
})

test('the older path with /v1 in front is asked where the other does not exist', async () => {
  const { clusterName } = await fetchFrom((request, response) => {
    if (request.url?.startsWith('/v1/webapi/auth/export?')) answering(one)(request, response)
    else response.writeHead(404).end()
  })
  assert.equal(clusterName, 'one.example.com')
})

test('without a pin and without verification the answer is taken, and the log says so', async () => {
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  await fetchFrom(answering(one), { pins: [], allowUntrustedServer: true, log })
  assert.match(warnings.join(), /^not verifying that localhost:\d+ is the cluster’s$/)
})

suite('refused is', () => {
  const rows: {
    says: string
    answer: http.RequestListener
    options?: Partial<FetchHostAuthorities>
    error: typeof WrongCaPin | typeof NotACluster | typeof AccessError
    text: RegExp
  }[] = [
    { says: 'an authority that no pin names', answer: answering(two), error: WrongCaPin, text: /wrong CA pin/ },
    { says: 'one beside those that pins name', answer: answering(one, two), error: WrongCaPin, text: /wrong CA pin/ },
    {
      says: 'a page',
      answer: (_, response) => void response.end('<html>'),
      error: NotACluster,
      text: /not the host authorities/,
    },
    { says: 'nothing', answer: answering(), error: NotACluster, text: /not the host authorities/ },
    {
      says: 'authorities of two clusters',
      answer: answering(one, two),
      options: { pins: [one.pin, two.pin] },
      error: NotACluster,
      text: /of one cluster/,
    },
    {
      says: 'a certificate that is no authority’s',
      answer: answering(web),
      options: { pins: [web.pin] },
      error: NotACluster,
      text: /of one cluster/,
    },
    {
      says: 'a server that knows no such path',
      answer: (_, response) => void response.writeHead(404).end(),
      error: NotACluster,
      text: /is not a proxy of a cluster/,
    },
    {
      says: 'a redirection',
      answer: (_, response) => void response.writeHead(302, { location: 'https://evil.example/' }).end(),
      error: NotACluster,
      text: /is not a proxy of a cluster/,
    },
    {
      says: 'an answer without end',
      answer: (_, response) => void response.end(Buffer.alloc(1024 * 1024, 'x')),
      error: NotACluster,
      text: /too long/,
    },
    {
      says: 'for now, a proxy whose Auth Service is away',
      answer: (_, response) => void response.writeHead(503).end(),
      error: AccessError,
      text: /answered 503/,
    },
    {
      says: 'for now, a connection that breaks off',
      answer: (request) => void request.socket.destroy(),
      error: AccessError,
      text: /does not answer as a proxy/,
    },
    {
      says: 'without a pin, a certificate that nobody here trusts',
      answer: answering(one),
      options: { pins: [] },
      error: AccessError,
      text: /is not trusted on this machine/,
    },
    {
      says: 'Auth itself without a pin',
      answer: answering(one),
      options: { pins: [], address: { kind: 'auth', host: 'localhost', port: 1 } },
      error: AccessError,
      text: /needs a ca_pin/,
    },
  ]
  for (const { says, answer, options, error, text } of rows) {
    test(says, async () => {
      await assert.rejects(fetchFrom(answer, options), (thrown) => {
        assert.ok(thrown instanceof error, String(thrown))
        assert.match(thrown.message, text)
        return true
      })
    })
  }
})
