import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import type tls from 'node:tls'
import type { AuditEvent } from '#audit/event.ts'
import { forwarding } from '#aws/forwarding.ts'
import {
  answer,
  type Bed,
  CLUSTER,
  HOST_ID,
  lab,
  lockOn,
  READER,
  role,
  send,
  startBed,
  WRITER,
} from './bed.conformance.ts'

suite('a call to AWS through the agent', () => {
  test('is made as the role of the certificate, in a session that bears the name of the user', async () => {
    await using bed = await startBed()
    const before = lab.seen.length
    const { status, body } = await answer(await bed.connect())
    assert.equal(status, 200)
    assert.match(body, /<Name>reports<\/Name>/)
    const seen = lab.seen.slice(before).find(({ service }) => service === 's3')
    assert.equal(seen?.principal, 'arn:aws:sts::123456789012:assumed-role/ExampleReadOnlyAccess/alice')
    assert.notEqual(seen?.accessKeyId, 'AKIAPLACEHOLDER')
    assert.deepEqual(
      seen?.headers.filter(([name]) => /^x-(forwarded|teleport)/i.test(name)),
      [],
    )
  })

  test('is one event with what it was, who made it and how it came out, and one for the piece of the session', async () => {
    await using bed = await startBed()
    const socket = await bed.connect()
    await answer(socket, { path: '/reports?list-type=2&X-Amz-Security-Token=abc' })
    await answer(socket)
    const events = await bed.events()
    assert.deepEqual(
      events.map(({ code }) => code),
      ['T2008I', 'T2009I', 'T2009I'],
    )
    const { time, uid, request_id, duration_ms, session_chunk_id, response_bytes, aws_request_id, ...rest } =
      events[1] ?? none
    assert.ok([time, uid, request_id, duration_ms, aws_request_id].every((value) => value !== undefined))
    assert.equal(session_chunk_id, events[0]?.session_chunk_id)
    assert.ok(Number(response_bytes) > 0)
    assert.deepEqual(rest, {
      event: 'app.session.request',
      code: 'T2009I',
      ei: 0,
      cluster_name: CLUSTER,
      user: 'alice',
      user_kind: 1,
      user_cluster_name: CLUSTER,
      user_roles: ['cloud-user'],
      sid: 'session-1',
      app_name: 'awsconsole',
      'addr.remote': '192.0.2.7',
      namespace: 'default',
      server_id: HOST_ID,
      app_uri: 'https://console.aws.amazon.com/',
      method: 'GET',
      path: '/reports',
      raw_query: 'list-type=2&X-Amz-Security-Token=[redacted]',
      aws_role_arn: READER,
      aws_region: 'us-east-1',
      aws_service: 's3',
      aws_host: 's3.us-east-1.amazonaws.com',
      aws_operation: 's3:ListObjectsV2',
      aws_resource: 'arn:aws:s3:::reports',
      decision: 'allowed',
      status_code: 200,
      request_bytes: 0,
    })
  })

  test('that changes something is on disk before it is made, and is still one event', async () => {
    await using bed = await startBed()
    const body = 'hello'
    const put = await answer(await bed.connect({ awsRoleArn: WRITER }), {
      method: 'PUT',
      path: '/reports/a%20b+c',
      body,
    })
    assert.equal(put.status, 200)
    const [, event, ...more] = await bed.events()
    assert.deepEqual(more, [])
    assert.deepEqual(
      [event?.aws_operation, event?.status_code, event?.request_bytes, event?.outcome],
      ['s3:PutObject', 200, 5, undefined],
    )
    const { body: back } = await answer(await bed.connect(), { path: '/reports/a%20b+c' })
    assert.equal(back, body)
  })

  test('that AWS itself refuses passes unchanged, and its status is in the log', async () => {
    await using bed = await startBed()
    const { status, body } = await answer(await bed.connect(), { method: 'PUT', path: '/reports/x', body: 'x' })
    assert.equal(status, 403)
    assert.match(body, /AccessDenied/)
    assert.match(body, /s3:PutObject/)
    const [, event] = await bed.events()
    assert.deepEqual([event?.decision, event?.status_code], ['allowed', 403])
  })

  test('under a role that does not trust the agent is refused with the words of AWS', async () => {
    await using bed = await startBed()
    const stranger = 'arn:aws:iam::123456789012:role/Stranger'
    const { status, body } = await answer(await bed.connect({ awsRoleArn: stranger }))
    assert.equal(status, 403)
    assert.match(body, /<Code>AccessDenied<\/Code>.*not authorized to perform: sts:AssumeRole/s)
    const [, event] = await bed.events()
    assert.deepEqual([event?.outcome, event?.status_code], ['failed', 403])
  })

  test('to AWS that does not answer is a 503 in the words of the service', async () => {
    await using bed = await startBed()
    const socket = await bed.connect()
    await answer(socket)
    using _ = lab.inject({ service: 's3', reset: true })
    const { status, body } = await answer(socket)
    assert.equal(status, 503)
    assert.match(body, /<Code>ServiceUnavailable<\/Code>/)
  })

  test('by an agent whose clock is wrong is refused by AWS, which the caller sees', async () => {
    await using bed = await startBed()
    const socket = await bed.connect({ expires: new Date(Date.now() + 7_200_000) })
    await answer(socket)
    bed.now = 20 * 60_000
    const { status, body } = await answer(socket)
    assert.equal(status, 403)
    assert.match(body, /RequestTimeTooSkewed/)
  })

  test('that asks who one is works, and one that asks for credentials is refused by name', async () => {
    await using bed = await startBed()
    const socket = await bed.connect()
    const sts = (body: string, path = '/'): ReturnType<typeof answer> =>
      answer(socket, {
        method: 'POST',
        host: 'sts.us-east-1.amazonaws.com',
        service: 'sts',
        path,
        body,
        headers: ['Content-Type', 'application/x-www-form-urlencoded'],
      })
    const who = await sts('Action=GetCallerIdentity&Version=2011-06-15')
    assert.equal(who.status, 200)
    assert.match(who.body, /assumed-role\/ExampleReadOnlyAccess\/alice/)
    for (const [body, path] of [
      ['Action=AssumeRole&Action=AssumeRole', '/'],
      ['Action=GetFederationToken&Name=x', '/'],
      ['Action=GetCallerIdentity&Action=AssumeRole', '/'],
      ['Action=GetCallerIdentity', '/?Action=GetSessionToken'],
      ['nothing', '/'],
    ] as const) {
      const refused = await sts(body, path)
      assert.equal(refused.status, 403, body)
      assert.match(refused.body, /would leave the agent/)
    }
  })
})

suite('a request that did not come through the local proxy as it should', () => {
  const host = (headers: string[], ...values: string[]): string[] => {
    const at = headers.indexOf(forwarding.host)
    return [...headers.slice(0, at), ...headers.slice(at + 2), ...values.flatMap((value) => [forwarding.host, value])]
  }
  const without = (headers: string[], name: string): string[] => {
    const at = headers.findIndex((header) => header.toLowerCase() === name)
    return [...headers.slice(0, at), ...headers.slice(at + 2)]
  }
  const endpoint = /proxied requests must include X-Forwarded-Host header with an AWS service endpoint/
  const rows: readonly (readonly [string, (headers: string[]) => string[], RegExp])[] = [
    ['without X-Forwarded-Host', (headers) => host(headers), endpoint],
    ['with two of them', (headers) => host(headers, 's3.amazonaws.com', 's3.amazonaws.com'), endpoint],
    ['with two in one', (headers) => host(headers, 's3.amazonaws.com, example.com'), endpoint],
    ['with a foreign host', (headers) => host(headers, 'example.com'), endpoint],
    ['with a host that only looks like one', (headers) => host(headers, 's3.amazonaws.com.example.com'), endpoint],
    ['with a host that a customer runs', (headers) => host(headers, 'ec2-1-2-3-4.compute-1.amazonaws.com'), endpoint],
    ['with another port', (headers) => host(headers, 's3.amazonaws.com:8443'), endpoint],
    ['without a signature', (headers) => without(headers, 'authorization'), /not signed exactly once/],
    [
      'with two signatures',
      (headers) => [...headers, 'Authorization', 'AWS4-HMAC-SHA256 x'],
      /not signed exactly once|Bad Request/,
    ],
    [
      'without the description of its body',
      (headers) => without(headers, forwarding.payloadHash),
      /body is not described/,
    ],
    [
      'with an unknown kind of body',
      (headers) => [...without(headers, forwarding.payloadMode), forwarding.payloadMode, 'raw'],
      /body is not described/,
    ],
  ]
  for (const [says, change, message] of rows) {
    test(`${says}: is refused and never reaches AWS`, async () => {
      await using bed = await startBed()
      const before = lab.seen.length
      const { status, body } = await answer(await bed.connect(), { change })
      assert.equal(status, 400)
      assert.match(body, message)
      assert.equal(lab.seen.length, before)
    })
  }
})

suite('a caller is let in or not at each request', () => {
  const rows: readonly {
    says: string
    run: (bed: Bed, socket: tls.TLSSocket) => Promise<unknown>
    status: number
    reason: string
    body: RegExp
  }[] = [
    {
      says: 'a lock',
      run: (bed) => bed.put(lockOn({ user: 'alice' }, 'call us')),
      status: 403,
      reason: 'locked',
      body: /lock targeting User:.{1,6}alice.{1,6} is in force: call us/,
    },
    {
      says: 'a lock on the session',
      run: (bed) => bed.put(lockOn({ app_session: 'session-1' })),
      status: 403,
      reason: 'locked',
      body: /lock targeting AppSession/,
    },
    {
      says: 'a lock on the agent',
      run: (bed) => bed.put(lockOn({ server_id: HOST_ID })),
      status: 403,
      reason: 'locked',
      body: /lock targeting ServerId/,
    },
    {
      says: 'the end of the certificate',
      run: async (bed) => bed.advance(3_600_000),
      status: 403,
      reason: 'expired',
      body: /<Code>ExpiredToken<.*your certificate expired at/s,
    },
    {
      says: 'a role that lost the ARN',
      run: (bed) => bed.put(role('cloud-user', { app_labels: { '*': ['*'] } })),
      status: 403,
      reason: 'aws-role-not-allowed',
      body: /aws_role_arns; if you were given a role/,
    },
    {
      says: 'a role that lost the label',
      run: (bed) => bed.put(role('cloud-user', { aws_role_arns: [READER] })),
      status: 403,
      reason: 'no-role-matches',
      body: /app_labels/,
    },
    {
      says: 'a role that wants MFA',
      run: (bed) =>
        bed.put(
          role('cloud-user', { app_labels: { '*': ['*'] }, aws_role_arns: [READER] }, { require_session_mfa: true }),
        ),
      status: 403,
      reason: 'mfa-required',
      body: /requires MFA/,
    },
  ]
  for (const { says, run, status, reason, body } of rows) {
    test(`${says} stops the next request of an open connection, which is told why, as the log is`, async () => {
      await using bed = await startBed()
      const socket = await bed.connect()
      assert.equal((await answer(socket)).status, 200)
      await run(bed, socket)
      const refused = await answer(socket)
      assert.equal(refused.status, status)
      assert.match(refused.body, body)
      assert.match(decodeURIComponent(String(refused.headers['x-teleport-api-error'])), /; /)
      const event = (await bed.events()).at(-1)
      assert.deepEqual([event?.decision, event?.reason, event?.status_code], ['denied', reason, status])
      assert.deepEqual([event?.aws_operation, event?.aws_region], ['s3:ListBuckets', 'us-east-1'])
    })
  }

  test('in strict mode an agent that has not heard of locks for five minutes refuses, in the other it goes on', async () => {
    await using bed = await startBed()
    const preference = (mode: string): object => ({
      kind: 'cluster_auth_preference',
      version: 'v2',
      metadata: { name: 'cluster-auth-preference' },
      spec: { locking_mode: mode },
    })
    const socket = await bed.connect()
    await bed.put(preference('strict'))
    await bed.cache[Symbol.asyncDispose]()
    bed.now = 301_000
    const { status, body } = await answer(socket)
    assert.equal(status, 503)
    assert.match(body, /preventive lock-out due to local lock view becoming unreliable/)
  })
})

suite('a download that is under way', () => {
  for (const [says, run] of [
    ['a lock', (bed) => bed.put(lockOn({ user: 'alice' }))],
    ['the loss of the role', (bed) => bed.put(role('cloud-user', {}))],
    ['the end of the certificate', async (bed) => bed.advance(3_600_000)],
  ] satisfies [string, (bed: Bed) => Promise<unknown>][]) {
    test(`is cut within two seconds by ${says}, and the log says so`, async () => {
      await using bed = await startBed()
      const response = await send(await bed.connect(), { path: '/reports/large' })
      response.on('error', () => {}) // the connection is cut under it
      await once(response, 'readable')
      const cut = bed.nextEvent(({ outcome }) => outcome === 'cut')
      const before = performance.now()
      await run(bed)
      const event = await cut
      assert.ok(performance.now() - before < 2000)
      assert.deepEqual([event.decision, event.status_code], ['denied', 200])
      const closed = new Promise((resolve) => response.once('close', resolve))
      response.resume()
      await closed
      assert.equal(response.complete, false)
    })
  }
})

test('a call that waits for AWS is answered when a lock arrives', async () => {
  await using bed = await startBed()
  using _ = lab.inject({ service: 'sts', latencyMs: 3000, times: 1 })
  const answered = answer(await bed.connect())
  const before = performance.now()
  await bed.put(lockOn({ user: 'alice' }))
  const { status, body } = await answered
  assert.ok(performance.now() - before < 2000)
  assert.equal(status, 403)
  assert.match(body, /lock targeting/)
})

suite('the TLS of a caller', () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`is never resumed (${maxVersion})`, async () => {
      await using bed = await startBed()
      const first = await bed.connect({ maxVersion })
      let session: Buffer<ArrayBuffer> | undefined
      first.on('session', (later: Buffer<ArrayBuffer>) => {
        session = later
      })
      await answer(first)
      const second = await bed.connect({ maxVersion, ...(session === undefined ? {} : { session }) })
      assert.equal(second.isSessionReused(), false)
    })
  }

  test('needs a certificate of this cluster’s user authority', async () => {
    await using bed = await startBed()
    await using other = await startBed()
    const socket = await bed.connect({ ca: other.authorities }).catch(() => undefined)
    if (socket !== undefined) await assert.rejects(answer(socket))
    assert.deepEqual(await bed.events(), [])
  })

  test('with a certificate for another app is refused', async () => {
    await using bed = await startBed()
    const route = {
      name: 'other',
      sessionId: 's',
      publicAddr: 'x',
      cluster: CLUSTER,
      serverName: 'x',
      awsRoleArn: READER,
    }
    assert.equal((await answer(await bed.connect({ routeToApp: route }))).status, 404)
  })
})

suite('with a full audit spool', () => {
  test('what changes something is refused, and what only reads goes on', async () => {
    await using bed = await startBed({ spoolBytes: 3000 })
    bed.isAway = true
    const socket = await bed.connect({ awsRoleArn: WRITER })
    for (let n = 0; n < 4; n++) assert.equal((await answer(socket)).status, 200)
    const { status, body } = await answer(socket, { method: 'PUT', path: '/reports/full', body: 'x' })
    assert.equal(status, 429)
    assert.match(body, /the audit spool is full/)
    assert.ok(!lab.seen.some(({ path }) => path.endsWith('/full')))
    bed.isAway = false
  })
})

const none: Partial<AuditEvent> & Record<string, unknown> = {}
