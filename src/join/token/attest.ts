import { InvalidInput } from '#errors.ts'
import type { Evidence } from '#join/method.ts'

/** A join token that is configured and cannot be used. Never holds the token. */
export class UnusableJoinToken extends InvalidInput {}

/**
 * The machine's half of the method `token`: the secret itself, or what the file says whose absolute path it is.
 * @throws {UnusableJoinToken}
 */
export async function attestToken(tokenName: string, readFile: (path: string) => Promise<string>): Promise<Evidence> {
  const token = (tokenName.startsWith('/') ? await readTokenFile(tokenName, readFile) : tokenName).trim()
  if (token === '' || token.length > MAX_TOKEN_CHARACTERS || /[\r\n]/.test(token)) {
    throw new UnusableJoinToken(
      `${tokenName.startsWith('/') ? `the file ${tokenName}` : 'teleport.join_params.token_name'} does not hold one join token`,
      { hint: 'create a token with "tctl tokens add" and set its value' },
    )
  }
  return { method: 'token', token }
}

const MAX_TOKEN_CHARACTERS = 512

async function readTokenFile(path: string, readFile: (path: string) => Promise<string>): Promise<string> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new UnusableJoinToken(`the join token's file ${path} cannot be read`, {
      hint: 'correct teleport.join_params.token_name, or let this process read the file',
      cause,
    })
  }
}
