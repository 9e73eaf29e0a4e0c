/** Tokens of OpenID Connect providers, as STS checks them. @see OpenID Connect Core §3.1.3.7, RFC 7519 */
import { createPublicKey, verify } from 'node:crypto'
import type { Jwk, OidcProvider } from './account.ts'
import { AwsError } from './aws-error.ts'

/** What a verified token says, as far as trust policies ask. */
export interface WebIdentityClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
}

/**
 * Finds the provider of a token and checks signature, audience and times.
 *
 * @throws {AwsError} InvalidIdentityToken, ExpiredTokenException, AccessDenied
 */
export function verifyWebIdentity(
  token: string,
  providers: readonly OidcProvider[],
  now: Date,
): { readonly provider: OidcProvider; readonly claims: WebIdentityClaims } {
  const [head = '', payload = '', signature = '', ...more] = token.split('.')
  if (more.length > 0 || signature === '')
    throw invalid('The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)')
  const header = jsonOf(head)
  const claims = jsonOf(payload)
  const { iss, sub, exp, aud } = claims
  if (typeof iss !== 'string' || typeof sub !== 'string' || typeof exp !== 'number')
    throw invalid('Missing a required claim: iss, sub or exp')
  const provider = providers.find(({ url }) => `https://${url}` === iss.replace(/\/$/, ''))
  if (!provider) throw invalid(`No OpenIDConnect provider found in your account for ${iss}`)
  if (!provider.keys.some((key) => isSignedBy(key, header, `${head}.${payload}`, signature))) {
    throw invalid(
      "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    )
  }
  if (exp * 1000 <= now.getTime()) {
    throw new AwsError(
      'ExpiredTokenException',
      400,
      `Token expired: current date/time ${Math.floor(now.getTime() / 1000)} must be before the expiration date/time ${exp}`,
    )
  }
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((item): item is string => typeof item === 'string')
  if (!audiences.some((audience) => provider.clientIds.includes(audience))) throw invalid('Incorrect token audience')
  return { provider, claims: { iss, sub, aud: audiences } }
}

function isSignedBy(jwk: Jwk, header: Record<string, unknown>, input: string, signature: string): boolean {
  // The algorithm follows from the key, never from the token alone.
  const expected = jwk.kty === 'RSA' ? 'RS256' : jwk.kty === 'EC' && jwk.crv === 'P-256' ? 'ES256' : undefined
  if (expected === undefined || header.alg !== expected) return false
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return verify('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
}

function jsonOf(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    if (typeof value === 'object' && value !== null) return { ...value }
  } catch {
    // Falls through to the one refusal.
  }
  throw invalid('The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)')
}

const invalid = (message: string): AwsError => new AwsError('InvalidIdentityToken', 400, message)
