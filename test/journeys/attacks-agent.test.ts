/** What somebody tries who has a valid certificate of an app and a client of their own, straight at the agent. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import type tls from 'node:tls'
import { answer, type Bed, type Call, lab, startBed, WRITER } from '#agents/app/bed.conformance.ts'
import { forwarding } from '#aws/forwarding.ts'

const STS = 'sts.us-east-1.amazonaws.com'
const set =
  (name: string, ...values: readonly string[]) =>
  (headers: string[]): string[] => [
    ...headers.filter((_, index, all) => all[index - (index % 2)]?.toLowerCase() !== name),
    ...values.flatMap((value) => [name, value]),
  ]
const add =
  (...pairs: readonly string[]) =>
  (headers: string[]): string[] => [...headers, ...pairs]

/** What AWS was asked, but for the agent's own `AssumeRole`. */
const asked = (): number => lab.seen.filter(({ operation }) => operation !== 'AssumeRole').length

let bed: Bed
before(async () => {
  bed = await startBed()
})
after(() => bed[Symbol.asyncDispose]())

async function nothingIsAsked(call: Call, connection?: tls.TLSSocket): Promise<string> {
  const before = lab.seen.length
  const { status, body } = await answer(connection ?? (await bed.connect({ awsRoleArn: WRITER })), call)
  assert.ok(status >= 400, `${status} ${body}`)
  assert.equal(lab.seen.length, before, 'AWS was asked')
  return body
}

/** What comes first: an answer, or the end. */
async function firstOf(socket: tls.TLSSocket): Promise<string> {
  const ended = once(socket, 'close').then(() => [''])
  const [reply] = await Promise.race([once(socket, 'data'), ended])
  socket.destroy()
  return String(reply)
}

suite('steering a signed request elsewhere', () => {
  for (const { says, call } of [
    { says: 'a host that is not of AWS', call: { change: set(forwarding.host, 'attacker.example') } },
    {
      says: 'a host that only begins like one',
      call: { change: set(forwarding.host, 's3.amazonaws.com.evil.example') },
    },
    { says: 'two hosts', call: { change: set(forwarding.host, 's3.amazonaws.com', 'attacker.example') } },
    {
      says: 'two hosts, one in another case',
      call: { change: add('X-FORWARDED-HOST', 'attacker.example') },
    },
    { says: 'hosts in one header', call: { change: set(forwarding.host, 's3.amazonaws.com, attacker.example') } },
    {
      says: 'a host with a user before it',
      call: { change: set(forwarding.host, 'attacker.example@s3.amazonaws.com') },
    },
    { says: 'another port', call: { change: set(forwarding.host, 's3.amazonaws.com:8443') } },
    { says: 'loopback', call: { change: set(forwarding.host, '127.0.0.1:443') } },
    { says: 'the metadata service', call: { change: set(forwarding.host, '169.254.169.254') } },
    { says: 'the metadata service over IPv6', call: { change: set(forwarding.host, '[fd00:ec2::254]') } },
    {
      says: 'an instance that a customer runs',
      call: { host: 'ec2-192-0-2-1.compute-1.amazonaws.com' },
    },
    { says: 'a load balancer that a customer runs', call: { host: 'mine-1.us-east-1.elb.amazonaws.com' } },
    { says: 'a web site in a bucket', call: { host: 'mine.s3-website-us-east-1.amazonaws.com' } },
    { says: 'no host', call: { change: set(forwarding.host) } },
    { says: 'a target of its own', call: { path: 'https://attacker.example/' } },
    {
      says: 'a signature for STS to an API that a customer runs, to use it at STS',
      call: { host: 'abc.execute-api.us-east-1.amazonaws.com', service: 'sts', path: '/?Action=GetSessionToken' },
    },
    {
      says: 'a signature for IAM to a function that a customer runs',
      call: { host: 'abc.lambda-url.us-east-1.on.aws', service: 'iam' },
    },
    {
      says: 'a signature for S3 to a container that a customer runs',
      call: { host: 'abc.ecs.us-east-1.on.aws', service: 's3' },
    },
    { says: 'a signature for STS to S3', call: { service: 'sts', path: '/?Action=GetCallerIdentity' } },
    { says: 'a signature for another service to STS', call: { host: STS, service: 'iam' } },
    { says: 'STS by another spelling', call: { host: STS, service: 'STS' } },
  ] satisfies { says: string; call: Call }[]) {
    test(`fails: ${says}`, async () => {
      await nothingIsAsked(call)
    })
  }

  test('forwarding headers and headers of ours do not reach AWS', async () => {
    const { status } = await answer(await bed.connect(), {
      path: '/?x-id=ListBuckets',
      change: add(
        ...['X-Forwarded-For', '10.0.0.1', 'x-forwarded-proto', 'http', 'Forwarded', 'host=attacker.example'],
        ...['X-Teleport-Aws-Issued-Key', 'A:B', 'X-Real-IP', '10.0.0.1', 'Teleport-Jwt-Assertion', 'x'],
        ...['X-Amz-Security-Token', 'mine', 'X-AMZ-SECURITY-TOKEN', 'mine too', 'X-Amz-Date', '20000101T000000Z'],
        ...['Connection', 'x-amz-date, x-teleport-aws-payload-hash, authorization'],
      ),
    })
    assert.equal(status, 200)
    const names = lab.seen.at(-1)?.headers.map(([name]) => name.toLowerCase()) ?? []
    assert.deepEqual(
      names.filter((name) => /forwarded|teleport|real-ip|connection.*,/.test(name)),
      [],
    )
    assert.equal(names.filter((name) => name === 'x-amz-date').length, 1)
  })

  test('the address of the caller in the log is what the proxy says, not a header', async () => {
    const recorded = bed.nextEvent(({ path }) => path === '/spoofed')
    await answer(await bed.connect(), { path: '/spoofed', change: add('X-Forwarded-For', '10.9.8.7') })
    assert.equal((await recorded)['addr.remote'], '192.0.2.7')
  })
})

suite('a certificate that is for something else', () => {
  for (const { says, options } of [
    { says: 'another app', options: { routeToApp: { name: 'other' } } },
    { says: 'another cluster', options: { cluster: 'other.example' } },
    { says: 'a role that was taken away', options: { roles: ['gone'] } },
    { says: 'an AWS role that is not allowed', options: { awsRoleArn: 'arn:aws:iam::123456789012:role/Admin' } },
    { says: 'a wildcard for an AWS role', options: { awsRoleArn: '*' } },
  ]) {
    test(`opens nothing: ${says}`, async () => {
      const route = {
        ...{ sessionId: 's', publicAddr: 'p', cluster: 'example.com', awsRoleArn: WRITER, name: 'awsconsole' },
        ...{ serverName: 'abcdefghijklmnopqrstuvwxyz.app.example.com' },
      }
      const routeToApp = 'routeToApp' in options ? { ...route, ...options.routeToApp } : undefined
      await nothingIsAsked({}, await bed.connect({ ...options, ...(routeToApp && { routeToApp }) } as never))
    })
  }
})

suite('a request that could be read in two ways', () => {
  const auth = `AWS4-HMAC-SHA256 Credential=AKIAPLACEHOLDER/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`
  const ours = `Host: a\r\n${forwarding.host}: s3.amazonaws.com\r\n${forwarding.payloadHash}: UNSIGNED-PAYLOAD\r\n${forwarding.payloadMode}: whole\r\nAuthorization: ${auth}\r\n`
  for (const { says, head } of [
    {
      says: 'a length and chunks',
      head: `PUT /reports/x HTTP/1.1\r\n${ours}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    },
    {
      says: 'two lengths',
      head: `PUT /reports/x HTTP/1.1\r\n${ours}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
    },
    { says: 'a length with a sign', head: `PUT /reports/x HTTP/1.1\r\n${ours}Content-Length: +4\r\n\r\nabcd` },
    {
      says: 'chunks by another name',
      head: `PUT /reports/x HTTP/1.1\r\n${ours}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    },
    {
      says: 'chunks before identity',
      head: `PUT /reports/x HTTP/1.1\r\n${ours}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    },
    { says: 'a space before the colon', head: `PUT /reports/x HTTP/1.1\r\n${ours}Content-Length : 4\r\n\r\nabcd` },
    { says: 'a folded line', head: `GET / HTTP/1.1\r\n${ours}X-A: b\r\n Content-Length: 4\r\n\r\n` },
    { says: 'bare line feeds', head: `GET / HTTP/1.1\n${ours.replaceAll('\r\n', '\n')}\n` },
    { says: 'a bare carriage return in a value', head: `GET / HTTP/1.1\r\n${ours}X-A: b\rContent-Length: 4\r\n\r\n` },
    { says: 'a NUL in a value', head: `GET / HTTP/1.1\r\n${ours}X-A: b\0c\r\n\r\n` },
    {
      says: 'a chunk size with a sign',
      head: `PUT /reports/x HTTP/1.1\r\n${ours}Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n`,
    },
    { says: 'HTTP/0.9', head: 'GET /\r\n\r\n' },
    { says: 'HTTP/2 without leave', head: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { says: 'a tunnel', head: `CONNECT 169.254.169.254:80 HTTP/1.1\r\n${ours}\r\n` },
    { says: 'a target that is another server', head: `GET http://169.254.169.254/ HTTP/1.1\r\n${ours}\r\n` },
    { says: 'a header of a megabyte', head: `GET / HTTP/1.1\r\n${ours}X-A: ${'x'.repeat(1_000_000)}\r\n\r\n` },
  ]) {
    test(`is not sent on: ${says}`, async () => {
      const socket = await bed.connect({ awsRoleArn: WRITER, endsWithAgent: true })
      socket.on('error', () => {})
      const before = asked()
      socket.write(head)
      const reply = await firstOf(socket)
      assert.doesNotMatch(reply, /^HTTP\/1\.1 [23]/)
      assert.equal(asked(), before, reply)
    })
  }

  for (const { says, path, service } of [
    { says: 'dots', path: '/2015-03-31/functions/x/../../x', service: 'lambda' },
    { says: 'escaped dots', path: '/2015-03-31/functions/%2e%2E/x', service: 'lambda' },
  ]) {
    test(`of a REST service is refused where its path has ${says}`, async () => {
      await nothingIsAsked({ path, service, host: `${service}.us-east-1.amazonaws.com` })
    })
  }

  test('a name of a member of Object is no service and no operation', async () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      const recorded = bed.nextEvent(({ path }) => path === `/${name}`)
      const reply = await answer(await bed.connect(), {
        path: `/${name}`,
        service: name.replace(/_/g, '-'),
        host: `${name}.us-east-1.amazonaws.com`,
      })
      assert.ok(reply.status >= 400)
      assert.doesNotMatch(JSON.stringify(await recorded), /GetObject|native code/)
    }
  })

  test('a header of many beginnings takes no time in their square', async () => {
    const began = performance.now()
    await nothingIsAsked({ change: set('authorization', 'Credential='.repeat(5000)) })
    assert.ok(performance.now() - began < 2000)
  })
})

suite('making the log say something else', () => {
  test('line breaks and escapes of the caller stay inside their field', async () => {
    const name = 'mallory\n2030-01-01T00:00:00Z INFO forged\u001b[2J'
    const recorded = bed.nextEvent(({ user }) => user === name)
    await answer(await bed.connect({ name }), {})
    assert.equal(JSON.stringify(await recorded).includes('\n'), false)
  })

  test('a chosen request id, event or user in headers changes nothing', async () => {
    const recorded = bed.nextEvent(({ path }) => path === '/chosen')
    await answer(await bed.connect(), {
      path: '/chosen',
      change: add('x-amzn-requestid', 'mine', 'x-teleport-user', 'root', 'x-request-id', 'mine'),
    })
    const { user, uid, request_id: id, ...event } = await recorded
    assert.equal(user, 'alice')
    assert.match(`${uid} ${id}`, /^[0-9a-f-]{36} [0-9a-f-]{36}$/)
    assert.doesNotMatch(JSON.stringify(event), /"mine"|root/)
  })

  test('secrets in a query are not in the log', async () => {
    const recorded = bed.nextEvent(({ path }) => path === '/secrets')
    await answer(await bed.connect(), {
      path: '/secrets?SecretAccessKey=canary-1&X-Amz-Security-Token=canary-2&%74oken=canary-3&Password=canary-4',
    })
    assert.doesNotMatch(JSON.stringify(await recorded), /canary/)
  })
})
