import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { auditEvent } from './codes.ts'
import { decodeFrames, decodeHeader, encodeFrame, encodeHeader, type FrameType } from './spool-format.ts'

const context = { clock: () => new Date(Date.UTC(2030, 0, 1)), cluster: 'example.com' }
const frames = Array.from({ length: 8 }, (_, n) => {
  const type: FrameType = n % 3 === 0 ? 'I' : 'E'
  return { type, event: auditEvent('app.session.request', { n, path: `/${'ä'.repeat(n)}` }, context) }
})
const bytes = Buffer.concat(frames.map(({ type, event }) => encodeFrame(type, event)))
const uids = new Map(frames.map(({ event }) => [event.uid, JSON.stringify(event)]))

suite('reading a spool', () => {
  test('gives what was written, with the offset after each frame', () => {
    const decoded = decodeFrames(bytes, 100)
    assert.deepEqual(
      decoded.frames.map(({ type, event }) => ({ type, event })),
      frames,
    )
    assert.equal(decoded.frames.at(-1)?.end, 100 + bytes.length)
    assert.equal(decoded.rest, 'nothing')
  })

  test('stops before a torn tail, wherever it tore', () => {
    for (let length = 0; length < bytes.length; length++) {
      const decoded = decodeFrames(bytes.subarray(0, length), 0)
      assert.ok(decoded.length <= length)
      assert.equal(decoded.rest, decoded.length === length ? 'nothing' : 'incomplete')
      assert.equal(
        decoded.frames.length,
        frames.filter((_, n) => (decodeFrames(bytes, 0).frames[n]?.end ?? 0) <= length).length,
      )
    }
  })

  test('never throws and never invents an event, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
        const { frames, length } = decodeFrames(Buffer.from(random), 0)
        assert.equal(frames.length, 0)
        assert.equal(length, 0)
      }),
    )
  })

  test('never throws and never invents an event, whatever was changed, cut, doubled or swapped', () => {
    const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.uint8Array({ maxLength: 12 }), remove: fc.nat(40) })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let mutated = bytes
        for (const { at, to, remove } of changes) {
          mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from(to), mutated.subarray(at + remove)])
        }
        for (const { event } of decodeFrames(mutated, 0).frames)
          assert.equal(JSON.stringify(event), uids.get(event.uid))
      }),
      { numRuns: 500 },
    )
  })
})

test('a header gives its generation back, and anything else none', () => {
  assert.equal(decodeHeader(encodeHeader(Buffer.from('0123456789abcdef', 'hex'))), '0123456789abcdef')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (random) =>
      assert.equal(decodeHeader(Buffer.from(random)), undefined),
    ),
  )
})
