import assert from 'node:assert/strict'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import {
  hourMs,
  sampleAuthority,
  sampleIdentity,
  samplePair,
  sampleRoute,
  storeSampleLogin,
  temporaryDirectory,
} from '#test/sample-login.ts'
import { getActiveLogin, LoginExpired, NotLoggedIn } from './active-login.ts'
import { findAppLogin, isAppLoginValid, listAppLogins } from './app-session.ts'
import { openKeyStore } from './keystore.ts'
import { withLock, writePrivateFile } from './private-file.ts'

suite('the key store', () => {
  test('has the layout that other tools read, for its owner alone', async () => {
    await using home = await temporaryDirectory()
    const keys = openKeyStore(home.path, { proxyHost: 'proxy.example.com', user: 'alice' })
    await keys.writeLogin(samplePair(sampleIdentity()))
    await keys.writeHostAuthorities('example', sampleAuthority('example').certificatePem)
    await keys.writeApp('example', 'awsconsole', samplePair(sampleIdentity({ routeToApp: sampleRoute('awsconsole') })))
    const root = join(home.path, 'keys', 'proxy.example.com')
    const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1)).sort()
    assert.deepEqual(paths, [
      'alice-app/example/awsconsole.crt',
      'alice-app/example/awsconsole.key',
      'alice.crt',
      'alice.key',
      'cas/example.pem',
    ])
    for (const path of paths) assert.equal((await stat(join(root, path))).mode & 0o777, 0o600, path)
    for (const directory of ['', 'alice-app', 'alice-app/example', 'cas']) {
      assert.equal((await stat(join(root, directory))).mode & 0o777, 0o700, directory)
    }
  })
  test('gives logins to an app that are made at once one key, and keeps it', async () => {
    await using home = await temporaryDirectory()
    const keys = openKeyStore(home.path, { proxyHost: 'proxy.example.com', user: 'alice' })
    const asked = await Promise.all(Array.from({ length: 5 }, () => keys.appKey('example', 'awsconsole')))
    assert.equal(new Set(asked).size, 1)
    assert.equal(await keys.readApp('example', 'awsconsole'), undefined)
    await writeFile(keys.appPaths('example', 'awsconsole').key, 'no key')
    assert.match(await keys.appKey('example', 'awsconsole'), /PRIVATE KEY/)
  })
  test('gives local proxies of many apps one key of their own, which is no app', async () => {
    await using home = await temporaryDirectory()
    const keys = openKeyStore(home.path, { proxyHost: 'proxy.example.com', user: 'alice' })
    const { privateKeyPem, localCa } = await keys.localProxyKey()
    assert.deepEqual(await keys.localProxyKey(), { privateKeyPem, localCa })
    assert.deepEqual(await keys.listApps('example'), [])
    await keys.removeUser()
    assert.notEqual((await keys.localProxyKey()).privateKeyPem, privateKeyPem)
  })
  for (const name of ['../evil', 'a/b', '..', '', 'a\\b', 'a\u0000b']) {
    test(`takes no path for a name: ${JSON.stringify(name)}`, () => {
      assert.throws(() => openKeyStore('/nowhere', { proxyHost: name, user: 'u' }), { code: 'invalid' })
      assert.throws(() => openKeyStore('/nowhere', { proxyHost: 'p', user: 'u' }).appPaths('example', name), {
        code: 'invalid',
      })
    })
  }

  for (const [user, file] of [
    ['bob@example.com', 'bob@example.com'],
    ['weird name/1', 'weird name%2F1'],
    ['../evil', '..%2Fevil'],
    ['..', '%2E%2E'],
    ['a\\b\u0000', 'a%5Cb%00'],
    ['a%2Fb', 'a%252Fb'],
  ] as const) {
    test(`has the user ${JSON.stringify(user)} as ${file}, in one directory with all others`, () => {
      const { paths, appPaths } = openKeyStore('/home', { proxyHost: 'p', user })
      assert.equal(paths.key, `/home/keys/p/${file}.key`)
      assert.equal(appPaths('example', 'app').certificate, `/home/keys/p/${file}-app/example/app.crt`)
    })
  }

  test('refuses a certificate that is not that of the key beside it', async () => {
    await using home = await temporaryDirectory()
    const { keys } = await storeSampleLogin(home.path)
    await writeFile(keys.paths.key, samplePair(sampleIdentity()).privateKeyPem)
    await assert.rejects(keys.readLogin(), /does not belong to/)
  })
  test('waits for a pair that is being replaced', async () => {
    await using home = await temporaryDirectory()
    const { keys } = await storeSampleLogin(home.path)
    const next = samplePair(sampleIdentity({ name: 'alice' }))
    await withLock(join(home.path, '.lock'), async () => {
      await writePrivateFile(keys.paths.key, next.privateKeyPem)
      const reading = keys.readLogin() // meets the new key beside the old certificate
      await writePrivateFile(keys.paths.certificate, next.certificatePem)
      return { reading }
    }).then(async ({ reading }) => assert.deepEqual(await reading, next))
  })
  test('lists apps of which only a part is left, and removes all of them', async () => {
    await using home = await temporaryDirectory()
    const { keys } = await storeSampleLogin(home.path)
    await keys.writeApp('example', 'whole', samplePair(sampleIdentity({ routeToApp: sampleRoute('whole') })))
    await writeFile(keys.appPaths('example', 'part').localCa, 'x')
    assert.deepEqual(await keys.listApps('example'), ['part', 'whole'])
    await keys.removeApp('example', 'part')
    await keys.removeApp('example', 'whole')
    assert.deepEqual(await keys.listApps('example'), [])
  })
  test('forgets one user and keeps another', async () => {
    await using home = await temporaryDirectory()
    const alice = await storeSampleLogin(home.path)
    const bob = await storeSampleLogin(home.path, sampleIdentity({ name: 'bob' }))
    await alice.keys.removeUser()
    assert.equal(await alice.keys.readLogin(), undefined)
    assert.notEqual(await bob.keys.readLogin(), undefined)
    assert.equal((await bob.keys.readHostAuthorities('example')).length, 1)
    await bob.keys.removeUser()
    assert.deepEqual(await readdir(join(home.path, 'keys')), [])
  })
  test('forgets everybody at one proxy', async () => {
    await using home = await temporaryDirectory()
    await storeSampleLogin(home.path)
    const bob = await storeSampleLogin(home.path, sampleIdentity({ name: 'bob' }))
    await bob.keys.removeProxy()
    assert.deepEqual(await readdir(join(home.path, 'keys')), [])
  })
  test('a lock of a process that is gone is taken over', async () => {
    await using home = await temporaryDirectory()
    const path = join(home.path, '.lock')
    await writeFile(path, '999999999')
    assert.equal(await withLock(path, async () => 'done'), 'done')
  })
  test('a lock that somebody holds is waited for, but not for ever', async () => {
    await using home = await temporaryDirectory()
    const path = join(home.path, '.lock')
    await writeFile(path, String(process.pid))
    await assert.rejects(
      withLock(path, async () => {}, 60),
      /is held by another process/,
    )
  })
})

suite('the login that commands run with', () => {
  test('says what its certificate says', async () => {
    await using home = await temporaryDirectory()
    const identity = sampleIdentity()
    await storeSampleLogin(home.path, identity)
    const login = await getActiveLogin(home.path, { now: new Date() })
    assert.deepEqual(
      [login.identity.name, login.identity.roles, login.identity.expires],
      ['alice', identity.roles, identity.expires],
    )
    assert.equal(login.hostAuthorities.length, 1)
  })
  test('is missing where nobody has logged in', async () => {
    await using home = await temporaryDirectory()
    await assert.rejects(getActiveLogin(home.path, { now: new Date() }), NotLoggedIn)
  })
  test('is over when its certificate is', async () => {
    await using home = await temporaryDirectory()
    await storeSampleLogin(home.path)
    await assert.rejects(getActiveLogin(home.path, { now: new Date(Date.now() + 2 * hourMs) }), LoginExpired)
  })
  test('has app logins, expired ones too', async () => {
    await using home = await temporaryDirectory()
    const { keys } = await storeSampleLogin(home.path)
    const login = await getActiveLogin(home.path, { now: new Date() })
    const route = sampleRoute('awsconsole', { awsRoleArn: 'arn:aws:iam::123456789012:role/ReadOnly' })
    await keys.writeApp('example', 'awsconsole', samplePair(sampleIdentity({ routeToApp: route })))
    const found = await findAppLogin(login, 'awsconsole')
    assert.deepEqual(found?.route, route)
    assert.equal(found !== undefined && isAppLoginValid(found, new Date()), true)
    assert.equal(found !== undefined && isAppLoginValid(found, new Date(Date.now() + 2 * hourMs)), false)
    assert.deepEqual(
      (await listAppLogins(login)).map(({ app }) => app),
      ['awsconsole'],
    )
    assert.equal(await findAppLogin(login, 'other'), undefined)
  })
})
