import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { prepareDataDir } from './data-dir.ts'

test('a data directory is made for its owner alone, and one that cannot be written is named', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'data-dir-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const path = join(dir, 'deep', 'state')
  await prepareDataDir(path)
  assert.equal(statSync(path).mode & 0o777, 0o700)
  await prepareDataDir(path)

  const file = join(dir, 'file')
  writeFileSync(file, '')
  for (const [taken, code] of [
    [file, 'EEXIST'],
    [join(file, 'below'), 'ENOTDIR'],
  ] as const) {
    await assert.rejects(prepareDataDir(taken), {
      message: `the data directory ${taken} cannot be written: ${code}`,
      hint: 'let the user of this process write there, or set teleport.data_dir to another directory',
    })
  }
})
