/** Generates `src/gen` from `proto/`: TypeScript with erasable syntax, committed and never edited. */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'

const root = new URL('..', import.meta.url).pathname
rmSync(`${root}src/gen`, { recursive: true, force: true })
const template = JSON.stringify({
  version: 'v2',
  plugins: [
    {
      local: 'node_modules/.bin/protoc-gen-es',
      out: 'src/gen',
      opt: ['target=ts', 'erasable_syntax=true', 'import_extension=ts'],
    },
  ],
})
const { status } = spawnSync('node_modules/.bin/buf', ['generate', 'proto', '--template', template], {
  cwd: root,
  stdio: 'inherit',
})
process.exitCode = status ?? 1
