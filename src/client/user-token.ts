import { Unavailable } from '#errors.ts'
import { product } from '#product.ts'
import type { Secret } from '#secret.ts'
import { fieldsOf, type WebClient } from './web-client.ts'

/** What an invite or a reset is for. */
export interface UserTokenFacts {
  readonly user: string
  /** A second factor to enrol; the same for every call with one token. */
  readonly totp?: { readonly secret: string; readonly uri: string; readonly isRequired: boolean }
}

/** Reads what a token of an invite or a reset is for. @throws {NotFound} when it is used up or over */
export async function readUserToken(web: WebClient, token: string): Promise<UserTokenFacts> {
  const answer = fieldsOf(await web.get(`/webapi/users/password/token/${encodeURIComponent(token)}`))
  const { user, totp_secret: secret, totp_uri: uri, totp_required: isRequired } = answer
  if (typeof user !== 'string') {
    throw new Unavailable('the proxy does not say whom the invite is for', {
      hint: `check that the URL leads to a ${product.name} proxy`,
    })
  }
  if (typeof secret !== 'string' || secret === '' || typeof uri !== 'string') return { user }
  return { user, totp: { secret, uri, isRequired: isRequired !== false } }
}

/** What a person chose. */
export interface RedeemedToken {
  readonly token: string
  readonly password: Secret
  /** Of the device that the token enrols; left out where it enrols none. */
  readonly code: string | undefined
  readonly deviceName: string
}

/** Sets password and first device; the token is used up. */
export async function redeemUserToken(
  web: WebClient,
  { token, password, code, deviceName }: RedeemedToken,
): Promise<void> {
  await web.put('/webapi/users/password/token', {
    token,
    password: password.reveal(),
    ...(code === undefined ? {} : { totp_code: code, device_name: deviceName }),
  })
}
