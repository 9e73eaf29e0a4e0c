/** Environment variables with which stock tools and the product reach the lab. */
import type { Clock } from '#clock.ts'
import type { Account } from './account.ts'
import type { AccessKey, AccessKeys } from './credentials.ts'
import type { Instance } from './imds.ts'

/**
 * Who a program is. `{}`: the administrator. `user`: a new key of that user. `role`: a session of that role with
 * temporary keys. `instance`: no keys, but the instance's metadata service. `none`: the way in alone.
 */
export type LabIdentity =
  | { readonly user?: string }
  | { readonly role: string; readonly sessionName?: string }
  | 'instance'
  | 'none'

/** Who, and the way in. */
export interface EnvironmentSettings {
  readonly identity: LabIdentity
  readonly egressUrl: string
  readonly caFile: string
  readonly region: string
  readonly account: Account
  readonly keys: AccessKeys
  readonly adminKey: AccessKey
  readonly instance: Instance
  readonly clock: Clock
}

/** All variables that a clean environment needs. */
export function environmentFor(settings: EnvironmentSettings): Record<string, string> {
  const { identity, egressUrl, caFile, region, instance } = settings
  const wayIn = {
    HTTPS_PROXY: egressUrl,
    NO_PROXY: '127.0.0.1,localhost,::1',
    AWS_CA_BUNDLE: caFile,
    NODE_EXTRA_CA_CERTS: caFile,
    REQUESTS_CA_BUNDLE: caFile,
    SSL_CERT_FILE: caFile,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_PAGER: '',
  }
  if (identity === 'instance') return { ...wayIn, AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.endpoint }
  if (identity === 'none') return { ...wayIn, AWS_EC2_METADATA_DISABLED: 'true' }
  const { accessKeyId, secretAccessKey, sessionToken } = keyFor(identity, settings)
  return {
    ...wayIn,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey.reveal(),
    ...(sessionToken ? { AWS_SESSION_TOKEN: sessionToken.reveal() } : {}),
  }
}

function keyFor(
  identity: Exclude<LabIdentity, string>,
  { account, keys, adminKey, clock }: EnvironmentSettings,
): AccessKey {
  if (!('role' in identity)) {
    return identity.user === undefined ? adminKey : keys.createForUser(account, account.user(identity.user))
  }
  const role = account.role(identity.role)
  const sessionName = identity.sessionName ?? 'lab'
  return keys.issue(
    {
      kind: 'session',
      account,
      role,
      sessionName,
      arn: `arn:${account.partition}:sts::${account.id}:assumed-role/${role.name}/${sessionName}`,
      userId: `${role.id}:${sessionName}`,
      origin: 'assume-role',
      chained: false,
      policies: [],
      sourceIdentity: undefined,
      tags: new Map(),
      transitiveTagKeys: [],
      issuedAt: clock(),
    },
    3600,
  )
}
