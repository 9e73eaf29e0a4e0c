import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type JoinToken, parseJoinToken } from '#resources/join-token.ts'
import { type JoinAttempt, JoinRefused, type Verify } from './method.ts'

/** A join method, with what it takes for an attempt to succeed. */
export interface MethodUnderTest {
  readonly verify: Verify
  /** Spec of a token that allows the attempt, with at least the role App. */
  readonly spec: Readonly<Record<string, unknown>>
  /** An attempt that succeeds as App against a token of this name. */
  readonly attempt: (tokenName: string) => JoinAttempt
}

/** What every join method promises, whatever it takes for evidence. */
export function conformsToJoinMethod(name: string, { verify, spec, attempt }: MethodUnderTest): void {
  const now = new Date('2026-06-01T12:00:00Z')
  const good = attempt('token-name')
  const run = (changed: Partial<JoinAttempt>, token: JoinToken | undefined) =>
    verify({ ...good, ...changed }, { now, findToken: async (wanted) => (wanted === good.token ? token : undefined) })
  const tokenWith = (change: Readonly<Record<string, unknown>> = {}, expires?: string): JoinToken =>
    parseJoinToken({
      kind: 'token',
      version: 'v2',
      metadata: { name: good.token, ...(expires === undefined ? {} : { expires }) },
      spec: { ...spec, ...change },
    })

  suite(`the join method ${name}`, () => {
    test('accepts a role of its token', async () => {
      assert.equal((await run({}, tokenWith())).role, 'App')
    })

    for (const [says, changed, token, reason] of [
      ['a token that does not exist', {}, undefined, 'no such token'],
      ['another token than the one that was proved', { token: 'other' }, tokenWith(), 'no such token'],
      ['a token at the instant when it expires', {}, tokenWith({}, '2026-06-01T12:00:00Z'), 'token expired'],
      ['a token that expired long ago', {}, tokenWith({}, '2020-01-01T00:00:00Z'), 'token expired'],
      ['evidence of another method', { method: 'other' }, tokenWith(), 'wrong join method'],
      [
        'a role that the token does not give',
        { role: 'Auth' },
        tokenWith({ roles: ['App'] }),
        'role not allowed by token',
      ],
      ['a role that cannot be joined as', { role: 'Admin' }, tokenWith(), 'unknown role'],
      ['a role in another spelling', { role: 'APP' }, tokenWith(), 'unknown role'],
      ['no role', { role: '' }, tokenWith(), 'unknown role'],
    ] as const) {
      test(`refuses ${says}, and tells the caller nothing`, async () => {
        await assert.rejects(run(changed, token), (error) => {
          assert.ok(error instanceof JoinRefused, String(error))
          assert.equal(error.reason, reason)
          assert.equal(error.message, 'the join was refused')
          assert.ok(!error.hint.includes(reason))
          return true
        })
      })
    }
  })
}
