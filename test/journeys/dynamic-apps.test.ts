/** Apps as resources: an agent serves those whose labels it asked for, from when they are there until they are gone. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { checkout } from '#test/shell.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, consoleUri, createResource, startAwsStage } from './aws-stage.ts'

/** Real processes on a machine that does other things too; it is well under a second otherwise. */
const SOON_MS = 10_000
const identity = `--exec "${process.execPath}" "${checkout}test/journeys/aws-sdk-calls.ts" identity`

suite('apps that are made with tctl', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage({
      appLines: [
        'apps:',
        '- name: static',
        `  uri: ${consoleUri}`,
        '  labels: {env: prod}',
        'resources:',
        '- labels: {env: [lab, test], team: cloud}',
        '- labels: {special: "*"}',
      ],
    })
    alice = await stage.invite('alice')
  })
  after(() => stage[Symbol.asyncDispose]())

  const create = (name: string, labels: Readonly<Record<string, string>>, spec: object = {}): Promise<void> =>
    createResource(stage.cluster.admin, {
      kind: 'app',
      version: 'v3',
      metadata: { name, labels },
      spec: { uri: consoleUri, ...spec },
    })
  const visible = async (): Promise<readonly string[]> => {
    const { stdout } = await alice.shell.run('tsh apps ls --format json')
    const apps: readonly { metadata: { name: string } }[] = JSON.parse(stdout)
    return apps.map(({ metadata: { name } }) => name).sort()
  }
  /** Waits for the list to become this; gives the time that it took. */
  const become = async (expected: readonly string[]): Promise<number> => {
    const began = performance.now()
    for (;;) {
      const seen = await visible()
      if (seen.join() === [...expected].sort().join()) return performance.now() - began
      if (performance.now() - began > SOON_MS) assert.deepEqual(seen, expected)
      await wait(50)
    }
  }

  test('at first there is what the file of the agent says', async () => {
    assert.deepEqual(await visible(), ['static'])
  })

  test('one with the labels that the agent asks for appears, and works', async (t) => {
    await create('dynamic', { env: 'lab', team: 'cloud' })
    t.diagnostic(`it took ${Math.round(await become(['dynamic', 'static']))} ms to appear`)
    await alice.shell.run('tsh apps login -q --aws-role Reader dynamic')
    const { stdout } = await alice.shell.run(`tsh aws --app dynamic ${identity}`)
    assert.match(stdout, /assumed-role\/Reader\/alice/)
  })

  test('one with other labels, or with some of them only, does not', async () => {
    await create('other', { env: 'prod', team: 'cloud' })
    await create('partial', { env: 'lab' })
    await create('bare', {})
    await create('late', { special: 'yes' }) // after this one, the agent has seen the others too
    await become(['dynamic', 'late', 'static'])
    const { stdout } = await stage.cluster.admin.run('tctl get app --format json')
    const all: readonly { metadata: { name: string } }[] = JSON.parse(stdout)
    assert.equal(all.length, 5)
    const { code, stderr } = await alice.shell.run('tsh apps login --aws-role Reader partial', { mayFail: true })
    assert.notEqual(code, 0)
    assert.match(stderr, /ERROR: app "partial" not found/)
  })

  test('changed labels bring one in and take one out', async () => {
    await create('partial', { env: 'test', team: 'cloud' })
    await become(['dynamic', 'late', 'partial', 'static'])
    await create('late', { common: 'yes' })
    await become(['dynamic', 'partial', 'static'])
    const { code, stderr } = await alice.shell.run(`tsh aws --app late ${identity}`, { mayFail: true })
    assert.notEqual(code, 0)
    assert.match(stderr, /ERROR: /)
  })

  test('a changed app is served as it now is', async () => {
    await create('dynamic', { env: 'lab', team: 'cloud', aws_account_id: '999999999999' })
    const deadline = Date.now() + SOON_MS
    for (;;) {
      const { stdout } = await alice.shell.run('tsh apps ls --format json')
      if (stdout.includes('999999999999')) break
      assert.ok(Date.now() < deadline, stdout)
      await wait(50)
    }
    const { stderr } = await alice.shell.run('tsh apps logout dynamic && tsh apps login dynamic', { mayFail: true })
    assert.match(stderr, /ERROR: --aws-role flag is required/, 'no role is of that account')
  })

  test('a removed one is gone, also for those who are signed in to it', async (t) => {
    await alice.shell.run('tsh apps login -q --aws-role Reader partial')
    await alice.shell.run(`tsh aws --app partial ${identity}`)
    await stage.cluster.admin.run('tctl rm app/partial')
    t.diagnostic(`it took ${Math.round(await become(['dynamic', 'static']))} ms to go`)
    const { code, stderr } = await alice.shell.run(`tsh aws --app partial ${identity}`, { mayFail: true })
    assert.notEqual(code, 0)
    assert.match(stderr, /no agent of app "partial" answers/)
  })

  test('one with the name of an app of the file does not take its place', async () => {
    await create('static', { env: 'lab', team: 'cloud' }, { uri: 'https://console.amazonaws.cn/' })
    await create('marker', { special: 'yes' })
    await become(['dynamic', 'marker', 'static'])
    const { stdout } = await alice.shell.run('tsh apps ls --format json')
    const apps: readonly { metadata: { name: string }; spec: { uri: string } }[] = JSON.parse(stdout)
    assert.equal(apps.find(({ metadata: { name } }) => name === 'static')?.spec.uri, consoleUri)
  })

  test('all come back with the agent', async () => {
    await stage.agent.stop()
    await stage.agent.start()
    await become(['dynamic', 'marker', 'static'])
    const { stdout } = await alice.shell.run(
      `tsh apps login -q --aws-role Reader marker && tsh aws --app marker ${identity}`,
    )
    assert.match(stdout, /assumed-role\/Reader\/alice/)
  })

  test('what is no app is refused with its place in the file', async () => {
    const rows: readonly (readonly [text: string, says: RegExp])[] = [
      ['kind: app\nversion: v3\nmetadata: {name: x}\nspec: {}\n', /ERROR: .*URI is empty/],
      [
        `kind: app\nversion: v3\nmetadata: {name: x}\nspec: {uri: "${consoleUri}", cloud: Nimbus}\n`,
        /ERROR: .*Cloud value "Nimbus"/i,
      ],
      [`kind: app\nversion: v3\nmetadata: {name: "no name"}\nspec: {uri: "${consoleUri}"}\n`, /ERROR: .*"no name"/],
    ]
    for (const [text, says] of rows) {
      writeFileSync(join(stage.cluster.admin.home, 'bad.yaml'), text)
      const { code, stderr } = await stage.cluster.admin.run('tctl create -f bad.yaml', { mayFail: true })
      assert.notEqual(code, 0)
      assert.match(stderr, says)
    }
  })
})
