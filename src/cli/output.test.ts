import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import {
  formatJson,
  formatLabels,
  formatShortSpan,
  formatSpan,
  formatTable,
  formatYaml,
  parseFormat,
  parseSpan,
} from './output.ts'
import { UsageError } from './usage-error.ts'

suite('tables', () => {
  test('have a header row, a row of dashes, and columns as wide as their widest cell', () => {
    const text = formatTable({
      headers: ['User', 'Roles'],
      rows: [
        ['alice', 'access,editor'],
        ['bo', 'a'],
      ],
    })
    assert.equal(text, 'User  Roles\n----- -------------\nalice access,editor\nbo    a\n')
  })
  test('without headers are rows alone', () => {
    assert.equal(
      formatTable({
        rows: [
          ['Cluster', 'a'],
          ['Version', '1.0'],
        ],
      }),
      'Cluster a\nVersion 1.0\n',
    )
  })
  test('cut the last column to the width of the terminal', () => {
    const text = formatTable({ headers: ['Name', 'Labels'], rows: [['a', 'x'.repeat(60)]], width: 30 })
    assert.deepEqual(
      text.split('\n').map((line) => line.length),
      [11, 30, 30, 0],
    )
    assert.match(text, /x\.\.\.$/m)
  })
  test('are not widened by a wide terminal', () =>
    assert.equal(formatTable({ headers: ['Name', 'Labels'], rows: [], width: 80 }), 'Name Labels\n---- ------\n'))
  test('keep some of the last column however narrow the terminal is', () => {
    assert.match(formatTable({ rows: [['name', 'x'.repeat(60)]], width: 3 }), /x{13}\.\.\./)
  })
  test('show no control characters of what others wrote', () => {
    assert.equal(formatTable({ rows: [['\u001b[2Jred\n', 'next']] }), ' [2Jred  next\n')
  })
  test('align wide characters', () => {
    const [header, , first] = formatTable({ headers: ['N', 'V'], rows: [['가나다', 'x']] }).split('\n')
    assert.equal(header, 'N      V')
    assert.equal(first, '가나다 x')
  })
  test('hold for any cells', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string(), { maxLength: 5 })), fc.option(fc.nat(200)), (rows, width) => {
        const lines = formatTable({ rows, ...(width === null ? {} : { width }) }).split('\n')
        assert.equal(lines.length, rows.length + 1)
      }),
    )
  })
})

suite('formats', () => {
  test('JSON has two spaces and an end of line', () =>
    assert.equal(formatJson([{ a: 1 }]), '[\n  {\n    "a": 1\n  }\n]\n'))
  test('YAML reads back as the same value', async () => {
    const value = { a: ['x'.repeat(200), 'on', '1', { b: null }], c: true }
    assert.deepEqual(parse(await formatYaml(value)), value)
  })
  test('are chosen without regard to case', () => assert.equal(parseFormat('JSON', ['text', 'json']), 'json'))
  test('that do not exist are refused by name', () =>
    assert.throws(() => parseFormat('xml', ['text', 'json']), {
      message: 'unsupported format "xml"',
      hint: 'use one of text, json',
    }))
})

suite('spans of time', () => {
  for (const [ms, long, short] of [
    [12 * 3_600_000, '12h0m0s', '12h'],
    [5_400_000, '1h30m0s', '1h30m'],
    [485_000, '8m5s', '8m5s'],
    [59_600, '1m0s', '1m'],
    [0, '0s', '0s'],
    [-5, '0s', '0s'],
  ] as const) {
    test(`${ms} ms is ${long}, or ${short}`, () => {
      assert.equal(formatSpan(ms), long)
      assert.equal(formatShortSpan(ms), short)
    })
  }
  test('are read as people type them', () => assert.equal(parseSpan('1h30m', '--ttl'), 5_400_000))
  for (const text of ['', '0', '0s', '-1h', 'soon', '5', '1 h']) {
    test(`${JSON.stringify(text)} is none`, () => assert.throws(() => parseSpan(text, '--ttl'), UsageError))
  }
})

test('labels are shown in order of their keys', () => {
  assert.equal(
    formatLabels({ env: 'prod', 'teleport.dev/origin': 'dynamic', a: '' }),
    'a=,env=prod,teleport.dev/origin=dynamic',
  )
})
