/** Identity to certificate subject. The instant of expiry is not in it: that is the certificate's own notAfter. */
import { type Name, oids } from '#pki/certificate.ts'
import { attributes, InvalidIdentity, USAGE_PREFIX } from './attributes.ts'
import type { HostIdentity, UserIdentity } from './identity.ts'

type Attribute = Name[number]

/**
 * Subject of a user certificate.
 * @throws {InvalidIdentity} without a name or a role, which no reader would accept
 */
export function encodeUserSubject(identity: UserIdentity): Name {
  const { routeToApp: app, routeToKube: kube } = identity
  requireNames(identity.name, identity.roles)
  return [
    [oids.CN, identity.name],
    ...many(oids.O, identity.roles),
    ...many(oids.OU, identity.usage?.map((usage) => USAGE_PREFIX + usage) ?? []),
    // An empty list allows nothing, and must not read as "no restriction".
    ...(identity.usage?.length === 0 ? many(oids.OU, [`${USAGE_PREFIX}none`]) : []),
    ...one(oids.STREET, identity.cluster),
    ...one(oids.postalCode, Object.keys(identity.traits).length > 0 ? JSON.stringify(identity.traits) : undefined),
    ...many(attributes.kubeUsers, identity.kubeUsers),
    ...many(attributes.kubeGroups, identity.kubeGroups),
    ...one(attributes.kubeCluster, kube?.name),
    ...one(attributes.kubeServerName, kube?.serverName),
    ...one(attributes.appSessionId, app?.sessionId),
    ...one(attributes.appCluster, app?.cluster),
    ...one(attributes.appPublicAddr, app?.publicAddr),
    ...one(attributes.appName, app?.name),
    ...one(attributes.appServerName, app?.serverName),
    ...one(attributes.awsRoleArn, app?.awsRoleArn),
    ...one(attributes.azureIdentity, app?.azureIdentity),
    ...many(attributes.awsRoleArns, identity.awsRoleArns),
    ...many(attributes.azureIdentities, identity.azureIdentities),
    ...one(attributes.issuingCluster, identity.cluster),
    ...one(attributes.mfaDeviceId, identity.mfaDeviceId),
    ...one(attributes.loginIp, identity.loginIp),
    ...one(attributes.userType, identity.userType),
    ...one(attributes.renewable, identity.isRenewable ? 'true' : undefined),
    ...one(attributes.generation, identity.generation?.toString()),
    ...one(attributes.impersonator, identity.impersonator),
    ...many(attributes.accessRequests, identity.accessRequests),
    ...one(attributes.disallowReissue, identity.disallowReissue ? 'true' : undefined),
    ...one(attributes.botName, identity.botName),
    ...one(attributes.botInstanceId, identity.botInstanceId),
  ]
}

/**
 * Subject of a member's certificate: CN `HOST-ID.CLUSTER`, O the one role, or `Instance` and a list of several.
 * @throws {InvalidIdentity} without a role, or with a host id that has a dot: the cluster's name begins at the first one
 */
export function encodeHostSubject(identity: HostIdentity): Name {
  requireNames(identity.hostId, identity.roles)
  if (identity.hostId.includes('.'))
    throw new InvalidIdentity(`the host id ${JSON.stringify(identity.hostId)} has a dot`)
  const [role = 'Instance', ...more] = identity.roles
  return [
    [oids.CN, `${identity.hostId}.${identity.cluster}`],
    [oids.O, more.length > 0 ? 'Instance' : role],
    ...many(attributes.systemRoles, more.length > 0 ? identity.roles : []),
    ...one(attributes.nodeName, identity.nodeName),
  ]
}

function requireNames(name: string, roles: readonly string[]): void {
  if (name === '') throw new InvalidIdentity('missing identity username')
  if (roles.length === 0) throw new InvalidIdentity('missing identity groups')
}

function one(oid: string, value: string | undefined): readonly Attribute[] {
  return value === undefined || value === '' ? [] : [[oid, value]]
}

function many(oid: string, values: readonly string[]): readonly Attribute[] {
  return values.map((value) => [oid, value])
}
