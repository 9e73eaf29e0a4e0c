import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import { type CallerClients, runAuth } from './callers.conformance.ts'

test('a cluster starts with preset roles, settings and itself', async () => {
  await using running = await runAuth()
  const { resources, cluster } = running.caller('admin')
  const names = async (kind: string): Promise<string[]> =>
    (await resources.list({ kind })).documents.map(({ json }) => JSON.parse(json).metadata.name)
  assert.deepEqual(await names('role'), ['access', 'auditor', 'editor', 'plain'])
  assert.deepEqual(await names('cluster_auth_preference'), ['cluster-auth-preference'])
  assert.equal((await names('auth_server')).length, 1)
  const ping = await cluster.ping({})
  assert.equal(ping.clusterName, 'example.test')
  assert.deepEqual(ping.caPins, running.auth.caPins)
  assert.equal((await stat(running.auth.adminIdentityFile)).mode & 0o777, 0o600)
  assert.equal((await stat(running.dataDir)).mode & 0o077, 0)
})

test('a restart keeps authorities, users and certificates, and does not bring deleted presets back', async () => {
  await using running = await runAuth()
  const pins = running.auth.caPins
  const certificate = running.caller('plain').certificate
  await running.caller('admin').resources.delete({ kind: 'role', name: 'access' })
  await running.restart()
  assert.deepEqual(running.auth.caPins, pins)
  const again: CallerClients = running.as(certificate)
  assert.equal((await again.cluster.whoAmI({})).name, 'plain-user')
  await assert.rejects(running.caller('admin').resources.get({ kind: 'role', name: 'access' }), { code: 'not-found' })
})
