import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessDenied } from '#errors.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { printable, reportError } from './report-error.ts'
import { UsageError } from './usage-error.ts'

function reported(error: unknown, debug = false): { code: number; stderr: string } {
  const terminal = memoryTerminal()
  const code = reportError(error, { stderr: terminal.stderr, debug })
  return { code, stderr: terminal.written.stderr() }
}

suite('what a failed command prints', () => {
  test('is message and hint', () =>
    assert.deepEqual(reported(new AccessDenied('no', { hint: 'ask' })), { code: 1, stderr: 'ERROR: no\nhint: ask\n' }))
  test('a command line that cannot be run ends with 2', () =>
    assert.equal(reported(new UsageError('no', { hint: 'x' })).code, 2))
  for (const [code, hint] of [
    ['ENOENT', 'check the path'],
    ['ENOTDIR', 'check the path: a part of it is a file, not a directory'],
  ]) {
    test(`${code} has a hint too`, () =>
      assert.equal(
        reported(Object.assign(new Error(`${code}: x`), { code })).stderr,
        `ERROR: ${code}: x\nhint: ${hint}\n`,
      ))
  }
  test('a mistake of ours asks for a report and shows no stack', () => {
    const { stderr } = reported(new TypeError('x is not a function'))
    assert.equal(stderr.split('\n').length, 3)
    assert.match(stderr, /hint: this should not happen/)
  })
  test('a message of a peer cannot steer the terminal', () => {
    assert.equal(
      reported(new AccessDenied('\u001b[2J\u009b1mgone', { hint: 'h' })).stderr,
      'ERROR: \\x1b[2J\\x9b1mgone\nhint: h\n',
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
        assert.doesNotMatch(printable(text), /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/)
      }),
    )
  })
})
