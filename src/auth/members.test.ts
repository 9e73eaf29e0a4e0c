/** Joining, renewing, announcing and watching: what members of the cluster do. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { AccessDenied, InvalidInput } from '#errors.ts'
import type { WatchEvent } from '#gen/access/v1/access_pb.ts'
import { decodeIdentity } from '#identity/decode.ts'
import { parseCertificate } from '#pki/certificate.ts'
import {
  appServer,
  type CallerClients,
  keyPem,
  type RunningAuth,
  role,
  runAuth,
  staticToken,
} from './callers.conformance.ts'

let running: RunningAuth
let admin: CallerClients
before(async () => {
  running = await runAuth()
  admin = running.caller('admin')
})
after(() => running[Symbol.asyncDispose]())

const send = (document: object): { json: string } => ({ json: JSON.stringify(document) })
const heartbeat = (caller: CallerClients, ...documents: object[]) =>
  caller.join.heartbeat({ documents: documents.map(send) })
const appServers = async () =>
  (await running.caller('proxy').resources.list({ kind: 'app_server' })).documents.map(({ json }) => JSON.parse(json))
const joinToken = (name: string, spec: object = {}): object => ({
  kind: 'token',
  metadata: { name },
  spec: { roles: ['App'], ...spec },
})
const request = (more: object = {}) => ({
  token: staticToken,
  method: 'token',
  role: 'App',
  nodeName: 'node-1',
  publicKeyPem: keyPem(),
  ...more,
})

suite('joining', () => {
  test('gives a certificate of the host authority for the role of the token, and an event', async () => {
    const { certificatePem, hostId } = await running.caller('anonymous').join.join(request())
    const identity = decodeIdentity(parseCertificate(certificatePem), 'host')
    assert.deepEqual([identity.hostId, identity.roles, identity.cluster], [hostId, ['App'], 'example.test'])
    const event = (await running.events()).at(-1)
    assert.deepEqual(
      [event?.event, event?.code, event?.host_id, event?.success],
      ['instance.join', 'TJ002I', hostId, true],
    )
    assert.doesNotMatch(JSON.stringify(event), new RegExp(staticToken))
  })

  for (const { says, more } of [
    { says: 'an unknown token', more: { token: 'nobody-made-this-token' } },
    { says: 'an empty token', more: { token: '' } },
    { says: 'a role that the token does not give', more: { role: 'Discovery' } },
    { says: 'the role of the administrator', more: { role: 'Admin' } },
    { says: 'the role of the Auth Service', more: { role: 'Auth' } },
    { says: 'an unknown method', more: { method: 'carrier-pigeon' } },
    { says: 'a method that the token is not for', more: { method: 'iam' } },
  ]) {
    test(`${says} is refused with one text, and the event says why`, async () => {
      await assert.rejects(running.caller('anonymous').join.join(request(more)), (error: unknown) => {
        assert.ok(error instanceof AccessDenied)
        assert.equal(error.message, 'the join was refused')
        return true
      })
      const event = (await running.events()).at(-1)
      assert.deepEqual([event?.event, event?.code, event?.success], ['instance.join', 'TJ002E', false])
      assert.notEqual(event?.error, undefined)
    })
  }

  for (const { says, more } of [
    { says: 'a host id that is none', more: { hostId: '../../etc' } },
    { says: 'a node name with a line break', more: { nodeName: 'a\nb' } },
    { says: 'an empty node name', more: { nodeName: '' } },
    { says: 'a key that is none', more: { publicKeyPem: 'no key' } },
  ]) {
    test(`${says} is refused`, async () => {
      await assert.rejects(running.caller('anonymous').join.join(request(more)), InvalidInput)
    })
  }

  test('that is refused again and again is recorded a hundred times a minute, and a valid one still succeeds', async () => {
    running.pass(60_000)
    const before = (await running.events()).length
    const guesses = Array.from({ length: 110 }, (_, index) =>
      running.caller('anonymous').join.join(request({ token: `guess-${index}` })),
    )
    const codes = (await Promise.allSettled(guesses)).map(
      (outcome) => outcome.status === 'rejected' && outcome.reason.code,
    )
    assert.equal(codes.filter((code) => code === 'exhausted').length, 9)
    const events = (await running.events()).slice(before)
    assert.equal(events.filter(({ code }) => code === 'TJ002E').length, 100)
    assert.equal(events.filter(({ code }) => code === 'TJ002L').length, 1)
    await running.joinAs('App')
    running.pass(60_000)
  })

  test('nobody becomes a host that exists by naming its id', async () => {
    const agent = await running.joinAs('App')
    const { hostId } = await running.caller('anonymous').join.join(request({ hostId: agent.hostId }))
    assert.notEqual(hostId, agent.hostId)
    const again = await agent.join.join(request({ hostId: agent.hostId }))
    assert.equal(again.hostId, agent.hostId)
  })

  test('a member renews with another key and stays who it is', async () => {
    const agent = await running.joinAs('App')
    const { certificatePem, hostId } = await agent.join.renew({ publicKeyPem: keyPem() })
    assert.equal(hostId, agent.hostId)
    assert.deepEqual(decodeIdentity(parseCertificate(certificatePem), 'host').roles, ['App'])
  })
})

suite('serving names', () => {
  test('the certificate is for the keyed name alone and is no identity', async () => {
    const { certificatePem, serverName } = await running.caller('app').join.issueServedName({
      kind: 'app',
      name: 'awsconsole',
      publicKeyPem: keyPem(),
    })
    assert.match(serverName, /^[a-z2-7]{26}\.app\.example\.test$/)
    const certificate = parseCertificate(certificatePem)
    assert.deepEqual(certificate.dnsNames, [serverName])
    assert.throws(() => decodeIdentity(certificate, 'host'))
  })

  test('a token with patterns cannot pose as another app', async () => {
    await running.create(
      joinToken('token-for-grafana-only', { serves: { names: ['grafana-*'], labels: { team: 'ops' } } }),
    )
    const agent = await running.joinAs('App', 'token-for-grafana-only')
    await agent.join.issueServedName({ kind: 'app', name: 'grafana-1', publicKeyPem: keyPem() })
    await assert.rejects(
      agent.join.issueServedName({ kind: 'app', name: 'awsconsole', publicKeyPem: keyPem() }),
      AccessDenied,
    )
    await assert.rejects(heartbeat(agent, appServer('awsconsole', { team: 'ops' })), /may not serve "awsconsole"/)
    await assert.rejects(heartbeat(agent, appServer('grafana-1', { team: 'dev' })), /asks for the label "team: ops"/)
    await heartbeat(agent, appServer('grafana-1', { team: 'ops' }))
    await admin.resources.delete({ kind: 'token', name: 'token-for-grafana-only' })
    await assert.rejects(
      agent.join.issueServedName({ kind: 'app', name: 'awsconsole', publicKeyPem: keyPem() }),
      AccessDenied,
      'the patterns hold after the token is gone',
    )
    await heartbeat(agent)
  })

  test('a token with labels alone cannot take the name of an app without them', async () => {
    const owner = await running.joinAs('App')
    await heartbeat(owner, appServer('payroll', { team: 'finance' }))
    await running.create(joinToken('token-for-team-ops', { serves: { labels: { team: 'ops' } } }))
    const other = await running.joinAs('App', 'token-for-team-ops')
    await assert.rejects(
      other.join.issueServedName({ kind: 'app', name: 'payroll', publicKeyPem: keyPem() }),
      /asks for the label/,
    )
    await assert.rejects(heartbeat(other, appServer('payroll', { team: 'ops' })), /asks for the label/)
    await heartbeat(other, appServer('dashboards', { team: 'ops' }))
    await other.join.issueServedName({ kind: 'app', name: 'dashboards', publicKeyPem: keyPem() })
    await heartbeat(owner)
    await heartbeat(other)
  })

  for (const name of [
    'auth.rpc.example.test',
    'rpc.example.test',
    'proxy.tunnel.example.test',
    'app.example.test',
    '*',
    'a b',
    '',
  ]) {
    test(`a proxy cannot have "${name}" as its public name`, async () => {
      const proxy = running.caller('proxy')
      await assert.rejects(proxy.join.issueServedName({ kind: 'web', name, publicKeyPem: keyPem() }), InvalidInput)
    })
  }

  test('a proxy has its public name and the apps below it, or an address', async () => {
    const proxy = running.caller('proxy')
    const named = await proxy.join.issueServedName({ kind: 'web', name: 'Proxy.example.test', publicKeyPem: keyPem() })
    assert.deepEqual(parseCertificate(named.certificatePem).dnsNames, ['proxy.example.test', '*.proxy.example.test'])
    const address = await proxy.join.issueServedName({ kind: 'web', name: '127.0.0.1', publicKeyPem: keyPem() })
    assert.deepEqual(parseCertificate(address.certificatePem).ipAddresses, ['127.0.0.1'])
  })
})

suite('announcing', () => {
  test('host id and server name are ours to say, and what is not named any more is gone', async () => {
    const agent = await running.joinAs('App')
    await heartbeat(agent, appServer('one'), appServer('two'))
    const own = (await appServers()).filter(({ spec }) => spec.host_id === agent.hostId)
    assert.deepEqual(
      own.map(({ spec }) => spec.app.metadata.name),
      ['one', 'two'],
    )
    assert.ok(own.every(({ spec }) => /^[a-z2-7]{26}\.app\./.test(spec.server_name)))
    await heartbeat(agent, appServer('two'))
    assert.deepEqual(
      (await appServers())
        .filter(({ spec }) => spec.host_id === agent.hostId)
        .map(({ spec }) => spec.app.metadata.name),
      ['two'],
    )
  })

  test('one agent does not change what another announced', async () => {
    const [first, second] = [await running.joinAs('App'), await running.joinAs('App')]
    await heartbeat(first, appServer('shared'))
    await heartbeat(second, appServer('shared'))
    await heartbeat(second)
    assert.deepEqual(
      (await appServers()).filter(({ spec }) => spec.app.metadata.name === 'shared').map(({ spec }) => spec.host_id),
      [first.hostId],
    )
  })

  test('it lapses after ten minutes without a word', async () => {
    const agent = await running.joinAs('App')
    await heartbeat(agent, appServer('lapsing'))
    const [{ metadata }] = (await appServers()).filter(({ spec }) => spec.app.metadata.name === 'lapsing')
    const minutes = (Date.parse(metadata.expires) - running.now().getTime()) / 60_000
    assert.ok(minutes > 9.9 && minutes <= 10)
    running.pass(10 * 60_000)
    assert.deepEqual(
      (await appServers()).filter(({ spec }) => spec.app.metadata.name === 'lapsing'),
      [],
    )
  })

  test('the proxy is shown how to reach an app, and not what only its agent needs', async () => {
    const agent = await running.joinAs('App')
    await heartbeat(agent, appServer('private'))
    assert.doesNotMatch(JSON.stringify(await appServers()), /for-the-agent-alone/)
  })
})

/** Reads events until `enough` holds of all of them. */
async function watch(
  caller: CallerClients,
  options: { kinds: string[]; revision?: string },
  enough: (events: readonly WatchEvent[]) => boolean,
  onSnapshot: () => Promise<unknown> = async () => {},
): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = []
  for await (const event of caller.resources.watch(options)) {
    events.push(event)
    if (event.event.case === 'snapshotEnd') await onSnapshot()
    if (enough(events)) break
  }
  return events
}
const names = (events: readonly WatchEvent[]): string[] =>
  events.flatMap(({ event }) => {
    if (event.case === 'put') return [`put ${JSON.parse(event.value.json).metadata.name}`]
    return event.case === 'deleted' ? [`deleted ${event.value.name}`] : []
  })

suite('watching', () => {
  test('begins with a snapshot, goes on with changes, and resumes where it ended', async () => {
    const agent = running.caller('app')
    const first = await watch(
      agent,
      { kinds: ['lock'] },
      (events) => names(events).includes('put watched-1'),
      () => running.create({ kind: 'lock', metadata: { name: 'watched-1' }, spec: { target: { user: 'x' } } }),
    )
    assert.equal(first[0]?.event.case, 'snapshotStart')
    await running.create({ kind: 'lock', metadata: { name: 'watched-2' }, spec: { target: { user: 'x' } } })
    await admin.resources.delete({ kind: 'lock', name: 'watched-1' })
    const resumed = await watch(agent, { kinds: ['lock'], revision: first.at(-1)?.revision ?? '' }, (events) =>
      names(events).includes('deleted watched-1'),
    )
    assert.ok(resumed.every(({ event }) => event.case !== 'snapshotStart'))
    assert.deepEqual(names(resumed), ['put watched-2', 'deleted watched-1'])
  })

  test('says at least every half second that it is current', async () => {
    const events = await watch(
      running.caller('app'),
      { kinds: ['lock'] },
      (seen) => seen.filter(({ event }) => event.case === 'progress').length >= 3,
    )
    const marks = events.flatMap(({ event }) =>
      event.case === 'progress'
        ? [Number(event.value.at?.nanos ?? 0) / 1e6 + Number(event.value.at?.seconds ?? 0n) * 1000]
        : [],
    )
    for (const [index, at] of marks.slice(1).entries()) assert.ok(at - (marks[index] ?? 0) < 900, `${marks}`)
  })

  test('a user hears of apps that their labels allow, and of others not even that they went', async () => {
    const app = (name: string, env: string): object => ({
      kind: 'app',
      metadata: { name, labels: { env } },
      spec: { uri: 'https://e.example' },
    })
    const events = await watch(
      running.caller('plain'),
      { kinds: ['app'] },
      (seen) => names(seen).includes('deleted seen'),
      async () => {
        await running.create(app('hidden', 'prod'), app('seen', 'dev'))
        await admin.resources.delete({ kind: 'app', name: 'hidden' })
        // No longer theirs: for them it is gone.
        await admin.resources.update({ document: send(app('seen', 'prod')) })
      },
    )
    assert.deepEqual(names(events), ['put seen', 'deleted seen'])
  })

  test('ends for a member that is locked', async () => {
    const agent = await running.joinAs('App')
    await assert.rejects(
      watch(
        agent,
        { kinds: ['role'] },
        () => false,
        () =>
          running.create({
            kind: 'lock',
            metadata: { name: 'watcher' },
            spec: { target: { server_id: agent.hostId } },
          }),
      ),
      /lock targeting/,
    )
  })
})

suite('reporting events', () => {
  const event = (fields: object): string =>
    JSON.stringify({
      event: 'app.session.request',
      code: 'T2009I',
      time: '2026-01-01T00:00:00.000Z',
      uid: crypto.randomUUID(),
      ei: 0,
      cluster_name: 'another',
      ...fields,
    })

  test('the sender is set here, and an event that comes twice is kept once', async () => {
    const agent = await running.joinAs('App')
    const json = event({ uid: 'twice', server_id: 'forged', user: 'alice' })
    await agent.audit.emit({ eventsJson: [json] })
    await agent.audit.emit({ eventsJson: [json, json] })
    const found = (await running.events()).filter(({ uid }) => uid === 'twice')
    assert.equal(found.length, 1)
    assert.deepEqual([found[0]?.server_id, found[0]?.cluster_name], [agent.hostId, 'example.test'])
  })

  for (const { says, fields } of [
    { says: 'a login', fields: { event: 'user.login', code: 'T1000I' } },
    { says: 'a lock', fields: { event: 'lock.deleted', code: 'TLK01I' } },
    { says: 'a call to Kubernetes', fields: { event: 'kube.request', code: 'T3009I' } },
    { says: 'a code of another event', fields: { code: 'T1000I' } },
    { says: 'an unknown type', fields: { event: 'constructor' } },
    { says: 'a time that is none', fields: { time: 'yesterday' } },
  ]) {
    test(`${says} from an App agent is refused, and the others are kept`, async () => {
      const good = crypto.randomUUID()
      const { refused } = await running.caller('app').audit.emit({
        eventsJson: [event({ uid: 'bad', ...fields }), event({ uid: good })],
      })
      assert.deepEqual(Object.keys(refused), ['bad'])
      assert.ok((await running.events()).some(({ uid }) => uid === good))
      assert.ok(!(await running.events()).some(({ uid }) => uid === 'bad'))
    })
  }

  test('what is no JSON is refused by its place', async () => {
    const { refused } = await running.caller('app').audit.emit({ eventsJson: ['{', '[]', '7'] })
    assert.deepEqual(Object.keys(refused), ['#0', '#1', '#2'])
  })
})

test('a role that is not there does not stop those who decide', async () => {
  await running.create(role('short-lived', {}))
  await admin.resources.delete({ kind: 'role', name: 'short-lived' })
  await running.caller('plain').cluster.whoAmI({})
})
