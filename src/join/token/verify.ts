import { createHash, timingSafeEqual } from 'node:crypto'
import { checkToken, JoinRefused, type Verify } from '#join/method.ts'

/**
 * Auth's half of the method `token`: the name of the token resource is the secret.
 * Looking it up by index gives away nothing that could be measured from outside; it is compared in constant time then,
 * and as much is computed where there is no such token.
 *
 * @throws {JoinRefused}
 */
export const verifyToken: Verify = async (attempt, { findToken, now }) => {
  const presented = attempt.token.slice(0, MAX_TOKEN_CHARACTERS)
  const token = presented === '' ? undefined : await findToken(presented)
  const isSame = timingSafeEqual(digest(token?.metadata.name ?? ''), digest(attempt.token))
  if (token === undefined || !isSame) throw new JoinRefused('no such token')
  return checkToken(token, attempt, now)
}

/** No name of a resource is longer. */
const MAX_TOKEN_CHARACTERS = 512

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
