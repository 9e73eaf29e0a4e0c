/** Both halves of the method `token`: where the secret comes from, and what it allows. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type JoinAttempt, JoinRefused } from '#join/method.ts'
import { type JoinToken, parseJoinToken } from '#resources/join-token.ts'
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

suite('Auth', () => {
  const now = new Date('2026-06-01T12:00:00Z')
  const tokenOf = (name: string, spec: object, expires?: string): JoinToken =>
    parseJoinToken({ kind: 'token', version: 'v2', metadata: { name, ...(expires ? { expires } : {}) }, spec })
  const tokens = new Map<string, JoinToken>(
    [
      tokenOf('secret', { roles: ['App', 'Kube'], join_method: 'token' }, '2026-06-01T12:00:01Z'),
      tokenOf('forever', { roles: ['Proxy'], join_method: 'token' }),
      tokenOf('expired', { roles: ['App'], join_method: 'token' }, '2026-06-01T12:00:00Z'),
      tokenOf('cloud', { roles: ['App'], join_method: 'iam', allow: [{ aws_account: '123456789012' }] }),
      tokenOf('ssh', { roles: ['Node'], join_method: 'token' }),
    ].map((token) => [token.metadata.name, token]),
  )
  const verify = (attempt: Partial<JoinAttempt>) =>
    verifyToken(
      { method: 'token', token: 'secret', role: 'App', ...attempt },
      { now, findToken: async (name) => tokens.get(name) },
    )

  for (const [says, attempt, role] of [
    ['a role of the token', {}, 'App'],
    ['another role of the token', { role: 'Kube' }, 'Kube'],
    ['a token that never expires', { token: 'forever', role: 'Proxy' }, 'Proxy'],
  ] as const) {
    test(`accepts ${says}`, async () => assert.equal((await verify(attempt)).role, role))
  }

  for (const [says, attempt, reason] of [
    ['a token that does not exist', { token: 'guess' }, 'no such token'],
    ['no token', { token: '' }, 'no such token'],
    ['a token with more behind it', { token: 'secretx' }, 'no such token'],
    ['a token of a mebibyte', { token: 'x'.repeat(2 ** 20) }, 'no such token'],
    ['an expired token, from that very instant', { token: 'expired' }, 'token expired'],
    ['the name of a token of another method', { token: 'cloud' }, 'wrong join method'],
    ['another method with this token', { method: 'iam' }, 'wrong join method'],
    ['a role that the token does not give', { role: 'Proxy' }, 'role not allowed by token'],
    ['a role in another spelling', { role: 'app' }, 'unknown role'],
    ['a role that does not exist here', { token: 'ssh', role: 'Node' }, 'unknown role'],
    ['the administrator’s role', { role: 'Admin' }, 'unknown role'],
    ['the role that stands for several', { role: 'Instance' }, 'unknown role'],
  ] as const) {
    test(`refuses ${says}, and tells the caller nothing`, async () => {
      await assert.rejects(verify(attempt), (error) => {
        assert.ok(error instanceof JoinRefused)
        assert.equal(error.reason, reason)
        assert.equal(error.message, 'the join was refused')
        assert.ok(!error.hint.includes(reason))
        return true
      })
    })
  }
})
