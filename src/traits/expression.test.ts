import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import { type Expression, parseExpression, pathText } from './expression.ts'
import { mergeTraits } from './traits.ts'

/** With all brackets, so that a row shows how operators bind. */
function show(expression: Expression): string {
  switch (expression.type) {
    case 'literal':
      return JSON.stringify(expression.value)
    case 'variable':
      return pathText(expression.path)
    case 'call':
      return `${expression.name}(${expression.args.map(show).join(', ')})`
    case 'not':
      return `!${show(expression.operand)}`
    default: {
      const operators = { and: '&&', or: '||', equal: '==', 'not-equal': '!=' }
      return `(${show(expression.left)} ${operators[expression.type]} ${show(expression.right)})`
    }
  }
}

suite('operators bind as in Go', () => {
  for (const [text, shown] of [
    ['a || b && c', '(a || (b && c))'],
    ['a && b || c', '((a && b) || c)'],
    ['(a || b) && c', '((a || b) && c)'],
    ['!a && b', '(!a && b)'],
    ['!!a', '!!a'],
    ['a == "x" && b != `y`', '((a == "x") && (b != "y"))'],
    ['!contains(user.spec.traits["te am"], labels["x"])', '!contains(user.spec.traits["te am"], labels.x)'],
    ['true', 'true'],
    [String.raw`"a\"b\\c\n\x41\u00e9"`, JSON.stringify('a"b\\c\nA\u00e9')],
    ['regexp.match(a, `\\d`)', 'regexp.match(a, "\\\\d")'],
    ['f()', 'f()'],
  ] as const) {
    test(text, () => assert.equal(show(parseExpression(text)), shown))
  }
})

suite('what is no expression is refused', () => {
  for (const text of [
    '',
    'a b',
    'a &&',
    '(a',
    'a)',
    'a == b == c',
    '"a',
    '`a',
    '"\\d"',
    'a.',
    'a[b]',
    'a["b"',
    'f(a,)',
    '1',
    "'a'",
    '!',
    'a &',
    '('.repeat(100),
    '!'.repeat(5000),
    `a${'.b'.repeat(100)}`,
    `"${'x'.repeat(10_000)}"`,
  ]) {
    test(JSON.stringify(text.slice(0, 30)), () =>
      assert.throws(() => parseExpression(text), { name: 'InvalidExpression' }),
    )
  }
})

test('whatever stands in an expression, only a named error is thrown', () => {
  const piece = fc.constantFrom(
    '(',
    ')',
    '&&',
    '||',
    '!',
    '==',
    '!=',
    'a',
    '.',
    '["x"]',
    '[',
    ']',
    '"',
    '`',
    ',',
    ' ',
    '\\',
    'true',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 40 }), (pieces) => {
      try {
        parseExpression(pieces.join(''))
      } catch (error) {
        assert.ok(error instanceof AccessError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('merging keeps every value once, in order', () => {
  assert.deepEqual(mergeTraits({ a: ['1', '2'], b: ['x'] }, { a: ['2', '3'], c: [] }), {
    a: ['1', '2', '3'],
    b: ['x'],
    c: [],
  })
})
