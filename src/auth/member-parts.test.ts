/** The parts that agents and proxies are made of, against the real service. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { auditEvent } from '#audit/codes.ts'
import { openRemoteEmitter } from '#audit/remote-emitter.ts'
import { openResourceCache } from '#cache/resource-cache.ts'
import { systemClock } from '#clock.ts'
import { ResourceService } from '#gen/access/v1/access_pb.ts'
import { openClusterRpc } from '#join/cluster-address.ts'
import { openIdentityStore } from '#join/identity-store.ts'
import { joinCluster } from '#join/join.ts'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { role, runAuth, staticToken } from './callers.conformance.ts'

test('an agent joins by pin, follows the roles, and reports what it did', async () => {
  await using running = await runAuth({}, [])
  const dir = await mkdtemp(join(tmpdir(), 'auth-member-'))
  try {
    await using store = await openIdentityStore(dir)
    const egress = createEgress({})
    const address = { kind: 'auth', host: '127.0.0.1', port: running.auth.port } as const
    const common = { egress, store, nodeName: 'agent-1', log: silentLog, clock: systemClock, role: 'App' as const }
    const joining = { ...common, authServer: `127.0.0.1:${running.auth.port}`, method: 'token', token: staticToken }

    await assert.rejects(joinCluster({ ...joining, caPins: [`sha256:${'0'.repeat(64)}`] }), /wrong CA pin/)
    const identity = await joinCluster({ ...joining, caPins: running.auth.caPins })
    assert.equal(identity.hostId, store.hostId)
    assert.equal(identity.clusterName, 'example.test')
    assert.ok(parseCertificate(identity.certificatePem).notAfter > new Date())

    await using rpc = openClusterRpc({
      address,
      egress,
      clusterName: identity.clusterName,
      hostAuthorities: identity.hostAuthorities,
      certificate: { cert: identity.certificatePem, key: identity.privateKeyPem },
    })
    const resources = createClient(ResourceService, rpc.transport)
    await using cache = await openResourceCache({
      watch: (kinds, revision = '', signal) => resources.watch({ kinds: [...kinds], revision }, { signal }),
      kinds: ['role', 'lock', 'cert_authority', 'app', 'cluster_auth_preference'],
      clock: systemClock,
      log: silentLog,
    })
    await cache.ready
    assert.deepEqual(
      cache.list('role').map(({ metadata }) => metadata.name),
      ['access', 'auditor', 'editor', 'plain'],
    )
    assert.doesNotMatch(JSON.stringify(cache.list('cert_authority')), /PRIVATE KEY/)
    const changed = Promise.withResolvers<string>()
    using _listening = cache.onChange(({ name }) => changed.resolve(name))
    await running.create(role('followed', {}))
    assert.equal(await changed.promise, 'followed')

    await using emitter = await openRemoteEmitter({
      path: join(dir, 'spool'),
      transport: rpc.transport,
      clock: systemClock,
      log: silentLog,
    })
    const fields = { user: 'alice', app_name: 'awsconsole' }
    await emitter.emit(auditEvent('app.session.request', fields, { clock: systemClock, cluster: 'example.test' }))
    await emitter.drain(AbortSignal.timeout(5_000))
    const reported = (await running.events()).at(-1)
    assert.deepEqual([reported?.code, reported?.user, reported?.server_id], ['T2009I', 'alice', identity.hostId])
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('an agent that was cut off while the service started again goes on where it was', async () => {
  await using running = await runAuth({}, [])
  const { resources } = running.caller('admin')
  const revision = await new Promise<string>((resolve, reject) => {
    const stop = new AbortController()
    const follow = async (): Promise<void> => {
      for await (const event of resources.watch({ kinds: ['role'] }, { signal: stop.signal })) {
        if (event.event.case === 'snapshotEnd') return resolve(event.revision)
      }
    }
    follow().catch(reject)
  })
  await running.restart()
  await running.create(role('after-the-restart', {}))
  for await (const { event } of running.caller('admin').resources.watch({ kinds: ['role'], revision })) {
    assert.notEqual(event.case, 'snapshotStart')
    if (event.case === 'put') {
      assert.equal(JSON.parse(event.value.json).metadata.name, 'after-the-restart')
      break
    }
  }
})
