import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import { answerHeaders } from '#aws/forwarding.ts'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { Secret } from '#secret.ts'
import { requireTool } from '#test/tools.ts'
import { isIntercepted, startAwsLocalProxy } from './aws.ts'
import { connectTo, presign, send, setUp, sign } from './aws-proxy-site.ts'
import { createLocalCa } from './local-ca.ts'
import type { PlaceholderCredentials } from './placeholder-credentials.ts'

const s3 = 'bucket.s3.us-east-1.amazonaws.com'

suite('what is refused, in the words of AWS', () => {
  const other = { accessKeyId: 'AKIAOTHER1234567890', secretAccessKey: new Secret('other') }
  for (const { says, make, status, pattern } of [
    {
      says: 'a key that we did not give out',
      make: () => ({ headers: sign(other, {}).headers }),
      status: 403,
      pattern:
        /<ErrorResponse><Error><Type>Sender<\/Type><Code>InvalidClientTokenId<\/Code><Message>AccessKeyID does not match/,
    },
    {
      says: 'the right key with the wrong secret',
      make: (mine: PlaceholderCredentials) => ({
        headers: sign({ ...other, accessKeyId: mine.accessKeyId }, {}).headers,
      }),
      status: 403,
      pattern: /SignatureDoesNotMatch<\/Code><Message>signature verification failed/,
    },
    {
      says: 'a changed query',
      make: (mine: PlaceholderCredentials) => ({ headers: sign(mine, {}).headers, query: 'Action=DeleteAll' }),
      status: 403,
      pattern: /signature verification failed/,
    },
    {
      says: 'a changed body',
      make: (mine: PlaceholderCredentials) => ({
        method: 'POST',
        headers: sign(mine, { method: 'POST', headers: ['Content-Length', '3'], body: Buffer.from('abc') }).headers,
        body: Buffer.from('abd'),
      }),
      status: 403,
      pattern: /signature verification failed/,
    },
    {
      says: 'a body that is too large to hold',
      make: (mine: PlaceholderCredentials) => {
        const body = Buffer.alloc(3000)
        return {
          method: 'POST',
          headers: sign(mine, { method: 'POST', headers: ['Content-Length', '3000'], body }).headers,
          body,
        }
      },
      status: 413,
      pattern: /EntityTooLarge.*larger than 2000 bytes.*TELEPORT_AWS_MAX_BODY_BYTES/,
    },
    {
      says: 'a host that is not AWS',
      make: (mine: PlaceholderCredentials) => ({ headers: sign(mine, { host: 'localhost' }).headers }),
      status: 400,
      pattern: /is not an AWS API host.*not as an endpoint URL/,
    },
    {
      says: 'an event stream',
      make: (mine: PlaceholderCredentials) => ({
        host: 'transcribestreaming.us-east-1.amazonaws.com',
        method: 'POST',
        headers: sign(
          mine,
          {
            host: 'transcribestreaming.us-east-1.amazonaws.com',
            method: 'POST',
            headers: ['x-amz-content-sha256', 'x'],
          },
          { service: 'transcribe', payloadHash: 'STREAMING-AWS4-HMAC-SHA256-EVENTS' },
        ).headers,
      }),
      status: 400,
      pattern: /"message":"signed event streams are not supported/,
    },
    {
      says: 'an asymmetric signature',
      make: () => ({
        headers: ['Host', 'sts.us-east-1.amazonaws.com', 'Authorization', 'AWS4-ECDSA-P256-SHA256 Credential=x'],
      }),
      status: 403,
      pattern: /SigV4A/,
    },
  ]) {
    test(says, async () => {
      await using site = await setUp({ maxBodyBytes: 2000 })
      const answer = await send(site, make(site.proxy.credentialsOf('awsconsole')))
      assert.equal(answer.status, status)
      assert.match(answer.body, pattern)
      assert.equal(site.seen.length, 0)
      assert.equal(site.notices.length, 1)
      assert.equal(site.notices[0]?.kind, 'error')
    })
  }

  test('a HEAD has no body, so the reason is told beside it', async () => {
    await using site = await setUp({
      answer: (_, response) =>
        response.writeHead(403, { [answerHeaders.apiError]: encodeURIComponent('no role grants «x»\u001b[31m') }).end(),
    })
    const { headers } = sign(site.proxy.credentialsOf('awsconsole'), { host: s3, method: 'HEAD' }, { service: 's3' })
    const answer = await send(site, { host: s3, method: 'HEAD', headers })
    assert.equal(answer.status, 403)
    assert.deepEqual(site.notices, [{ kind: 'error', app: 'awsconsole', text: 'no role grants «x» [31m' }])
  })

  test('an agent that cannot be reached is an error that clients try again', async () => {
    await using site = await setUp()
    const proxy = site.proxy
    await using broken = await startAwsLocalProxy({
      apps: [
        {
          name: 'awsconsole',
          privateKeyPem: privateKeyPem(generateKeyPair().privateKey),
          caFile: proxy.caFile,
          dial: async () => {
            throw new Error('no agent')
          },
        },
      ],
      egress: createEgress({}),
      log: silentLog,
      clock: () => new Date(),
      onNotice: () => {},
    })
    const ca = await readFile(broken.caFile, 'utf8')
    const answer = await send({ proxy: broken, ca }, { headers: sign(broken.credentialsOf('awsconsole'), {}).headers })
    assert.equal(answer.status, 503)
    assert.match(answer.body, /ServiceUnavailable/)
  })
})

suite('connections', () => {
  test('to other hosts pass through untouched, and an unreachable one is 503', async () => {
    await using site = await setUp()
    const echo = net.createServer((socket) => socket.pipe(socket))
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    const { port } = echo.address() as AddressInfo
    const socket = await connectTo(site.proxy, `127.0.0.1:${port}`)
    socket.end('hello')
    let text = ''
    for await (const part of socket) text += part
    assert.equal(text, 'hello')
    echo.close()
    const request = http
      .request({ port: site.proxy.port, host: '127.0.0.1', method: 'CONNECT', path: `127.0.0.1:${port}` })
      .end()
    const [response] = (await once(request, 'connect')) as [http.IncomingMessage]
    assert.equal(response.statusCode, 503)
  })

  test('and requests that need nothing of ours go to AWS itself, through the proxy that tsh was given', async () => {
    const ca = createLocalCa({ loginKeyPem: privateKeyPem(generateKeyPair().privateKey), clock: () => new Date() })
    const asked: string[] = []
    const aws = https.createServer(
      { SNICallback: (name, callback) => callback(null, ca.contextFor(name)) },
      (request, response) => void response.end(`${request.method} ${request.headers.host}${request.url}`),
    )
    aws.listen(0, '127.0.0.1')
    await once(aws, 'listening')
    const company = http.createServer()
    company.on('connect', (request, client: Socket) => {
      asked.push(request.url ?? '')
      const upstream = net.connect((aws.address() as AddressInfo).port, '127.0.0.1')
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(upstream).pipe(client)
      for (const socket of [client, upstream]) socket.on('error', () => {})
    })
    company.listen(0, '127.0.0.1')
    await once(company, 'listening')
    {
      await using site = await setUp({
        egress: {
          httpsProxy: `http://127.0.0.1:${(company.address() as AddressInfo).port}`,
          extraCa: ca.certificatePem,
        },
      })
      assert.ok(site.ca.includes(ca.certificatePem.trim()), 'what tsh trusts, its children trust too')
      const theirs = { accessKeyId: 'AKIASTRANGER1234567', secretAccessKey: new Secret('x') }
      const query = presign(theirs, { host: s3, path: '/k' })
      assert.equal((await send(site, { host: s3, path: '/k', query })).body, `GET ${s3}/k?${query}`)
      assert.equal(
        (await send(site, { host: s3, method: 'PUT', path: '/open', body: Buffer.from('x') })).body,
        `PUT ${s3}/open`,
      )
      const channel = 'ssmmessages.us-east-1.amazonaws.com'
      assert.equal((await send({ ...site, ca: ca.certificatePem }, { host: channel })).body, `GET ${channel}/`)
      assert.deepEqual(new Set(asked), new Set([`${s3}:443`, `${channel}:443`]))
      assert.equal(site.seen.length, 0)
    }
    for (const server of [aws, company]) {
      server.closeAllConnections()
      server.close()
    }
  })

  test('of a client that does not trust us say what it has to trust', async (context) => {
    const openssl = requireTool(context, 'openssl')
    if (openssl === undefined) return
    await using site = await setUp()
    const target = [
      '-proxy',
      `127.0.0.1:${site.proxy.port}`,
      '-connect',
      'sts.amazonaws.com:443',
      '-verify_return_error',
    ]
    const child = spawn(openssl, ['s_client', ...target, '-no-CAfile', '-no-CApath', '-no-CAstore'], {
      stdio: 'ignore',
    })
    const { text } = await site.noticed
    assert.match(text, /does not trust the proxy's certificate for sts\.amazonaws\.com: have it read .*-localca\.pem/)
    child.kill()
  })

  test('that are no CONNECT are told why', async () => {
    await using site = await setUp()
    const response = await fetch(`http://127.0.0.1:${site.proxy.port}/`)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /HTTPS_PROXY/)
  })

  for (const [host, port, answer] of [
    ['sts.amazonaws.com', 443, true],
    ['bucket.s3.eu-west-1.amazonaws.com', 443, true],
    ['ec2.us-east-1.api.aws', 443, true],
    ['ssmmessages.us-east-1.amazonaws.com', 443, false],
    ['ec2messages.us-east-1.amazonaws.com', 443, false],
    ['sts.amazonaws.com', 8443, false],
    ['x.amazonaws.com.example.net', 443, false],
    ['signin.aws.amazon.com', 443, false],
  ] as const) {
    test(`to ${host}:${port} are ${answer ? 'ours' : 'not ours'}`, () =>
      assert.equal(isIntercepted({ host, port }), answer))
  }

  test('end at a certificate for the host that was asked for, from a CA file that only its owner reads', async () => {
    await using site = await setUp()
    const socket = tls.connect({
      socket: await connectTo(site.proxy, 'iam.amazonaws.com:443'),
      servername: 'iam.amazonaws.com',
      ca: site.ca,
    })
    await once(socket, 'secureConnect')
    assert.equal(socket.getPeerCertificate().subjectaltname, 'DNS:iam.amazonaws.com')
    socket.destroy()
    assert.equal((await stat(site.proxy.caFile)).mode & 0o777, 0o600)
    assert.ok(site.ca.split('BEGIN CERTIFICATE').length > 10, 'the authorities of the machine are in the bundle too')
  })
})
