import { generateSecret, verify } from 'otplib'
import { Secret } from '#secret.ts'

const PERIOD_SECONDS = 30
const DIGITS = 6
/** RFC 4226 §4 R6 asks for at least 16 bytes and recommends 20. */
const SECRET_BYTES = 20

/** A new shared secret in base32. */
export function generateTotpSecret(): Secret {
  return new Secret(generateSecret({ length: SECRET_BYTES }))
}

/**
 * The time step whose code this is: the present one, or one before or after it; `undefined` if none.
 * A step at or before `lastStep` is used up: a code opens once.
 * @see RFC 6238 §4.2 time steps, §5.2 validation and time-step size (a code is accepted once)
 */
export async function verifyTotp(
  secret: Secret,
  code: string,
  { now, lastStep }: { now: Date; lastStep: number },
): Promise<number | undefined> {
  if (!/^\d{6}$/.test(code)) return undefined
  const result = await verify({
    secret: secret.reveal(),
    token: code,
    epoch: Math.floor(now.getTime() / 1000),
    epochTolerance: PERIOD_SECONDS,
    period: PERIOD_SECONDS,
    digits: DIGITS,
    algorithm: 'sha1',
  })
  if (!result.valid || !('timeStep' in result)) return undefined
  return result.timeStep > lastStep ? result.timeStep : undefined
}

/**
 * What an authenticator scans: `otpauth://totp/CLUSTER:USER@CLUSTER?algorithm=SHA1&digits=6&issuer=CLUSTER&period=30&secret=…`.
 * @see Key Uri Format of the Google Authenticator wiki
 */
export function totpUri({ user, cluster, secret }: { user: string; cluster: string; secret: Secret }): string {
  const label = `${encodeURIComponent(cluster)}:${encodeURIComponent(user)}@${encodeURIComponent(cluster)}`
  const issuer = encodeURIComponent(cluster)
  return `otpauth://totp/${label}?algorithm=SHA1&digits=${DIGITS}&issuer=${issuer}&period=${PERIOD_SECONDS}&secret=${secret.reveal()}`
}
