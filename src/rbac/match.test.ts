import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { compilePattern } from './match.ts'

suite('patterns and what they fit', () => {
  for (const [pattern, text, fits] of [
    ['us-*', 'us-east', true],
    ['us-*', 'us-', true],
    ['us-*', 'eu-us-', false],
    ['a.b', 'a.b', true],
    ['a.b', 'axb', false],
    ['*', '', true],
    ['*', 'a\nb', false],
    ['a*', 'a\nb', false],
    ['', '', true],
    ['', 'a', false],
    ['*-*', '-', true],
    ['*ab*ab*', 'abab', true],
    ['*ab*ab*', 'aab', false],
    ['a*a', 'a', false],
    ['Dev', 'dev', false],
    ['^prod|stage$', 'production', true],
    ['^prod|stage$', 'backstage', true],
    ['^prod|stage$', 'dev', false],
    ['^(?i)DEV$', 'dev', true],
    ['^dev', '^dev', true],
    ['^dev', 'dev', false],
    ['$', '$', true],
    ['^.*$', 'anything', true],
    ['(a|b)', '(a|b)', true],
  ] as const) {
    test(`${pattern} ${fits ? 'fits' : 'does not fit'} ${JSON.stringify(text)}`, () => {
      assert.equal(compilePattern(pattern)(text), fits)
    })
  }

  for (const pattern of ['^($', '^(?=a)$', '^(a)\\1$', `^${'a'.repeat(5000)}$`]) {
    test(`${pattern.slice(0, 20)} is refused`, () =>
      assert.throws(() => compilePattern(pattern), { name: 'InvalidRegexp' }))
  }
})

test('a glob fits exactly what its regular expression fits', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*', '.', '\n'), maxLength: 8 })
  const words = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', '\n'), maxLength: 12 })
  fc.assert(
    fc.property(letters, words, (pattern, text) => {
      const regexp = RE2JS.compile(
        `^${pattern
          .split('*')
          .map((piece) => RE2JS.quote(piece))
          .join('(.*)')}$`,
      )
      assert.equal(compilePattern(pattern)(text), regexp.test(text))
    }),
    { numRuns: 5000 },
  )
})

test('no pattern stalls the process', () => {
  const started = performance.now()
  compilePattern('^(a+)+$')(`${'a'.repeat(20_000)}b`)
  compilePattern(`${'*a'.repeat(2000)}b`)('a'.repeat(20_000))
  assert.ok(performance.now() - started < 2000)
})
