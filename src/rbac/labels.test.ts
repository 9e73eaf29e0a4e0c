import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Labels } from './label-expression.ts'
import { compileLabels, createKeyTests, type Selector } from './labels.ts'

const traits = { env: ['dev', 'qa'], key: ['env'], bad: ['^($'], star: ['*'] }

interface Row {
  readonly selector: Selector
  readonly labels: Labels
  readonly matches: boolean
  readonly side?: 'allow' | 'deny'
}

suite('label selectors', () => {
  const rows: readonly Row[] = [
    { selector: {}, labels: { a: 'b' }, matches: false },
    { selector: { '*': ['*'] }, labels: {}, matches: true },
    { selector: { '*': ['*'], env: ['prod'] }, labels: {}, matches: true },
    { selector: { a: ['*'] }, labels: {}, matches: false },
    { selector: { a: ['*'] }, labels: { a: '' }, matches: true },
    { selector: { a: [] }, labels: { a: 'x' }, matches: false },
    { selector: { a: ['x', 'y'] }, labels: { a: 'y' }, matches: true },
    { selector: { a: ['x'], b: ['y'] }, labels: { a: 'x' }, matches: false },
    { selector: { a: ['x'], b: ['y'] }, labels: { a: 'x', b: 'y', c: 'z' }, matches: true },
    { selector: { env: ['^prod|stage$'] }, labels: { env: 'production' }, matches: true },
    { selector: { env: ['us-*'] }, labels: { env: 'us-' }, matches: true },
    { selector: { 'e*': ['dev'] }, labels: { env: 'dev' }, matches: false },
    { selector: { env: ['{{external.env}}'] }, labels: { env: 'qa' }, matches: true },
    { selector: { env: ['{{external.env}}'] }, labels: { env: 'prod' }, matches: false },
    { selector: { env: ['{{external.none}}'] }, labels: { env: '' }, matches: false },
    { selector: { '{{external.key}}': ['dev'] }, labels: { env: 'dev' }, matches: true },
    { selector: { '{{external.none}}': ['dev'] }, labels: { '': 'dev' }, matches: false },
    // Only whoever writes the role can open everything; a trait cannot.
    { selector: { '{{external.star}}': ['*'] }, labels: { a: 'b' }, matches: false },
    { selector: { env: ['{{external.bad}}'] }, labels: { env: 'dev' }, matches: false },
    { selector: { env: ['{{external.bad}}'] }, labels: { env: 'dev' }, matches: true, side: 'deny' },
    { selector: { constructor: ['*'] }, labels: {}, matches: false },
  ]
  for (const { selector, labels, matches, side = 'allow' } of rows) {
    test(`${JSON.stringify(selector)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(labels)} in ${side}`, () => {
      assert.equal(compileLabels({ side, selector, traits, tests: createKeyTests() })(labels), matches)
    })
  }
  test('no selector and no expression match nothing', () => {
    assert.equal(compileLabels({ side: 'allow', traits, tests: createKeyTests() })({}), false)
  })
  test('labels that were changed are looked at again, and frozen ones that are others too', () => {
    const matches = compileLabels({ side: 'allow', selector: { a: ['x'] }, traits, tests: createKeyTests() })
    const labels = { a: 'x' }
    assert.equal(matches(labels), true)
    labels.a = 'y'
    assert.equal(matches(labels), false)
    assert.equal(matches(Object.freeze({ a: 'x' })), true)
    assert.equal(matches(Object.freeze({ a: 'y' })), false)
    assert.equal(matches(labels), false)
  })
})
