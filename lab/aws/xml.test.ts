import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { InvalidXml, parseXml, writeXml } from './xml.ts'

suite('XML', () => {
  test('that was written reads as what was written', () => {
    // Control characters have no place in XML 1.0 (§2.2), and white space around text is that of the reader.
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u.test(value))
    fc.assert(
      fc.property(fc.array(text), (values) => {
        const read = parseXml(writeXml('List', { Item: values }, 'urn:x'))
        assert.deepEqual(
          read.children.map((child) => child.text),
          values,
        )
      }),
    )
  })
  for (const [says, document] of [
    ['nothing', ''],
    ['an element that is not closed', '<a><b></a>'],
    ['two roots', '<a/><b/>'],
    ['text beside the root', '<a/>b'],
    ['a document type', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
    ['an entity of its own', '<a>&x;</a>'],
    ['an entity without an end', '<a>&amp</a>'],
    ['a character that there is not', '<a>&#x110000;</a>'],
    ['a closing tag too many', '<a></a></a>'],
    ['depth without end', '<a>'.repeat(100)],
  ] as const) {
    test(`with ${says} is refused`, () => assert.throws(() => parseXml(document), InvalidXml))
  }
  test('however odd, is read or refused', () => {
    const part = fc.oneof(
      fc.string(),
      fc.constantFrom('<', '</', '>', '<a>', '</a>', '<a/>', '&', '&lt;', '<!--', '-->', '"'),
    )
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        try {
          parseXml(parts.join(''))
        } catch (error) {
          assert.ok(error instanceof InvalidXml)
        }
      }),
      { numRuns: 500 },
    )
  })
})
