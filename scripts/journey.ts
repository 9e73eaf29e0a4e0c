/** `npm run journey NAME`: runs one journey of `test/journeys`. */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'

const root = new URL('..', import.meta.url).pathname
const [name = ''] = process.argv.slice(2)
if (!existsSync(`${root}test/journeys/${name}.test.ts`)) {
  const known = globSync('*.test.ts', { cwd: `${root}test/journeys` }).map((file) => file.replace('.test.ts', ''))
  console.error(`ERROR: there is no journey "${name}"`)
  console.error(
    `hint: run one of: ${known
      .sort()
      .map((journey) => `npm run journey ${journey}`)
      .join(', ')}`,
  )
  process.exit(1)
}
const { status } = spawnSync(process.execPath, ['--test', `${root}test/journeys/${name}.test.ts`], { stdio: 'inherit' })
process.exitCode = status ?? 1
