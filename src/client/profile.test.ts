import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { temporaryDirectory } from '#test/sample-login.ts'
import { checkout } from '#test/shell.ts'
import { openProfileStore, type Profile, parseProfile } from './profile.ts'

const profile: Profile = {
  name: 'proxy.example.com',
  proxy: { host: 'proxy.example.com', port: 3080 },
  user: 'alice',
  cluster: 'example',
  authConnector: 'local',
  isKubeEnabled: true,
  caPin: 'sha256:aa',
  isInsecure: false,
}

suite('profiles', () => {
  test('read back as they were saved, and the last one saved is the current one', async () => {
    await using home = await temporaryDirectory()
    const profiles = openProfileStore(home.path)
    await profiles.save(profile)
    const other = {
      ...profile,
      name: 'other.example.com',
      proxy: { host: 'other.example.com', port: 443 },
      isInsecure: true,
    }
    await profiles.save(other)
    assert.deepEqual(await profiles.find(profile.name), profile)
    assert.deepEqual(await profiles.getCurrent(), other)
    assert.deepEqual(
      (await profiles.list()).map(({ name }) => name),
      ['other.example.com', 'proxy.example.com'],
    )
    assert.equal(await readFile(join(home.path, 'current-profile'), 'utf8'), 'other.example.com\n')
  })
  test('have the keys that other tools read', async () => {
    await using home = await temporaryDirectory()
    await openProfileStore(home.path).save(profile)
    assert.deepEqual(parse(await readFile(join(home.path, 'proxy.example.com.yaml'), 'utf8')), {
      web_proxy_addr: 'proxy.example.com:3080',
      kube_proxy_addr: 'proxy.example.com:3080',
      user: 'alice',
      cluster: 'example',
      tls_routing_enabled: true,
      auth_connector: 'local',
      ca_pin: 'sha256:aa',
    })
  })
  test('keep the keys that we do not know', async () => {
    await using home = await temporaryDirectory()
    const file = join(home.path, 'proxy.example.com.yaml')
    await writeFile(file, 'web_proxy_addr: proxy.example.com:3080\nuser: bob\nmfa_mode: otp\n')
    await openProfileStore(home.path).save(profile)
    const { mfa_mode, user } = parse(await readFile(file, 'utf8'))
    assert.deepEqual([mfa_mode, user], ['otp', 'alice'])
  })
  test('can be read by their owner alone', async () => {
    await using home = await temporaryDirectory()
    const inner = join(home.path, 'tsh')
    await openProfileStore(inner).save(profile)
    assert.equal((await stat(inner)).mode & 0o777, 0o700)
    assert.equal((await stat(join(inner, 'proxy.example.com.yaml'))).mode & 0o777, 0o600)
  })
  test('that are removed are not current any more', async () => {
    await using home = await temporaryDirectory()
    const profiles = openProfileStore(home.path)
    await profiles.save(profile)
    await profiles.remove(profile.name)
    await assert.rejects(profiles.getCurrent(), { message: 'current-profile is not set' })
    assert.deepEqual(await profiles.list(), [])
  })
  test('are not looked for in directories and symbolic links, nor where the file is broken', async () => {
    await using home = await temporaryDirectory()
    const profiles = openProfileStore(home.path)
    await profiles.save(profile)
    await mkdir(join(home.path, 'directory.yaml'))
    await symlink(join(home.path, 'proxy.example.com.yaml'), join(home.path, 'link.yaml'))
    await writeFile(join(home.path, 'broken.yaml'), '[')
    assert.deepEqual(
      (await profiles.list()).map(({ name }) => name),
      ['proxy.example.com'],
    )
  })
  test('without a cluster have the name of the profile for it', async () => {
    const { cluster, proxy } = await parseProfile('web_proxy_addr: a.example\nuser: u\n', 'a.example', 'f')
    assert.deepEqual([cluster, proxy.port], ['a.example', 443])
  })
  for (const [what, text] of [
    ['no address', 'user: u\n'],
    ['no user', 'web_proxy_addr: a\n'],
    ['a list', '- a\n'],
    ['an address that is none', 'web_proxy_addr: "a b"\nuser: u\n'],
  ] as const) {
    test(`with ${what} are refused`, () => assert.rejects(parseProfile(text, 'p', 'file'), { code: 'invalid' }))
  }
  test('read alike by the quick way and by the YAML library', async () => {
    const scalar = fc.oneof(
      fc.stringMatching(/^[A-Za-z0-9_./@+:-]{1,12}$/),
      fc.constantFrom(
        'null',
        'true',
        'True',
        '1',
        '1.5',
        '0x1f',
        '1e3',
        '0o17',
        'a:b',
        'a:',
        '.inf',
        'no',
        '1_0',
        '12:30',
      ),
    )
    await fc.assert(
      fc.asyncProperty(scalar, scalar, async (user, cluster) => {
        const text = `web_proxy_addr: proxy.example.com:3080\nuser: ${user}\ncluster: ${cluster}\n`
        const read = (source: string) => parseProfile(source, 'p', 'f').catch(({ message }) => message)
        assert.deepEqual(await read(text), await read(`# a comment, which the quick way does not know\n${text}`))
      }),
    )
  })
  test('of any bytes are a profile or an error of ours', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        await parseProfile(text, 'p', 'file').catch((error) => assert.equal(error.code, 'invalid'))
      }),
      { numRuns: 50 },
    )
  })
})

test('two processes that save at once leave whole files and no lock behind', async () => {
  await using home = await temporaryDirectory()
  const script = `
    import { openProfileStore } from '#client/profile.ts'
    import { withLock } from '#client/private-file.ts'
    import { readFile, writeFile } from 'node:fs/promises'
    const [home, user] = process.argv.slice(1)
    const profiles = openProfileStore(home)
    const proxy = { host: 'proxy.example.com', port: 443 }
    for (let round = 0; round < 30; round++) {
      await profiles.save({ name: 'proxy.example.com', proxy, user, cluster: user, authConnector: 'local', isKubeEnabled: false, isInsecure: false })
      const found = await profiles.getCurrent()
      if (found.user !== found.cluster) throw new Error('half of each')
      await withLock(home + '/.lock', async () => {
        const count = Number(await readFile(home + '/count', 'utf8'))
        await writeFile(home + '/count', String(count + 1))
      })
    }`
  await writeFile(join(home.path, 'count'), '0')
  const ended = ['alice', 'bob'].map(async (user) => {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, home.path, user], {
      cwd: checkout,
      stdio: 'inherit',
    })
    return (await once(child, 'close'))[0]
  })
  assert.deepEqual(await Promise.all(ended), [0, 0])
  assert.equal(await readFile(join(home.path, 'count'), 'utf8'), '60')
  assert.deepEqual((await readdir(home.path)).sort(), ['count', 'current-profile', 'proxy.example.com.yaml'])
})
