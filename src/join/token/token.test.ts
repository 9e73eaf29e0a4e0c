/** Both halves of the method `token`: where the secret comes from, and what it allows. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { conformsToJoinMethod } from '#join/method.conformance.ts'
import { type JoinAttempt, JoinRefused } from '#join/method.ts'
import { parseJoinToken } from '#resources/join-token.ts'
import { attestToken, UnusableJoinToken } from './attest.ts'
import { verifyToken } from './verify.ts'

suite('a machine attests with', () => {
  const readFile = async (path: string): Promise<string> =>
    ({ '/token': 'secret\n', '/empty': '\n', '/two': 'a\nb\n' })[path] ?? assert.fail('no such file')

  for (const [says, value] of [
    ['the token itself', 'secret'],
    ['the contents of a file', '/token'],
  ] as const) {
    test(says, async () => {
      assert.deepEqual(await attestToken(value, readFile), { method: 'token', token: 'secret' })
    })
  }

  for (const [says, value, text] of [
    ['a file that cannot be read', '/missing', /file \/missing cannot be read/],
    ['an empty file', '/empty', /file \/empty does not hold one join token/],
    ['a file of two lines', '/two', /file \/two does not hold one join token/],
    ['a token of more than 512 characters', 'x'.repeat(513), /token_name does not hold one join token/],
  ] as const) {
    test(`nothing but an error: ${says}`, async () => {
      await assert.rejects(attestToken(value, readFile), (error) => {
        assert.ok(error instanceof UnusableJoinToken && text.test(error.message))
        assert.ok(!value.startsWith('x') || !error.message.includes(value), 'the token is a secret')
        return true
      })
    })
  }
})

conformsToJoinMethod('token', {
  verify: verifyToken,
  spec: { roles: ['App'], join_method: 'token' },
  attempt: (token) => ({ method: 'token', token, role: 'App' }),
})

suite('Auth', () => {
  const tokens = [
    { name: 'secret', spec: { roles: ['App'], join_method: 'token' } },
    { name: 'cloud', spec: { roles: ['App'], join_method: 'iam', allow: [{ aws_account: '123456789012' }] } },
    { name: 'ssh', spec: { roles: ['Node'], join_method: 'token' } },
  ].map(({ name, spec }) => parseJoinToken({ kind: 'token', version: 'v2', metadata: { name }, spec }))
  const verify = (attempt: Partial<JoinAttempt>) =>
    verifyToken(
      { method: 'token', token: 'secret', role: 'App', ...attempt },
      { now: new Date(), findToken: async (name) => tokens.find(({ metadata }) => metadata.name === name) },
    )

  for (const [says, attempt, reason] of [
    ['no token', { token: '' }, 'no such token'],
    ['the beginning of a token', { token: 'secre' }, 'no such token'],
    ['a token with more behind it', { token: 'secretx' }, 'no such token'],
    ['a token of a mebibyte', { token: 'x'.repeat(2 ** 20) }, 'no such token'],
    ['the name of a token of another method', { token: 'cloud' }, 'wrong join method'],
    ['another method with this token', { method: 'iam' }, 'wrong join method'],
    ['a role that does not exist here', { token: 'ssh', role: 'Node' }, 'unknown role'],
  ] as const) {
    test(`refuses ${says}`, async () => {
      await assert.rejects(verify(attempt), (error) => error instanceof JoinRefused && error.reason === reason)
    })
  }

  test('is not fooled by a store that answers with another token', async () => {
    const [, cloud] = tokens
    const attempt = { method: 'token', token: 'guess', role: 'App' }
    await assert.rejects(
      verifyToken(attempt, { now: new Date(), findToken: async () => cloud }),
      (error) => error instanceof JoinRefused && error.reason === 'no such token',
    )
  })
})
