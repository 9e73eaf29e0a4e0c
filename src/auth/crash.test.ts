/** A sudden end in the middle of writes: what was answered is there, and everything that is there has its event. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { openSqliteAuditLog } from '#audit/log-sqlite.ts'
import { systemClock } from '#clock.ts'
import { ResourceService } from '#gen/access/v1/access_pb.ts'
import { silentLog } from '#log.ts'
import { splitPem } from '#pki/certificate.ts'
import { createRpcClient } from '#rpc/client.ts'
import { openResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { authServerName } from '#tls-routing/names.ts'
import { openAuditTrail } from './audit-trail.ts'
import type { AuthConfig } from './auth-config.ts'
import { role } from './callers.conformance.ts'
import { startAuth } from './server.ts'

const config: AuthConfig = {
  clusterName: 'example.test',
  listen: { host: '127.0.0.1', port: 0 },
  publicAddrs: [],
  tokens: [],
  settings: {},
}

test('after kill -9 in the middle of writes nothing that was answered is lost, and no event is', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'auth-crash-'))
  try {
    const answered = await writeUntilKilled(dataDir)
    assert.ok(answered.length >= 40)
    await using auth = await startAuth({ config, dataDir, log: silentLog, clock: systemClock })
    await using connection = await connect(dataDir, auth.port)
    const { resources } = connection
    const present: string[] = []
    for (let after = ''; ; ) {
      const page = await resources.list({ kind: 'role', after })
      present.push(
        ...page.documents.map(({ json }) => JSON.parse(json).metadata.name).filter((name) => /^r\d/.test(name)),
      )
      if (page.next === '') break
      after = page.next
    }
    await auth[Symbol.asyncDispose]()
    await using log = await openSqliteAuditLog({ path: join(dataDir, 'log', 'events.db'), log: silentLog })
    const { events } = await log.search({ types: ['role.created'], limit: 10_000 })
    const recorded = events.map(({ name }) => String(name))

    assert.deepEqual(
      answered.filter((name) => !present.includes(name)),
      [],
      'answered and not there',
    )
    assert.deepEqual(
      present.filter((name) => !recorded.includes(name)),
      [],
      'there without an event',
    )
    assert.equal(new Set(recorded).size, recorded.length, 'an event twice')
    for (const event of events.filter(({ name }) => !present.includes(String(name)))) {
      assert.equal(event.outcome, 'unknown', 'an event of what is not there')
    }
  } finally {
    await rm(dataDir, { recursive: true })
  }
})

/** Writes roles, many at a time, kills the service after 40 answers, and gives the names that were answered. */
async function writeUntilKilled(dataDir: string): Promise<readonly string[]> {
  const script = `
    const { startAuth } = await import(${JSON.stringify(new URL('./server.ts', import.meta.url).href)})
    const { silentLog } = await import(${JSON.stringify(new URL('../log.ts', import.meta.url).href)})
    const auth = await startAuth({
      config: ${JSON.stringify(config)}, dataDir: ${JSON.stringify(dataDir)}, log: silentLog, clock: () => new Date(),
    })
    console.log(auth.port)
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [line] = await once(createInterface({ input: child.stdout }), 'line')
    await using connection = await connect(dataDir, Number(line))
    const answered: string[] = []
    let next = 0
    const writer = async (): Promise<void> => {
      for (;;) {
        const name = `r${next++}`
        await connection.resources.create({ document: { json: JSON.stringify(role(name, {})) } })
        answered.push(name)
        if (answered.length === 40) child.kill('SIGKILL')
      }
    }
    await Promise.allSettled(Array.from({ length: 8 }, writer))
    return answered
  } finally {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
}

async function connect(dataDir: string, port: number) {
  const pem = await readFile(join(dataDir, 'admin.pem'), 'utf8')
  const [cert = '', ...hostAuthorities] = splitPem(pem)
  const connection = createRpcClient({
    dial: async () => net.connect(port, '127.0.0.1'),
    serverName: authServerName('example.test'),
    hostAuthorities,
    certificate: { cert, key: pem.slice(0, pem.indexOf('-----BEGIN CERTIFICATE-----')) },
  })
  return {
    resources: createClient(ResourceService, connection.transport),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  }
}

test('a change that was noted and never completed is in the log after the next start, with its outcome unknown', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'auth-crash-'))
  try {
    await using backend = await openSqliteBackend({ path: join(dataDir, 'a.db'), clock: systemClock, log: silentLog })
    await using auditLog = await openSqliteAuditLog({ path: join(dataDir, 'b.db'), log: silentLog })
    const store = openResourceStore({ backend })
    const options = { backend, auditLog, clusterName: 'example.test', clock: systemClock, log: silentLog }
    const trail = await openAuditTrail(options)
    void trail.around('role.created', { name: 'hanging' }, () => new Promise(() => {}))
    await assert.rejects(trail.around('role.created', { name: 'failing' }, () => store.delete('role', 'none')))
    await openAuditTrail(options)
    await openAuditTrail(options)
    const { events } = await auditLog.search({})
    assert.deepEqual(
      events.map(({ name, outcome }) => [name, outcome]),
      [['hanging', 'unknown']],
    )
  } finally {
    await rm(dataDir, { recursive: true })
  }
})
