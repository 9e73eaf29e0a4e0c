import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import { issueUserCertificate } from '#ca/issue-user.ts'
import { createEgress } from '#net/egress.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, parsePublicKey, privateKeyPem, spkiSha256 } from '#pki/key.ts'
import { Secret } from '#secret.ts'
import { hourMs, sampleAuthority, sampleIdentity, temporaryDirectory } from '#test/sample-login.ts'
import { getActiveLogin } from './active-login.ts'
import { checkClock, logInByPassword, pingCluster, storeLogin } from './login.ts'
import { readUserToken } from './user-token.ts'
import { createWebClient, UntrustedProxy, type WebTrust } from './web-client.ts'

const authority = sampleAuthority('example')
const pin = `sha256:${spkiSha256(new X509Certificate(authority.certificatePem).publicKey).toString('hex')}`

type Answer = { readonly status?: number; readonly body: string }
type Handler = (call: { method: string; path: string; body: unknown }) => Answer

/** A real HTTPS server whose chain ends in `authority`, which it shows. */
async function startProxy(handler: Handler, dnsName = 'localhost') {
  const { privateKey, publicKey } = generateKeyPair()
  const { pem } = issueCertificate({
    subject: [[oids.CN, dnsName]],
    publicKey,
    issuer: authority,
    notBefore: new Date(Date.now() - hourMs),
    notAfter: new Date(Date.now() + hourMs),
    dnsNames: [dnsName],
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['serverAuth'],
  })
  const server = https.createServer({ key: privateKeyPem(privateKey), cert: pem + authority.certificatePem })
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const { status = 200, body } = handler({
      method: request.method ?? '',
      path: request.url ?? '',
      body: text === '' ? undefined : JSON.parse(text),
    })
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function client(trust: WebTrust, handler: Handler = () => ({ body: '{"ok":true}' }), dnsName?: string) {
  const proxy = await startProxy(handler, dnsName)
  const egress = createEgress({})
  return {
    web: createWebClient({ proxy: { host: 'localhost', port: proxy.port }, trust, egress }),
    async [Symbol.asyncDispose]() {
      egress[Symbol.dispose]()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

suite('whom the web client believes', () => {
  test('nobody whose authority is unknown here; the hint says what to give', async () => {
    await using it = await client({})
    await assert.rejects(it.web.get('/'), (error: UntrustedProxy) => {
      assert.ok(error instanceof UntrustedProxy)
      assert.match(error.hint, /--ca-pin/)
      return true
    })
  })
  test('a proxy whose chain has the pinned authority', async () => {
    await using it = await client({ caPin: pin })
    assert.deepEqual(await it.web.get('/'), { ok: true })
  })
  test('a proxy that an earlier login vouches for', async () => {
    await using it = await client({ hostAuthorities: [authority.certificatePem] })
    assert.deepEqual(await it.web.get('/'), { ok: true })
  })
  test('anybody, when the user asks for no check', async () => {
    await using it = await client({ allowUntrustedProxy: true })
    assert.deepEqual(await it.web.get('/'), { ok: true })
  })
  test('not a proxy with another pin, and nothing was sent to it', async () => {
    let calls = 0
    await using it = await client({ caPin: `sha256:${'0'.repeat(64)}`, allowUntrustedProxy: true }, () => {
      calls++
      return { body: '{}' }
    })
    await assert.rejects(it.web.post('/', { pass: 'x' }), /shows no certificate with the key/)
    assert.equal(calls, 0)
  })
  test('not a proxy that shows the pinned authority and was not certified by it', async () => {
    const stranger = sampleAuthority('stranger')
    const { privateKey, publicKey } = generateKeyPair()
    const { pem } = issueCertificate({
      subject: [[oids.CN, 'localhost']],
      publicKey,
      issuer: stranger,
      notBefore: new Date(Date.now() - hourMs),
      notAfter: new Date(Date.now() + hourMs),
      dnsNames: ['localhost'],
      keyUsage: ['digitalSignature'],
    })
    const server = https.createServer({ key: privateKeyPem(privateKey), cert: pem + authority.certificatePem })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    using egress = createEgress({})
    const web = createWebClient({ proxy: { host: 'localhost', port }, trust: { caPin: pin }, egress })
    await assert.rejects(web.get('/'), UntrustedProxy)
    server.closeAllConnections()
    server.close()
  })
  test('not a certificate for another name', async () => {
    await using it = await client({ caPin: pin }, undefined, 'other.example.com')
    await assert.rejects(it.web.get('/'), /is for another name/)
  })
  test('a pin has one form', async () => {
    await using it = await client({ caPin: 'sha256:xyz' })
    await assert.rejects(it.web.get('/'), /is not a CA pin/)
  })
})

suite('what the web client makes of answers', () => {
  const answer = async (status: number, body: string): Promise<{ code?: string; message: string; hint?: string }> => {
    const it = await client({ caPin: pin }, () => ({ status, body }))
    const failed = ({ code, message, hint }: UntrustedProxy) => ({ code, message, hint })
    try {
      return await it.web.get('/').then(() => ({ message: 'no error' }), failed)
    } finally {
      await it[Symbol.asyncDispose]()
    }
  }
  for (const [status, code] of [
    [400, 'invalid'],
    [401, 'unauthenticated'],
    [403, 'denied'],
    [404, 'not-found'],
    [409, 'already-exists'],
    [412, 'conflict'],
    [429, 'exhausted'],
    [502, 'unavailable'],
  ] as const) {
    test(`status ${status} is an error "${code}" with the words of the proxy`, async () => {
      const error = await answer(status, '{"error":{"message":"no way","hint":"turn round"}}')
      assert.partialDeepStrictEqual(error, { code, message: 'no way', hint: 'turn round' })
    })
  }
  test('something that is not JSON is probably no proxy', async () => {
    assert.match((await answer(200, '<html>nginx</html>')).message, /it is probably not a Teleport proxy/)
  })
  test('an error without words still has some', async () => {
    assert.partialDeepStrictEqual(await answer(403, '[]'), {
      code: 'denied',
      message: 'the proxy answered with status 403',
    })
  })
  test('a port where nothing listens is named', async () => {
    using egress = createEgress({})
    const web = createWebClient({ proxy: { host: '127.0.0.1', port: 1 }, trust: {}, egress })
    await assert.rejects(web.get('/'), { code: 'unavailable' })
  })
})

suite('a login by password', () => {
  const calls: unknown[] = []
  const handler: Handler = ({ method, path, body }) => {
    calls.push([method, path])
    if (path === '/webapi/ping') {
      return {
        body: '{"cluster_name":"example","server_version":"18.0.0","product_version":"0.1.0","min_client_version":"0.1.0","auth":{"type":"local","second_factor":"otp"}}',
      }
    }
    const { pass, password, totp_code, tls_pub_key } = body as Record<string, string>
    if (path === '/webapi/mfa/login/begin') {
      return pass === 'right'
        ? { body: '{"totp_challenge":true}' }
        : { status: 403, body: '{"error":{"message":"invalid username, password or second factor"}}' }
    }
    if (password !== 'right' || totp_code !== '123456') return { status: 403, body: '{}' }
    const { pem } = issueUserCertificate(authority, sampleIdentity(), parsePublicKey(tls_pub_key ?? ''), new Date())
    return {
      body: JSON.stringify({
        username: 'alice',
        tls_cert: pem,
        cluster_name: 'example',
        host_signers: [authority.certificatePem],
      }),
    }
  }

  test('asks for a code when the cluster wants one, and stores what it got', async () => {
    await using home = await temporaryDirectory()
    await using it = await client({ caPin: pin }, handler)
    const ping = await pingCluster(it.web)
    assert.deepEqual([ping.clusterName, ping.authType, ping.hasMessageOfTheDay], ['example', 'local', false])
    const result = await logInByPassword(it.web, {
      user: 'alice',
      password: new Secret('right'),
      askCode: async () => '123456',
    })
    await storeLogin(home.path, result, { web: it.web, trust: { caPin: pin }, isKubeEnabled: false })
    const login = await getActiveLogin(home.path, { now: new Date() })
    assert.deepEqual([login.identity.name, login.profile.caPin, login.profile.name], ['alice', pin, 'localhost'])
  })
  test('with a wrong password ends before the code, with the words of the proxy', async () => {
    await using it = await client({ caPin: pin }, handler)
    const login = { user: 'alice', password: new Secret('wrong'), askCode: () => assert.fail('asked for a code') }
    await assert.rejects(logInByPassword(it.web, login), { message: 'invalid username, password or second factor' })
  })
  test('refuses an answer that brings no certificate', async () => {
    await using it = await client({ caPin: pin }, () => ({ body: '{}' }))
    const login = { user: 'alice', password: new Secret('right'), askCode: async () => '' }
    await assert.rejects(logInByPassword(it.web, login), { code: 'unavailable' })
  })
  test('tells of a clock that is wrong', () => {
    const { publicKey } = generateKeyPair()
    const { pem } = issueUserCertificate(authority, sampleIdentity(), publicKey, new Date())
    checkClock(pem, new Date())
    assert.throws(() => checkClock(pem, new Date(Date.now() - 5 * hourMs)), /clock of this machine/)
    assert.throws(() => checkClock(pem, new Date(Date.now() + 5 * hourMs)), { hint: /set the clock/ })
  })
})

test('an invite says whom it is for and what to enrol', async () => {
  await using it = await client({ caPin: pin }, ({ path }) => ({
    body: JSON.stringify({
      user: path.split('/').at(-1),
      totp_secret: 'ABC',
      totp_uri: 'otpauth://totp/x',
      totp_required: true,
    }),
  }))
  const facts = await readUserToken(it.web, 'to/ken')
  assert.deepEqual(facts, { user: 'to%2Fken', totp: { secret: 'ABC', uri: 'otpauth://totp/x', isRequired: true } })
})
