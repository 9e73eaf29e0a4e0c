import assert from 'node:assert/strict'
import net from 'node:net'
import { after, before, suite, test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { password } from '#auth/callers.conformance.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { product } from '#product.ts'
import { createRpcClient } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import { defaultProxyLimits } from './config.ts'
import { ask, type Cluster, cluster, startCluster } from './running-cluster.conformance.ts'

suite('the web endpoints', () => {
  let running: Cluster
  before(async () => {
    running = await startCluster()
  })
  after(() => running[Symbol.asyncDispose]())

  test('find says what clients need before they know anything', async () => {
    for (const path of ['/webapi/find', '/v1/webapi/find']) {
      const { status, json } = await ask(running, path)
      assert.equal(status, 200)
      const { server_version, product_version, min_client_version, cluster_name, proxy } = json()
      assert.deepEqual(
        { server_version, product_version, min_client_version, cluster_name },
        {
          server_version: product.compatibleVersion,
          product_version: product.version,
          min_client_version: product.minClientVersion,
          cluster_name: cluster,
        },
      )
      assert.deepEqual(proxy, {
        kube: { enabled: false, public_addr: '127.0.0.1:443', listen_addr: `127.0.0.1:${running.proxy.port}` },
        ssh: {
          listen_addr: `127.0.0.1:${running.proxy.port}`,
          tunnel_listen_addr: `127.0.0.1:${running.proxy.port}`,
          web_listen_addr: `127.0.0.1:${running.proxy.port}`,
          public_addr: '127.0.0.1:443',
          dial_timeout: 30_000_000_000,
        },
        db: {},
        tls_routing_enabled: true,
      })
    }
  })

  test('ping says how to log in', async () => {
    const { json } = await ask(running, '/webapi/ping')
    const auth = json().auth as Record<string, unknown> // an object by the test of find
    assert.deepEqual([auth.type, auth.second_factor, auth.has_motd, auth.local], ['local', 'off', false, { name: '' }])
  })

  for (const { says, path, method, body, status, message } of [
    { says: 'a connector that exists is echoed', path: '/webapi/ping/local', status: 200, message: /"name":"local"/ },
    {
      says: 'an unknown connector is refused with the ones that exist',
      path: '/webapi/ping/okta',
      status: 400,
      message: /invalid connector name: okta; valid options: local, passwordless, headless/,
    },
    { says: 'the message of the day is empty', path: '/webapi/motd', status: 200, message: /^\{"Text":""\}$/ },
    { says: 'robots stay out', path: '/robots.txt', status: 200, message: /Disallow: \// },
    {
      says: 'the host authority is public',
      path: '/webapi/auth/export?type=tls-host',
      status: 200,
      message: /^-----BEGIN CERTIFICATE-----/,
    },
    {
      says: 'an export that does not exist is refused',
      path: '/webapi/auth/export?type=nope',
      status: 400,
      message: /"error":\{"message":.*nope/,
    },
    {
      says: 'an unknown path is JSON with the version',
      path: '/webapi/nope',
      status: 404,
      message: new RegExp(`"product_version":"${product.version}"`),
    },
    { says: '/v1 stands only before known segments', path: '/v1/robots.txt', status: 404, message: /does not exist/ },
    {
      says: 'an invite page does not exist for other words',
      path: '/web/hello/abc',
      status: 404,
      message: /this page does not exist/,
    },
    {
      says: 'an invite page does not take markup',
      path: '/web/invite/%3Cscript%3E',
      status: 404,
      message: /this page does not exist/,
    },
    {
      says: 'an unknown token is not found',
      path: '/webapi/users/password/token/0123456789abcdef',
      status: 404,
      message: /"error"/,
    },
    {
      says: 'a login without a password names the field',
      path: '/webapi/mfa/login/begin',
      method: 'POST',
      body: { user: 'alice' },
      status: 400,
      message: /pass: /,
    },
    {
      says: 'a wrong password is refused',
      path: '/webapi/mfa/login/finish',
      method: 'POST',
      body: { user: 'nobody', password: 'wrong', tls_pub_key: publicKeyPem(generateKeyPair().publicKey) },
      status: 403,
      message: /invalid username, password or second factor/,
    },
    {
      says: 'a body that is not JSON is refused',
      path: '/webapi/mfa/login/begin',
      method: 'POST',
      body: 'text',
      status: 400,
      message: /"error"/,
    },
    {
      says: 'a body that is too long is refused',
      path: '/webapi/mfa/login/begin',
      method: 'POST',
      body: { user: 'x'.repeat(300_000) },
      status: 413,
      message: /"error"/,
    },
  ] as { says: string; path: string; method?: string; body?: unknown; status: number; message: RegExp }[]) {
    test(says, async () => {
      const answer = await ask(running, path, { ...(method && { method }), body })
      assert.match(answer.body, message)
      assert.equal(answer.status, status)
    })
  }

  test('every answer carries the security headers', async () => {
    for (const path of ['/webapi/find', '/webapi/nope', '/web']) {
      const { headers } = await ask(running, path)
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.equal(headers['referrer-policy'], 'strict-origin')
      assert.equal(headers['x-frame-options'], 'SAMEORIGIN')
      assert.equal(headers['x-xss-protection'], '1; mode=block')
      assert.equal(headers['strict-transport-security'], 'max-age=31536000; includeSubDomains')
      assert.equal(
        headers['content-security-policy'],
        "base-uri 'self'; connect-src 'self' wss:; default-src 'self'; font-src 'self' data:; form-action 'self'; frame-ancestors 'none'; img-src 'self' data: blob:; object-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';",
      )
    }
  })

  test('the root leads to the start page', async () => {
    const { status, headers } = await ask(running, '/')
    assert.deepEqual([status, headers.location], [302, '/web'])
    assert.match((await ask(running, '/web')).body, /tsh login --proxy=127\.0\.0\.1/)
  })

  test('an invite page shows the command, runs no script, and is the same for tokens that do not exist', async () => {
    const { token } = await running.auth.caller('admin').users.createUser({
      user: { json: JSON.stringify({ kind: 'user', metadata: { name: 'bob' }, spec: { roles: ['access'] } }) },
    })
    const unknown = token.replace(/./g, '0')
    const [real, other] = await Promise.all([
      ask(running, `/web/invite/${token}`),
      ask(running, `/web/invite/${unknown}`),
    ])
    assert.match(real.body, new RegExp(`tsh signup https://127\\.0\\.0\\.1/web/invite/${token} --ca-pin sha256:`))
    assert.doesNotMatch(real.body, /<script/)
    assert.equal(real.body.replaceAll(token, ''), other.body.replaceAll(unknown, ''))
    assert.equal(real.status, other.status)
  })

  test('an invited user sets a password, logs in, and reaches Auth through the proxy', async () => {
    const { token } = await running.auth.caller('admin').users.createUser({
      user: { json: JSON.stringify({ kind: 'user', metadata: { name: 'alice' }, spec: { roles: ['access'] } }) },
    })
    const facts = (await ask(running, `/webapi/users/password/token/${token}`)).json()
    assert.deepEqual([facts.user, facts.purpose], ['alice', 'invite'])
    const put = await ask(running, '/webapi/users/password/token', { method: 'PUT', body: { token, password } })
    assert.deepEqual([put.status, put.json()], [200, { user: 'alice' }])
    const again = await ask(running, `/webapi/users/password/token/${token}`)
    assert.equal(again.status, 404)

    const begun = await ask(running, '/webapi/mfa/login/begin', {
      method: 'POST',
      body: { user: 'alice', pass: password },
    })
    assert.deepEqual([begun.status, begun.json()], [200, {}])
    const keys = generateKeyPair()
    const finished = await ask(running, '/webapi/mfa/login/finish', {
      method: 'POST',
      body: { user: 'alice', password, tls_pub_key: publicKeyPem(keys.publicKey), ttl: 600 },
    })
    const login = finished.json()
    assert.equal(finished.headers['cache-control'], 'no-cache, no-store, must-revalidate')
    assert.deepEqual([login.username, login.cluster_name, login.host_signers], ['alice', cluster, running.roots])

    await using rpc = createRpcClient({
      dial: async () => net.connect(running.proxy.port, '127.0.0.1'),
      serverName: authServerName(cluster),
      hostAuthorities: running.roots,
      certificate: { cert: String(login.tls_cert), key: privateKeyPem(keys.privateKey) },
    })
    assert.equal((await createClient(ClusterService, rpc.transport).whoAmI({})).name, 'alice')
  })
})

test('limits are for each address: over the burst comes 429 with a hint', async () => {
  const limits = { ...defaultProxyLimits, normal: { perMinute: 1, burst: 2 } }
  await using running = await startCluster({ limits })
  const statuses: number[] = []
  for (let round = 0; round < 3; round++) statuses.push((await ask(running, '/web/invite/abc')).status)
  assert.deepEqual(statuses, [200, 200, 429])
  const { json, headers } = await ask(running, '/web/invite/abc')
  assert.deepEqual(json().error, { message: 'too many requests from this address', hint: 'try again in 1 minute' })
  assert.ok(Number(headers['retry-after']) > 0)
  assert.equal((await ask(running, '/webapi/find')).status, 200)
  running.auth.pass(60_000)
  assert.equal((await ask(running, '/web/invite/abc')).status, 200)
})

test('while Auth is down find answers, and ping says what is wrong', async () => {
  await using running = await startCluster()
  await running.auth.auth[Symbol.asyncDispose]()
  assert.equal((await ask(running, '/webapi/find')).status, 200)
  const { status, json } = await ask(running, '/webapi/ping')
  assert.equal(status, 503)
  assert.match(JSON.stringify(json()), /Auth Service cannot be reached/)
})
