/** What a machine knows of itself survives kills, belongs to one process, and is read by its owner alone. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { type IdentityStore, IdentityUnreadable, openIdentityStore, UnusableDataDirectory } from './identity-store.ts'
import type { MemberIdentity } from './join.ts'
import { DirectoryInUse } from './process-lock.ts'

const identity: MemberIdentity = {
  hostId: '4f7d7a2e-4a51-4a0a-9f4b-0a6f3d9f7f11',
  clusterName: 'example.com',
  certificatePem: 'certificate',
  privateKeyPem: 'key',
  hostAuthorities: ['authority'],
}

async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'identity-store-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

/** What is in the directory; sockets of locks have random names. */
async function filesOf({ directory }: IdentityStore): Promise<readonly string[]> {
  return (await readdir(directory)).map((name) => name.replace(/^lock-[0-9a-f]{16}$/, 'lock'))
}

/** Another process that opens the store, runs `then` and tells that it did. */
async function otherProcess(dataDir: string, then: string): Promise<ChildProcess> {
  const script = `
    const { openIdentityStore } = await import(${JSON.stringify(new URL('./identity-store.ts', import.meta.url).href)})
    const store = await openIdentityStore(${JSON.stringify(dataDir)})
    const identity = ${JSON.stringify(identity)}
    setInterval(() => {}, 1000)
    ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

test('an identity is the same after the process ended', async () => {
  await using directory = await temporaryDirectory()
  let hostId = ''
  {
    await using store = await openIdentityStore(directory.path)
    hostId = store.hostId
    assert.equal(await store.find('App'), undefined)
    await store.put('App', identity)
  }
  await using store = await openIdentityStore(directory.path)
  assert.equal(store.hostId, hostId)
  assert.deepEqual(await store.find('App'), identity)
  assert.equal(await store.find('Kube'), undefined)
})

test('directory and files are for their owner alone, whatever they were before', async () => {
  await using directory = await temporaryDirectory()
  await mkdir(join(directory.path, 'proc'), { mode: 0o755 })
  await chmod(join(directory.path, 'proc'), 0o755)
  await using store = await openIdentityStore(directory.path)
  await store.put('App', identity)
  assert.equal((await stat(store.directory)).mode & 0o777, 0o700)
  assert.equal((await stat(join(store.directory, 'app.json'))).mode & 0o777, 0o600)
  assert.equal((await stat(join(store.directory, 'host-id'))).mode & 0o777, 0o600)
})

test('a data directory that cannot be made is an error that names it and says what to set', async () => {
  await using directory = await temporaryDirectory()
  const file = join(directory.path, 'file')
  await writeFile(file, '')
  await assert.rejects(
    openIdentityStore(file),
    (error) => error instanceof UnusableDataDirectory && error.message.includes(file) && /data_dir/.test(error.hint),
  )
})

suite('one process has the directory', () => {
  test('and a second one is told so, and what to do', async () => {
    await using directory = await temporaryDirectory()
    await using store = await openIdentityStore(directory.path)
    await assert.rejects(
      openIdentityStore(directory.path),
      (error) =>
        error instanceof DirectoryInUse && error.message.includes(store.directory) && /data directory/.test(error.hint),
    )
  })

  test('until it is killed', async () => {
    await using directory = await temporaryDirectory()
    const child = await otherProcess(directory.path, `process.send('open')`)
    await assert.rejects(openIdentityStore(directory.path), DirectoryInUse)
    await kill(child)
    await using store = await openIdentityStore(directory.path)
    assert.deepEqual(await filesOf(store), ['host-id', 'lock'])
  })

  test('and of many that start over the lock of a killed one, one', async () => {
    await using directory = await temporaryDirectory()
    await kill(await otherProcess(directory.path, `process.send('open')`))
    await using stack = new AsyncDisposableStack()
    const started = await Promise.allSettled(Array.from({ length: 8 }, () => openIdentityStore(directory.path)))
    for (const result of started) if (result.status === 'fulfilled') stack.use(result.value)
    assert.equal(started.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const result of started) {
      if (result.status === 'rejected') assert.ok(result.reason instanceof DirectoryInUse, String(result.reason))
    }
  })

  test('also where the path is longer than that of a socket may be', async () => {
    await using directory = await temporaryDirectory()
    const deep = join(directory.path, 'd'.repeat(120))
    await using _store = await openIdentityStore(deep)
    await assert.rejects(openIdentityStore(deep), DirectoryInUse)
  })
})

test('a process that is killed while it writes leaves a whole identity', async () => {
  await using directory = await temporaryDirectory()
  const child = await otherProcess(
    directory.path,
    `await store.put('App', identity)
     process.send('kept')
     for (;;) await store.put('App', { ...identity, certificatePem: 'x'.repeat(100_000) })`,
  )
  await kill(child)
  await using store = await openIdentityStore(directory.path)
  const found = await store.find('App')
  assert.ok(['certificate', 'x'.repeat(100_000)].includes(found?.certificatePem ?? ''))
  assert.deepEqual(await filesOf(store), ['app.json', 'host-id', 'lock'], 'nothing half-written is left')
})

suite('a file that makes no sense is an error that names it', () => {
  for (const [says, text] of [
    ['no JSON', '{'],
    ['another form', '{"version":2}'],
    ['an empty file', ''],
    ['a field too many', JSON.stringify({ version: 1, host_id: identity.hostId, extra: 1 })],
  ] as const) {
    test(says, async () => {
      await using directory = await temporaryDirectory()
      await using store = await openIdentityStore(directory.path)
      await writeFile(join(store.directory, 'app.json'), text)
      await assert.rejects(
        store.find('App'),
        (error) => error instanceof IdentityUnreadable && error.message.includes('app.json'),
      )
    })
  }
})
