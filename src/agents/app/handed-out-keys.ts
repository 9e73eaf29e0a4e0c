import { randomBytes } from 'node:crypto'
import type { AwsCredentials } from '#aws/sigv4.ts'
import { Secret } from '#secret.ts'
import { RefusedWhileServing } from './admit.ts'

/** Real credentials that AWS gave to a caller's own request. They stay here; the caller has placeholders for them. */
export interface HandedOutRole {
  readonly credentials: AwsCredentials
  /** `arn:aws:sts::123456789012:assumed-role/Writer/alice` */
  readonly assumedRoleArn: string
  readonly expires: Date
}

/** What the caller gets instead. */
export interface PlaceholderRole {
  /** `PLACEHOLDERROLE` and 16 characters: longer than a login's own placeholder, so that neither is taken for the other. */
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken: string
}

/** The roles that the sessions of one agent have assumed beside their own. */
export class HandedOutKeys {
  readonly #kept = new Map<string, HandedOutRole & { readonly sessionId: string }>()

  add(sessionId: string, role: HandedOutRole): PlaceholderRole {
    const accessKeyId = `${PREFIX}${Array.from(randomBytes(16), (byte) => BASE32.charAt(byte & 31)).join('')}`
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '')
    this.#kept.set(accessKeyId, { ...role, sessionId })
    return {
      accessKeyId,
      secretAccessKey: new Secret(randomBytes(30).toString('base64url')),
      sessionToken: randomBytes(36).toString('base64url'),
    }
  }

  /** Only for the very session that assumed the role, until AWS lets it end. */
  find(accessKeyId: string, sessionId: string, now: Date): HandedOutRole | undefined {
    const found = this.#kept.get(accessKeyId)
    if (found === undefined || found.sessionId !== sessionId) return undefined
    if (now < found.expires) return found
    this.#kept.delete(accessKeyId)
    return undefined
  }
}

/** Is it a placeholder of an assumed role, of whatever agent? A request with an unknown one must not run as the login's own role. */
export function isHandedOutId(accessKeyId: string): boolean {
  return accessKeyId.startsWith(PREFIX) && accessKeyId.length !== LOGIN_ID_LENGTH
}

/** The role was assumed at another agent, too long ago, or by another session. AWS clients read it as `ExpiredToken`. */
export function unknownRole(): RefusedWhileServing {
  return new RefusedWhileServing({
    allowed: false,
    code: 'denied',
    reason: 'expired',
    message: 'the credentials of this assumed role are not known to this agent any more',
    hint: 'assume the role again; what the AWS CLI keeps of it is in ~/.aws/cli/cache',
  })
}

const PREFIX = 'PLACEHOLDERROLE'
const LOGIN_ID_LENGTH = 'PLACEHOLDER'.length + 16
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const MAX_KEPT = 10_000
