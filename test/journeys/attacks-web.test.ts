/** What anybody on the network tries at the proxy's one port, and at the address of the diagnostics. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { openLocalUsers } from '#auth/login/local-users.ts'
import { createHealth, listenForHealth } from '#daemon/health.ts'
import { silentLog } from '#log.ts'
import { ask, type Cluster, startCluster } from '#proxy/running-cluster.conformance.ts'
import { limitKey } from '#proxy/token-buckets.ts'
import { Secret } from '#secret.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { createAuthenticator } from '#tour/authenticator.ts'

let cluster: Cluster
const generous = { perMinute: 100_000, burst: 100_000 }
before(async () => {
  const limits = { normal: generous, high: generous, aborts: generous, connections: 1000 }
  cluster = await startCluster({ limits })
  await cluster.auth.login('alice', ['access'])
})
after(() => cluster[Symbol.asyncDispose]())

/** Sends bytes over TLS to the web server, and reads until it closes. */
async function raw(bytes: string): Promise<string> {
  const socket = tls.connect({
    ...{ port: cluster.proxy.port, host: '127.0.0.1', ca: [...cluster.roots] },
    ...{ servername: '', checkServerIdentity: () => undefined },
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write(bytes)
  return text(socket).catch(() => '')
}

suite('the web server of the proxy', () => {
  for (const path of [
    '//',
    '//evil.example/',
    '/%zz',
    '/%00',
    '/..%2f..%2fetc%2fpasswd',
    '/webapi/../../../etc/passwd',
    '/v1//webapi/find',
    '/web/invite/%3Cscript%3Ealert(1)%3C%2Fscript%3E',
    `/web/invite/${'a'.repeat(100_000).slice(0, 5000)}`,
    '/web/reset/"onload=alert(1)',
    '/webapi/users/password/token/%0d%0aSet-Cookie:%20a=b',
    '/webapi/auth/export?type=user&type=host',
    '/webapi/auth/export?type=__proto__',
    '/constructor',
  ]) {
    test(`answers ${path.slice(0, 60)} with no more than a refusal`, async () => {
      const reply = await raw(`GET ${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`)
      assert.match(reply, /^HTTP\/1\.1 4\d\d /)
      assert.doesNotMatch(reply, /<script|onload=|evil\.example|root:|Set-Cookie|PRIVATE KEY|node_modules/i)
    })
  }

  test('takes no name of itself from a request', async () => {
    const forged = 'Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n'
    for (const path of ['/', '/web', '/web/invite/0123456789abcdef', '/webapi/find']) {
      const reply = await raw(`GET ${path} HTTP/1.1\r\n${forged}Connection: close\r\n\r\n`)
      assert.doesNotMatch(reply, /evil\.example/, path)
      assert.doesNotMatch(reply, /set-cookie/i)
      assert.match(reply, /content-security-policy: .*default-src 'self'/i)
    }
  })

  test('takes the address of who fails to log in from the connection', async () => {
    const body = JSON.stringify({ user: 'alice', pass: 'wrong' })
    const head = `Host: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nX-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nConnection: close\r\n`
    await raw(`POST /webapi/mfa/login/begin HTTP/1.1\r\n${head}\r\n${body}`)
    const failed = (await cluster.auth.events()).findLast(({ event, success }) => event === 'user.login' && !success)
    assert.equal(failed?.['addr.remote'], '127.0.0.1')
  })

  test('says the same of a wrong password and of a user who is not there', async () => {
    const told = async (user: string) => {
      const { status, body } = await ask(cluster, '/webapi/mfa/login/begin', {
        method: 'POST',
        body: { user, pass: 'a wrong password' },
      })
      return { status, body }
    }
    assert.deepEqual(await told('alice'), await told('nobody-of-this-name'))
  })

  for (const { says, body } of [
    { says: 'members of Object', body: '{"user":"a","pass":"b","__proto__":{"admin":true}}' },
    { says: 'a constructor', body: '{"user":"a","pass":"b","constructor":{"prototype":{"admin":true}}}' },
    { says: 'depth', body: `{"user":${'['.repeat(50_000)}${']'.repeat(50_000)}}` },
    { says: 'a name of a hundred thousand letters', body: JSON.stringify({ user: 'a'.repeat(100_000), pass: 'b' }) },
    { says: 'more than it reads', body: JSON.stringify({ user: 'a'.repeat(1_000_000), pass: 'b' }) },
    { says: 'lists for texts', body: '{"user":["alice"],"pass":{"$ne":""}}' },
  ]) {
    test(`refuses a login with ${says}`, async () => {
      const head = `Host: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n`
      const reply = await raw(`POST /webapi/mfa/login/begin HTTP/1.1\r\n${head}\r\n${body}`)
      assert.match(reply, /^(HTTP\/1\.1 4\d\d |$)/)
      assert.equal(({} as { admin?: boolean }).admin, undefined)
    })
  }

  for (const head of [
    'POST /webapi/mfa/login/begin HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /webapi/find HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /webapi/find HTTP/1.1\nHost: a\nConnection: close\n\n',
    'CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: a\r\n\r\n',
  ]) {
    test(`does not read two things in ${JSON.stringify(head.slice(0, 40))}`, async () => {
      assert.doesNotMatch(await raw(head), /HTTP\/1\.1 200/)
    })
  }
})

suite('the port of the proxy', () => {
  for (const { says, bytes } of [
    { says: 'plain HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n') },
    { says: 'a record of nothing', bytes: Buffer.from([22, 3, 1, 0, 0]) },
    { says: 'a hello that says it is endless', bytes: Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]) },
    { says: 'SSLv2', bytes: Buffer.from([0x80, 0x2e, 1, 0, 2]) },
  ]) {
    test(`closes on ${says} without a word`, async () => {
      const socket = net.connect(cluster.proxy.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(bytes)
      assert.equal(await text(socket).catch(() => ''), '')
    })
  }

  test('tells nobody which names are served, and lets no user hold a tunnel', async () => {
    const alice = (await cluster.auth.login('tunneller', ['access'])).certificate
    for (const [servername, protocol] of [
      ['awsconsole.app.example.test', 'access-tunnel/1'],
      ['aaaaaaaaaaaaaaaaaaaaaaaaaa.app.example.test', 'http/1.1'],
      ['zzzzzzzzzzzzzzzzzzzzzzzzzz.kube.example.test', 'h2'],
      ['auth.rpc.other.test', 'h2'],
      ['proxy.tunnel.example.test', 'access-tunnel/1'],
    ] as const) {
      const socket = tls.connect({
        ...{ port: cluster.proxy.port, host: '127.0.0.1', servername, ALPNProtocols: [protocol] },
        ...{ cert: alice?.cert, key: alice?.key, rejectUnauthorized: false },
      })
      socket.on('error', () => {})
      await new Promise((resolve) => socket.once('close', resolve))
      assert.equal(socket.bytesRead > 0 && servername !== 'proxy.tunnel.example.test', false, servername)
    }
    assert.deepEqual(cluster.proxy.connectedAgents(), [])
  })

  for (const [address, key] of [
    ['192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:DB8:1:2:ffff::1', '2001:db8:1:2'],
    ['2001:db8::7', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
    ['', ''],
  ] as const) {
    test(`counts ${address || 'no address'} as ${key || 'none'}`, () => assert.equal(limitKey(address), key))
  }
})

suite('more than a person would send', () => {
  test('of passwords at the same time does not get past the lockout', async () => {
    await cluster.auth.login('guessed', ['access'])
    const guess = (pass: string) =>
      ask(cluster, '/webapi/mfa/login/begin', { method: 'POST', body: { user: 'guessed', pass } })
    const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => guess(`wrong password ${index}`)))
    assert.ok(answers.every(({ status }) => status === 403))
    assert.match((await guess('a password for tests')).body, /maximum failed login attempts/)
  })

  test('of calls that are cut at once does not stop the Auth Service', async () => {
    const session = http2.connect('https://auth.rpc.example.test', {
      createConnection: () =>
        tls.connect({
          ...{ port: cluster.auth.auth.port, host: '127.0.0.1', servername: 'auth.rpc.example.test' },
          ...{ ca: [...cluster.roots], ALPNProtocols: ['h2'] },
        }),
    })
    session.on('error', () => {})
    const ended = new Promise((resolve) => session.once('close', resolve))
    await once(session, 'connect')
    for (let sent = 0; sent < 5000 && !session.destroyed && !session.closed; sent++) {
      const stream = session.request({ ':method': 'POST', ':path': '/access.v1.ClusterService/Ping' })
      stream.on('error', () => {})
      stream.close(http2.constants.NGHTTP2_CANCEL)
      if (sent % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await ended // it is sent away
    assert.equal((await cluster.auth.as(undefined).cluster.ping({})).clusterName, 'example.test')
  })

  test('of a message does not fill the memory of the Auth Service', async () => {
    const huge = { user: 'a', password: 'b'.repeat(5 * 1024 * 1024), clientAddress: '192.0.2.1' }
    await assert.rejects(cluster.auth.caller('proxy').logins.beginLogin(huge))
    await assert.rejects(cluster.auth.as(undefined).join.join({ token: 'x'.repeat(5 * 1024 * 1024) }))
    await cluster.auth.as(undefined).cluster.ping({})
  })
})

suite('the codes of a device', () => {
  test('are not guessed by who holds a certificate, and a login goes on', async () => {
    const clock = (): Date => new Date()
    await using backend = await openSqliteBackend({ path: ':memory:', clock, log: silentLog })
    const users = openLocalUsers({ backend, clock })
    const { token, record } = await users.createToken('alice', 'invite', 0)
    const authenticator = createAuthenticator(record.totpSecret.reveal())
    const password = new Secret('correct horse battery')
    const rule = { totpRule: 'required' } as const
    await users.redeem({ token, password, totpCode: authenticator.nextCode(), deviceName: 'phone', ...rule })
    const guesses = Array.from({ length: 50 }, () => users.beginDevice('alice', 'mine', '000000').catch(String))
    assert.ok((await Promise.all(guesses)).every((answer) => typeof answer === 'string'))
    await assert.rejects(users.beginDevice('alice', 'mine', authenticator.nextCode()), /maximum failed/)
    const attempt = { user: 'alice', password, address: '192.0.2.1', ...rule }
    assert.ok((await users.finish({ ...attempt, totpCode: authenticator.nextCode() })).device)
  })
})

suite('the diagnostics address', () => {
  for (const head of [
    'GET // HTTP/1.1',
    'GET http:// HTTP/1.1',
    'GET /%zz?\\ HTTP/1.1',
    'OPTIONS * HTTP/1.1',
    'GET \\ HTTP/1.1',
  ]) {
    test(`lives on after ${head}`, async () => {
      const address = { host: '127.0.0.1', port: 0 }
      await using listener = await listenForHealth({ address, health: createHealth(), log: silentLog })
      const socket = net.connect(listener.port, '127.0.0.1')
      socket.write(`${head}\r\nHost: a\r\nConnection: close\r\n\r\n`)
      assert.match(await text(socket), /^HTTP\/1\.1 4\d\d /)
      assert.equal((await fetch(`http://127.0.0.1:${listener.port}/healthz`)).status, 200)
    })
  }
})
