/** The AWS SDK's credential chain: environment, shared files (`AWS_PROFILE`), web identity, containers, instance metadata (IMDSv2). */
import type https from 'node:https'
import { fromNodeProviderChain } from '@aws-sdk/credential-providers'
import { Unavailable } from '#errors.ts'
import { Secret } from '#secret.ts'
import type { AwsCredentials } from './sigv4.ts'

/** Credentials that this process itself has. */
export interface BaseCredentials extends AwsCredentials {
  /** Left out: they do not expire. */
  readonly expires?: Date
  /**
   * `static`: keys without a session token; `instance`: the role of an EC2 instance; `temporary`: every other kind with a
   * token. AWS lets a role that is assumed with temporary ones live for at most an hour, but for `instance`.
   */
  readonly kind: 'static' | 'instance' | 'temporary'
}

/** Gives valid credentials; the chain keeps them until shortly before they expire. */
export type CredentialSource = () => Promise<BaseCredentials>

/** No part of the chain has credentials. The text begins as the guides quote it. */
export class NoCredentials extends Unavailable {}

/**
 * Opens the chain. The SDK reads the standard variables and files of this process itself.
 *
 * @param agent the one way out, for web identity and SSO
 * @see AWS SDKs and Tools "Standardized credential providers"
 */
export function openCredentials({ agent, region }: { agent: https.Agent; region?: string }): CredentialSource {
  const chain = fromNodeProviderChain({
    clientConfig: { requestHandler: { httpsAgent: agent }, ...(region === undefined ? {} : { region }) },
  })
  return async () => {
    try {
      const identity = await chain()
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = identity
      const isInstance = comesFromInstance(identity)
      return {
        accessKeyId,
        secretAccessKey: new Secret(secretAccessKey),
        ...(sessionToken === undefined ? {} : { sessionToken: new Secret(sessionToken) }),
        ...(expiration === undefined ? {} : { expires: expiration }),
        kind: isInstance ? 'instance' : sessionToken === undefined ? 'static' : 'temporary',
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown reason'
      throw new NoCredentials(`NoCredentialProviders: no valid providers in chain (${reason})`, {
        hint: 'give the agent a role or keys: an instance role, IRSA, or AWS_PROFILE; in containers on EC2 the metadata hop limit (HttpPutResponseHopLimit) has to be 2',
        cause,
      })
    }
  }
}

/** The SDK notes on each identity which provider gave it. */
function comesFromInstance(identity: object): boolean {
  if (!('$source' in identity)) return false
  const { $source: source } = identity
  return typeof source === 'object' && source !== null && 'CREDENTIALS_IMDS' in source
}
