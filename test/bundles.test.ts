/** What ships: the bundles, run as someone would who has nothing but their folder and a Node.js. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { product } from '#product.ts'
import { bundlePrograms } from '#scripts/bundle.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { checkout, openShell, type Shell } from '#test/shell.ts'

suite('the bundles of the programs', () => {
  const stack = new AsyncDisposableStack()
  let place = ''
  let dist = ''

  before(async () => {
    place = stack.use(await temporaryDirectory()).path
    await bundlePrograms(join(place, 'built'))
    dist = join(place, 'a folder', 'dist')
    mkdirSync(dirname(dist))
    renameSync(join(place, 'built'), dist) // nothing in it may remember where it was built
  })
  after(() => stack.disposeAsync())

  let homes = 0
  /** A home of its own, in which no program of the checkout is found. */
  const cleanHome = (): Shell => {
    const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, XDG_CACHE_HOME: '' }
    return openShell({ home: join(place, `home-${++homes}`), env })
  }

  for (const name of ['teleport', 'tsh', 'tctl']) {
    test(`${name} says its version, from another folder and through a link`, async () => {
      const shell = cleanHome()
      const says = new RegExp(`^${product.name} v${product.version.replaceAll('.', '\\.')} `)
      assert.match((await shell.run(`'${dist}/${name}' version`)).stdout, says)
      symlinkSync(join(dist, name), join(shell.home, `my-${name}`))
      assert.match((await shell.run(`cd / && '${shell.home}/my-${name}' version`)).stdout, says)
      symlinkSync(join(dist, `${name}.mjs`), join(shell.home, `${name}-of-npm`))
      assert.match((await shell.run(`'${shell.home}/${name}-of-npm' version`)).stdout, says)
    })

    test(`${name} has every one of its commands`, async () => {
      const { stdout } = await cleanHome().run(`'${dist}/${name}' --help`)
      assert.match(stdout, /^Commands:\n(.*\n)* {2}version /m)
    })

    test(`package.json names ${name}`, () => {
      const { bin } = JSON.parse(readFileSync(`${checkout}package.json`, 'utf8')) as { bin: Record<string, string> }
      assert.equal(bin[name], `dist/${name}.mjs`)
    })
  }

  test('tsh status fails with what to do next where nobody is logged in', async () => {
    const { code, stderr } = await cleanHome().run(`'${dist}/tsh' status`, { mayFail: true })
    assert.equal(code, 1)
    assert.match(stderr, /^ERROR: Not logged in\.\nhint: /)
  })

  test('the daemon starts with its databases, which run in threads of their own', async () => {
    const shell = cleanHome()
    writeFileSync(
      join(shell.home, 'teleport.yaml'),
      [
        'version: v3',
        `teleport: { data_dir: ${JSON.stringify(join(shell.home, 'data'))} }`,
        'auth_service: { cluster_name: bundle.example, listen_addr: "127.0.0.1:0" }',
        'proxy_service: { enabled: no }',
      ].join('\n'),
    )
    await using daemon = shell.start(`'${dist}/teleport' start -c teleport.yaml`)
    await daemon.waitFor(/all services are running/)
    assert.equal(await daemon.stop(), 0)
  })

  test('the unit file for systemd starts the launcher', async () => {
    const { stdout } = await cleanHome().run(`'${dist}/teleport' install systemd`)
    assert.match(stdout, /^ExecStart=.*\/dist\/teleport start /m)
  })

  test('compiled code is kept where only its owner can write', async () => {
    const shell = cleanHome()
    await shell.run(`'${dist}/tsh' version`)
    const kept = join(shell.home, '.cache', 'teleport-compiled')
    assert.equal(lstatSync(kept).mode & 0o777, 0o700)
    assert.equal(readdirSync(kept).length, 1)
  })

  test('a folder for compiled code that others can write is left alone', async () => {
    const shell = cleanHome()
    const kept = join(shell.home, '.cache', 'teleport-compiled')
    mkdirSync(kept, { recursive: true })
    chmodSync(kept, 0o777)
    await shell.run(`'${dist}/tsh' version`)
    assert.deepEqual(readdirSync(kept), [])
  })

  test('a Node.js beside the programs is enough', async () => {
    const line = `PATH=/nowhere; export PATH; '${dist}/tsh' version`
    const { stderr } = await cleanHome().run(line, { mayFail: true })
    assert.match(stderr, /^ERROR: no Node\.js found\nhint: /)
    symlinkSync(process.execPath, join(dist, 'node'))
    assert.match((await cleanHome().run(line)).stdout, new RegExp(`^${product.name} `))
    rmSync(join(dist, 'node'))
  })

  test('a home that cannot be written is no obstacle', async () => {
    const { stdout } = await cleanHome().run(`HOME=/dev/null '${dist}/tsh' version`)
    assert.match(stdout, new RegExp(`^${product.name} `))
  })
})
