/**
 * Runs every test, or those whose path contains one of the arguments, and ends with `N passed, N failed, N skipped`.
 * Journeys start whole clusters and measure how soon things happen: they run one after the other, behind the rest. A file
 * of them that fails is run once more; if it passes then, what failed is listed as unsteady, and has to be looked into.
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

/** What became of the tests of one run, with the names of those that did not pass. */
interface Outcome {
  readonly passed: number
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
}

const unsteady: string[] = []
const outcomes: Outcome[] = [await runAll(files.filter((file) => !isJourney(file)))]
for (const file of files.filter(isJourney)) {
  const first = await runAll([file])
  const second = first.failed.length > 0 ? await runAll([file]) : first
  if (second.failed.length === 0) unsteady.push(...first.failed)
  outcomes.push(second)
}
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
const failed = outcomes.flatMap((outcome) => outcome.failed)
const skipped = outcomes.flatMap((outcome) => outcome.skipped)

for (const line of unsteady) console.log(`unsteady, passed at the second try: ${line}`)
for (const line of skipped) console.log(`skipped: ${line}`)
for (const line of failed) console.log(`failed: ${line}`)
if (passed + failed.length === 0) {
  console.error('ERROR: no test has run')
  console.error('hint: give a part of the path of a test, or nothing for all')
}
if (failed.length > 0 || passed === 0) process.exitCode = 1
console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`)

async function runAll(paths: readonly string[]): Promise<Outcome> {
  const outcome = { passed: 0, failed: [] as string[], skipped: [] as string[] }
  if (paths.length === 0) return outcome
  const tests = run({ files: paths.map((path) => root + path), concurrency: 2, timeout: 420_000 })
  tests.on('test:pass', ({ name, skip, details }) => {
    if (details.type === 'suite') return
    if (skip === undefined || skip === false) outcome.passed++
    else outcome.skipped.push(typeof skip === 'string' && skip !== '' ? `${name}: ${skip}` : name)
  })
  tests.on('test:fail', ({ name, file, details }) => {
    if (details.type !== 'suite') outcome.failed.push(`${name} (${file?.replace(root, '') ?? ''})`)
  })
  for await (const line of tests.compose(spec)) process.stdout.write(String(line))
  return outcome
}
