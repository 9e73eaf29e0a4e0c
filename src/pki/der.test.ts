/** DER is written as X.690 says, and read only if it is: everything else is InvalidDer, never another error. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import tls from 'node:tls'
import fc from 'fast-check'
import {
  bitString,
  boolean,
  contextTag,
  encodeDer,
  generalizedTime,
  InvalidDer,
  ia5String,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  printableString,
  readDer,
  sequence,
  set,
  time,
  utcTime,
  utf8String,
} from './der.ts'
import { readBitString, readBoolean, readObjectIdentifier, readSmallInteger, readText, readTime } from './der-value.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

suite('writing', () => {
  for (const [says, written, expected] of [
    ['a length below 128 takes one octet', octetString(Buffer.alloc(127)).subarray(0, 2), '04 7f'],
    ['a length of 128 takes two', octetString(Buffer.alloc(128)).subarray(0, 3), '04 81 80'],
    ['a length of 256 takes three', octetString(Buffer.alloc(256)).subarray(0, 4), '04 82 01 00'],
    ['a length of 65536 takes four', octetString(Buffer.alloc(65_536)).subarray(0, 5), '04 83 01 00 00'],
    ['zero', integer(0), '02 01 00'],
    ['127', integer(127), '02 01 7f'],
    ['128 keeps its sign', integer(128), '02 02 00 80'],
    ['256', integer(256), '02 02 01 00'],
    ['bytes of an integer lose leading zeros', integer(hex('00 00 7f')), '02 01 7f'],
    ['bytes of an integer keep their sign', integer(hex('ff')), '02 02 00 ff'],
    ['no bytes are zero', integer(Buffer.alloc(0)), '02 01 00'],
    ['true', boolean(true), '01 01 ff'],
    ['false', boolean(false), '01 01 00'],
    ['null', nullValue(), '05 00'],
    ['an object identifier', objectIdentifier('1.2.840.113549'), '06 06 2a 86 48 86 f7 0d'],
    ['an object identifier under 2', objectIdentifier('2.999.3'), '06 03 88 37 03'],
    ['a UTF-8 string', utf8String('é'), '0c 02 c3 a9'],
    ['a printable string', printableString('DE'), '13 02 44 45'],
    ['an IA5 string', ia5String('a@b'), '16 03 61 40 62'],
    ['a bit string', bitString(hex('80'), 7), '03 02 07 80'],
    ['a sequence', sequence(integer(1), nullValue()), '30 05 02 01 01 05 00'],
    ['a set is put in order', set(integer(2), integer(1)), '31 06 02 01 01 02 01 02'],
    ['an explicit tag', contextTag(0, integer(2)), 'a0 03 02 01 02'],
    ['an implicit tag', contextTag(2, hex('61'), { constructed: false }), '82 01 61'],
    ['a UTC time', utcTime(new Date('2026-06-01T12:00:00Z')), `17 0d ${Buffer.from('260601120000Z').toString('hex')}`],
    [
      'a generalized time',
      generalizedTime(new Date('2050-01-01T00:00:00Z')),
      `18 0f ${Buffer.from('20500101000000Z').toString('hex')}`,
    ],
  ] as const) {
    test(says, () => assert.equal(written.toString('hex'), hex(expected).toString('hex')))
  }

  for (const [says, write] of [
    ['a negative number', () => integer(-1)],
    ['a fraction', () => integer(1.5)],
    ['an object identifier whose second arc is 40', () => objectIdentifier('1.40')],
    ['an object identifier of one arc', () => objectIdentifier('1')],
    ['an object identifier with a letter', () => objectIdentifier('1.a')],
    ['a printable string with an asterisk', () => printableString('*')],
    ['an IA5 string with an umlaut', () => ia5String('ü')],
    ['a UTC time of 2050', () => utcTime(new Date('2050-01-01T00:00:00Z'))],
    ['an invalid date', () => time(new Date(Number.NaN))],
    ['a tag number of 31', () => contextTag(31, Buffer.alloc(0))],
  ] as const) {
    test(`refuses ${says}`, () => assert.throws(write, RangeError))
  }

  test('times are UTCTime through 2049 and GeneralizedTime from 2050 on', () => {
    assert.equal(time(new Date('2049-12-31T23:59:59Z'))[0], 0x17)
    assert.equal(time(new Date('2050-01-01T00:00:00Z'))[0], 0x18)
    assert.equal(time(new Date('1949-12-31T23:59:59Z'))[0], 0x18)
  })
})

suite('reading refuses', () => {
  for (const [says, bytes] of [
    ['nothing', ''],
    ['a tag without a length', '30'],
    ['an indefinite length', '30 80 00 00'],
    ['a long length where a short one does', '04 81 01 00'],
    ['a length with a leading zero', `04 82 00 80 ${'00'.repeat(128)}`],
    ['a length of five octets', '04 85 00 00 00 00 01 00'],
    ['a length that is cut off', '04 82 01'],
    ['contents that are cut off', '04 02 00'],
    ['an element longer than what holds it', '30 03 04 02 00'],
    ['bytes after the end', '05 00 00'],
    ['the reserved tag', '00 00'],
    ['a tag number above 30', '1f 81 00 00'],
    ['a primitive sequence', '10 00'],
    ['a primitive set', '11 00'],
    ['an octet string in pieces', '24 03 04 01 00'],
    ['a boolean of 01', '01 01 01'],
    ['a boolean of two octets', '01 02 ff ff'],
    ['an empty integer', '02 00'],
    ['an integer with a leading zero', '02 02 00 7f'],
    ['a negative integer with a leading ff', '02 02 ff 80'],
    ['a null with contents', '05 01 00'],
    ['an empty bit string', '03 00'],
    ['a bit string with eight unused bits', '03 02 08 00'],
    ['a bit string whose unused bits are set', '03 02 01 01'],
    ['an empty bit string with unused bits', '03 01 01'],
    ['an empty object identifier', '06 00'],
    ['an object identifier with a padded arc', '06 03 2a 80 01'],
    ['an object identifier that is cut off', '06 02 2a 86'],
    ['a set out of order', '31 06 02 01 02 02 01 01'],
  ] as const) {
    test(says, () => assert.throws(() => readDer(hex(bytes)), InvalidDer))
  }

  test('what is nested too deep', () => {
    let nested = nullValue()
    for (let depth = 0; depth < 30; depth++) nested = sequence(nested)
    assert.throws(() => readDer(nested), InvalidDer)
  })

  test('more elements than any certificate has', () => {
    assert.throws(() => readDer(sequence(...Array<Buffer>(30_000).fill(nullValue()))), InvalidDer)
  })

  test('more bytes than any certificate has', () => {
    assert.throws(() => readDer(octetString(Buffer.alloc(300_000))), InvalidDer)
  })

  for (const [says, text] of [
    ['a UTC time without seconds', '17 0b 32363036303131323030 5a'],
    ['a UTC time with an offset', `17 11 ${Buffer.from('260601120000+0100').toString('hex')}`],
    ['a day that does not exist', `17 0d ${Buffer.from('260230120000Z').toString('hex')}`],
    ['an hour that does not exist', `17 0d ${Buffer.from('260601240000Z').toString('hex')}`],
    ['a generalized time with a fraction', `18 11 ${Buffer.from('20260601120000.5Z').toString('hex')}`],
  ] as const) {
    test(says, () => assert.throws(() => readTime(readDer(hex(text)), 'the time'), InvalidDer))
  }

  for (const [says, bytes] of [
    ['text that is not UTF-8', '0c 01 ff'],
    ['a printable string with a NUL', '13 01 00'],
    ['an IA5 string that is not ASCII', '16 01 e4'],
    ['half a character of a BMP string', '1e 01 00'],
    ['a number as text', '02 01 00'],
  ] as const) {
    test(says, () => assert.throws(() => readText(readDer(hex(bytes)), 'the text'), InvalidDer))
  }
})

suite('what is written reads the same', () => {
  test('object identifiers', () => {
    const arcs = fc.array(fc.nat({ max: 2 ** 32 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(fc.nat({ max: 2 }), fc.nat({ max: 39 }), arcs, (first, second, rest) => {
        const oid = [first, second, ...rest].join('.')
        assert.equal(readObjectIdentifier(readDer(objectIdentifier(oid)), 'it'), oid)
      }),
    )
  })

  test('small integers, booleans, strings and bits', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.boolean(),
        fc.string({ unit: 'binary' }),
        fc.uint8Array(),
        (number, flag, text, bytes) => {
          assert.equal(readSmallInteger(readDer(integer(number)), 'it'), number)
          assert.equal(readBoolean(readDer(boolean(flag)), 'it'), flag)
          assert.equal(readText(readDer(utf8String(text)), 'it'), text)
          assert.deepEqual(readBitString(readDer(bitString(Buffer.from(bytes))), 'it'), Buffer.from(bytes))
        },
      ),
    )
  })

  test('times to the second', () => {
    const instants = fc.date({
      min: new Date('1900-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(instants, (instant) => {
        const seconds = Math.floor(instant.getTime() / 1000) * 1000
        assert.equal(readTime(readDer(time(new Date(seconds))), 'it').getTime(), seconds)
      }),
    )
  })
})

/** The reader gives a tree that encodes to the same bytes, or InvalidDer. */
function readsOrRefuses(bytes: Uint8Array): void {
  let node: ReturnType<typeof readDer>
  try {
    node = readDer(bytes)
  } catch (error) {
    assert.ok(error instanceof InvalidDer, String(error))
    return
  }
  assert.deepEqual(encodeDer(node), Buffer.from(bytes))
}

suite('whatever comes in, the reader gives the very bytes back or refuses', () => {
  const certificates = tls.rootCertificates.map((pem) => Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64'))

  test('random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), readsOrRefuses), { numRuns: 3_000 })
  })

  test('random bytes that begin like DER', () => {
    const tag = fc.constantFrom(0x30, 0x31, 0xa0, 0x02, 0x03, 0x06, 0x01, 0x05, 0x80)
    const piece = fc.tuple(tag, fc.nat({ max: 12 }), fc.uint8Array({ maxLength: 12 }))
    const pieces = fc.array(
      piece.map(([first, length, rest]) => [first, length, ...rest]),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(pieces, (parts) => readsOrRefuses(Uint8Array.from(parts.flat()))),
      { numRuns: 3_000 },
    )
  })

  test('every root certificate that Node trusts', () => {
    for (const certificate of certificates) assert.deepEqual(encodeDer(readDer(certificate)), certificate)
  })

  test('real certificates with some bytes changed, cut or put in', () => {
    const change = fc.record({
      at: fc.nat(),
      byte: fc.nat({ max: 255 }),
      kind: fc.constantFrom('set', 'cut', 'insert'),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(...certificates),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        (certificate, changes) => {
          const bytes = [...certificate]
          for (const { at, byte, kind } of changes) {
            bytes.splice(at % bytes.length, kind === 'insert' ? 0 : 1, ...(kind === 'cut' ? [] : [byte]))
          }
          readsOrRefuses(Uint8Array.from(bytes))
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
