import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Code, ConnectError } from '@connectrpc/connect'
import fc from 'fast-check'
import {
  AccessDenied,
  AccessError,
  AlreadyExists,
  Conflict,
  InvalidInput,
  LimitExceeded,
  NotFound,
  Unauthenticated,
  Unavailable,
} from '#errors.ts'
import { fromConnectError, hintHeader, toConnectError } from './status.ts'

suite('an error of ours crosses the wire with its code, message and hint', () => {
  for (const [Failure, wire] of [
    [InvalidInput, Code.InvalidArgument],
    [Unauthenticated, Code.Unauthenticated],
    [AccessDenied, Code.PermissionDenied],
    [NotFound, Code.NotFound],
    [AlreadyExists, Code.AlreadyExists],
    [Conflict, Code.Aborted],
    [LimitExceeded, Code.ResourceExhausted],
    [Unavailable, Code.Unavailable],
  ] as const) {
    test(`${Failure.name} as ${Code[wire]}`, () => {
      const sent = toConnectError(new Failure('role "größer" is not there', { hint: 'run "tctl get roles" → look' }))
      assert.equal(sent.code, wire)
      const received = fromConnectError(sent)
      assert.ok(received instanceof Failure)
      assert.equal(received.message, 'role "größer" is not there')
      assert.equal(received.hint, 'run "tctl get roles" → look')
    })
  }

  test('whatever its texts are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ maxLength: 200 }), (message, hint) => {
        const received = fromConnectError(toConnectError(new NotFound(message, { hint })))
        assert.equal(received.message, message)
        if (hint !== '') assert.equal(received.hint, hint.toWellFormed())
      }),
    )
  })
})

suite('what must not cross the wire', () => {
  test('the cause stays on the server', () => {
    const sent = toConnectError(
      new AccessDenied('no', { hint: 'ask', cause: new Error('role "secret-admins" decided') }),
    )
    assert.equal(sent.cause, undefined)
    assert.doesNotMatch(JSON.stringify([sent.message, [...sent.metadata]]), /secret-admins/)
  })

  test('a mistake of ours has no text of its own', () => {
    const sent = toConnectError(new TypeError('cannot read /var/lib/teleport/keys'))
    assert.equal(sent.code, Code.Internal)
    assert.equal(sent.rawMessage, 'the call failed on the server')
  })
})

suite('answers of peers that are not ours become errors of ours', () => {
  for (const [wire, code] of [
    [Code.DeadlineExceeded, 'unavailable'],
    [Code.Canceled, 'unavailable'],
    [Code.Unimplemented, 'invalid'],
    [Code.Internal, 'unavailable'],
    [Code.Unknown, 'unavailable'],
    [Code.FailedPrecondition, 'conflict'],
    [Code.OutOfRange, 'invalid'],
  ] as const) {
    test(`${Code[wire]} is "${code}" and has a hint`, () => {
      const received = fromConnectError(new ConnectError('text', wire))
      assert.equal(received.code, code)
      assert.notEqual(received.hint, '')
    })
  }

  test('a broken hint does not hide the error', () => {
    const received = fromConnectError(new ConnectError('gone', Code.NotFound, { [hintHeader]: '%E0%A4%A' }))
    assert.equal(received.code, 'not-found')
    assert.notEqual(received.hint, '')
  })

  test('an error that is ours already is given back as it is', () => {
    const error: AccessError = new Conflict('changed', { hint: 'read again' })
    assert.equal(fromConnectError(error), error)
    assert.ok(error instanceof AccessError)
  })
})
