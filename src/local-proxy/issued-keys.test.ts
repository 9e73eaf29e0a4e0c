import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { IssuedKeys } from './issued-keys.ts'

const ID = `PLACEHOLDERROLE${'A'.repeat(16)}`
const OTHER = `PLACEHOLDERROLE${'B'.repeat(16)}`
const secret = 's'.repeat(40)

suite('keys of assumed roles', () => {
  const open = (file?: string, now = new Date()) => {
    const holder = { name: 'app', ...(file === undefined ? {} : { assumedRolesFile: file }) }
    return { holder, keys: new IssuedKeys({ holders: [holder], clock: () => now, log: silentLog }) }
  }

  test('are known to the next command, until no role lasts that long', async () => {
    await using home = await temporaryDirectory()
    const file = join(home.path, 'assumed')
    {
      const { keys, holder } = open(file)
      await using _ = keys
      keys.add(`${ID}:${secret}`, holder)
      keys.add(`${OTHER}:${secret}`, holder)
      assert.equal((await keys.find(ID))?.secretAccessKey.reveal(), secret)
    }
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal((await open(file).keys.find(ID))?.holder.name, 'app')
    assert.equal((await open(file).keys.find(OTHER))?.secretAccessKey.reveal(), secret)
    assert.equal(await open(file, new Date(Date.now() + 13 * 3_600_000)).keys.find(ID), undefined)
  })

  test('without a file are for one process', async () => {
    const { keys, holder } = open()
    keys.add(`${ID}:${secret}`, holder)
    assert.ok(await keys.find(ID))
    assert.equal(await open().keys.find(ID), undefined)
  })

  test('in a file that holds anything else are none', async () => {
    await using home = await temporaryDirectory()
    const file = join(home.path, 'assumed')
    await writeFile(file, `${ID}\n${ID}:x never\n\u0000 \n`)
    const { keys, holder } = open(file)
    assert.equal(await keys.find(ID), undefined)
    keys.add('no header', holder)
    keys.add(`${OTHER}:${secret}`, holder)
    await keys[Symbol.asyncDispose]()
    assert.match(await readFile(file, 'utf8'), new RegExp(`^${OTHER}:${secret} \\S+Z\n$`))
  })
})
