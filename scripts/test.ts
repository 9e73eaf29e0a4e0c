/** Runs every test, or those whose path contains one of the arguments, and ends with `N passed, N failed, N skipped`. */
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const root = new URL('..', import.meta.url).pathname
const wanted = process.argv.slice(2)
const files = globSync(['{src,lab,test,tour,scripts,bench}/**/*.test.ts'], { cwd: root })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => root + file)

const count = { passed: 0, failed: 0, skipped: 0 }
const skipped: string[] = []
const tests = run({ files, concurrency: 2, timeout: 180_000 })
tests.on('test:pass', ({ name, skip, details }) => {
  if (details.type === 'suite') return
  if (skip === undefined || skip === false) count.passed++
  else {
    count.skipped++
    skipped.push(typeof skip === 'string' && skip !== '' ? `${name}: ${skip}` : name)
  }
})
tests.on('test:fail', ({ details }) => {
  if (details.type !== 'suite') count.failed++
})
const output = tests.compose(spec)
output.pipe(process.stdout)
output.on('end', () => {
  for (const line of skipped) console.log(`skipped: ${line}`)
  if (count.passed + count.failed === 0) {
    console.error('ERROR: no test has run')
    process.exitCode = 1
  }
  if (count.failed > 0) process.exitCode = 1
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
})
