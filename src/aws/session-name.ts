import { createHash } from 'node:crypto'

/**
 * The `RoleSessionName` that stands for a user in CloudTrail. A name that AWS takes stays as it is; one that is longer
 * than 64, or has characters that AWS refuses (they become `-`), ends in 16 hex digits of its own SHA-1, so that two
 * users never share a name.
 *
 * @see AWS STS API reference "AssumeRole", RoleSessionName: 2 to 64 characters of `[\w+=,.@-]`
 */
export function roleSessionName(userName: string): string {
  if (/^[A-Za-z0-9_+=,.@-]{2,64}$/.test(userName)) return userName
  const clean = userName.replace(/[^A-Za-z0-9_+=,.@-]/g, '-')
  return `${clean.slice(0, 47)}-${createHash('sha1').update(userName).digest('hex').slice(0, 16)}`
}
