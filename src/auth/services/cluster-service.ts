import type { ServiceImpl } from '@connectrpc/connect'
import type { AuthParts } from '#auth/parts.ts'
import { NotFound } from '#errors.ts'
import type { ClusterService } from '#gen/access/v1/access_pb.ts'
import { product } from '#product.ts'
import { cloudPrincipals } from '#rbac/principals.ts'
import type { AuthPreference } from '#resources/cluster-config.ts'

/** Facts about the cluster and about the caller. Ping and the public parts of authorities are open to everyone. */
export function clusterService({
  clusterName,
  store,
  authorities,
  access,
}: Pick<AuthParts, 'clusterName' | 'store' | 'authorities' | 'access'>): ServiceImpl<typeof ClusterService> {
  return {
    async ping() {
      return {
        clusterName,
        serverVersion: product.version,
        compatibleVersion: product.compatibleVersion,
        caPins: [...authorities.pins()],
        authPreferenceJson: JSON.stringify(loginSettings(await readAuthPreference(store))),
      }
    },
    async exportAuthorities({ type, withKeys }, context) {
      if (withKeys) await access.admin(context)
      const { pem, der } = authorities.export(type, withKeys)
      return { pem, der: Uint8Array.from(der) }
    },
    async whoAmI(_, context) {
      const who = await access.identify(context)
      if (who.kind !== 'user') return { name: who.identity.hostId, roles: [...who.identity.roles], traitsJson: '{}' }
      const { name, roles, traits } = who.identity
      return {
        name,
        roles: [...roles],
        traitsJson: JSON.stringify(traits),
        awsRoleArns: [...cloudPrincipals(who.roles, 'aws')],
        azureIdentities: [...cloudPrincipals(who.roles, 'azure')],
      }
    },
  }
}

/** @throws {NotFound} before the first start is over */
export async function readAuthPreference(store: AuthParts['store']): Promise<AuthPreference> {
  const found = await store.find<AuthPreference>('cluster_auth_preference', 'cluster-auth-preference')
  if (found) return found
  throw new NotFound('the cluster has no auth preference', { hint: 'start the Auth Service again' })
}

/** What a client must know to ask for the right things; the rest is nobody's business before login. */
function loginSettings({ spec }: AuthPreference): Readonly<Record<string, unknown>> {
  const { type, connector_name, second_factor, second_factors, allow_local_auth, default_session_ttl } = spec
  return {
    type,
    connector_name,
    second_factor,
    second_factors: second_factors ?? (second_factor === undefined ? ['otp'] : undefined),
    allow_local_auth,
    default_session_ttl,
    message_of_the_day: spec.message_of_the_day,
  }
}
