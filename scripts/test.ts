/**
 * Runs every test, or those whose path contains one of the arguments, and ends with `N passed, N failed, N skipped`.
 * Journeys start whole clusters and measure how soon things happen: they run one after the other, behind the rest.
 */
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const root = new URL('..', import.meta.url).pathname
const wanted = process.argv.slice(2)
const files = globSync(['{src,lab,test,tour,scripts,bench}/**/*.test.ts'], { cwd: root })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
const isJourney = (file: string): boolean => file.startsWith('test/journeys/')

const count = { passed: 0, failed: 0, skipped: 0 }
const skipped: string[] = []
const failed: string[] = []

await runAll(
  files.filter((file) => !isJourney(file)),
  2,
)
await runAll(files.filter(isJourney), 1)

for (const line of skipped) console.log(`skipped: ${line}`)
for (const line of failed) console.log(`failed: ${line}`)
if (count.passed + count.failed === 0) {
  console.error('ERROR: no test has run')
  console.error('hint: give a part of the path of a test, or nothing for all')
}
if (count.failed > 0 || count.passed === 0) process.exitCode = 1
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)

async function runAll(paths: readonly string[], concurrency: number): Promise<void> {
  if (paths.length === 0) return
  const tests = run({ files: paths.map((path) => root + path), concurrency, timeout: 420_000 })
  tests.on('test:pass', ({ name, skip, details }) => {
    if (details.type === 'suite') return
    if (skip === undefined || skip === false) count.passed++
    else {
      count.skipped++
      skipped.push(typeof skip === 'string' && skip !== '' ? `${name}: ${skip}` : name)
    }
  })
  tests.on('test:fail', ({ name, file, details }) => {
    if (details.type === 'suite') return
    count.failed++
    failed.push(`${name} (${file?.replace(root, '') ?? ''})`)
  })
  for await (const line of tests.compose(spec)) process.stdout.write(String(line))
}
