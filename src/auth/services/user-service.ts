import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import type { ServiceImpl } from '@connectrpc/connect'
import type { Identified, IdentifiedUser } from '#auth/access.ts'
import { actorFields } from '#auth/audit-trail.ts'
import { checkName, fromDocument } from '#auth/documents.ts'
import { deviceFields, type TotpDevice } from '#auth/login/credentials.ts'
import { totpRuleOf } from '#auth/login/second-factor.ts'
import { totpUri } from '#auth/login/totp.ts'
import { type TokenPurpose, tokenLifeMs } from '#auth/login/user-tokens.ts'
import type { AuthParts } from '#auth/parts.ts'
import { issueUserCertificate } from '#ca/issue-user.ts'
import { AccessDenied, InvalidInput } from '#errors.ts'
import type { UserService } from '#gen/access/v1/access_pb.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { parsePublicKey } from '#pki/key.ts'
import { sessionTtl } from '#rbac/session-ttl.ts'
import type { User } from '#resources/user.ts'
import { Secret } from '#secret.ts'
import { ResourceNotFound } from '#storage/resource-errors.ts'
import { readAuthPreference } from './cluster-service.ts'

type Parts = Pick<
  AuthParts,
  'clusterName' | 'store' | 'authorities' | 'access' | 'changes' | 'trail' | 'localUsers' | 'proxyAddress' | 'clock'
>

/** Local users: administrators invite and reset them, everyone changes their own password and devices. */
export function userService(parts: Parts): ServiceImpl<typeof UserService> {
  const { clusterName, store, access, changes, trail, localUsers } = parts
  return {
    async createUser({ user: document, ttlSeconds }, context) {
      const who = await access.identify(context)
      const user = fromDocument(document)
      if (user.kind !== 'user') throw new InvalidInput(`a ${user.kind} is no user`, { hint: 'send a user' })
      const ttlMs = tokenLifeMs('invite', Number(ttlSeconds) * 1000)
      await changes.create(who, user)
      return createToken(parts, who, { user: user.metadata.name, purpose: 'invite', ttlMs })
    },
    async resetUser({ name, ttlSeconds }, context) {
      const who = await access.identify(context)
      const user = await store.find<User>('user', checkName(name))
      access.authorize(who, 'update', 'user', user)
      if (!user) throw new ResourceNotFound('user', name)
      const ttlMs = tokenLifeMs('reset', Number(ttlSeconds) * 1000)
      await localUsers.reset(name)
      return createToken(parts, who, { user: name, purpose: 'reset', ttlMs })
    },
    async changePassword({ oldPassword, newPassword, totpCode }, context) {
      const who = await access.user(context)
      await localUsers.changePassword(
        {
          user: who.identity.name,
          password: new Secret(oldPassword),
          totpCode,
          address: who.caller.address,
          totpRule: totpRuleOf(await readAuthPreference(store)),
        },
        new Secret(newPassword),
      )
      await trail.record('user.password_change', actorFields(who.caller))
      return {}
    },
    async listMfaDevices(_, context) {
      const { identity } = await access.user(context)
      return { devices: (await localUsers.devices(identity.name)).map(toWire) }
    },
    async beginAddMfaDevice({ name, totpCode }, context) {
      const user = (await access.user(context)).identity.name
      const { id, secret } = await localUsers.beginDevice(user, name, totpCode)
      return {
        enrolmentId: id,
        totpSecret: secret.reveal(),
        totpUri: totpUri({ user, cluster: clusterName, secret }),
      }
    },
    async finishAddMfaDevice({ enrolmentId, totpCode }, context) {
      const who = await access.user(context)
      const device = await localUsers.finishDevice(who.identity.name, enrolmentId, totpCode)
      await trail.record('mfa.add', { ...actorFields(who.caller), ...deviceFields(device) })
      return toWire(device)
    },
    async deleteMfaDevice({ device: nameOrId, totpCode }, context) {
      const who = await access.user(context)
      const totpRule = totpRuleOf(await readAuthPreference(store))
      const device = await localUsers.removeDevice(who.identity.name, { nameOrId, totpCode, totpRule })
      await trail.record('mfa.delete', { ...actorFields(who.caller), ...deviceFields(device) })
      return {}
    },
    async reissueCertificate({ publicKeyPem, ttlSeconds }, context) {
      const who = await access.user(context)
      const publicKey = parsePublicKey(publicKeyPem)
      const identity = await reissuedIdentity(parts, who, Number(ttlSeconds))
      const certificate = issueUserCertificate(parts.authorities.signer('user'), identity, publicKey, parts.clock())
      const { name, roles, traits, expires } = identity
      const described = { user: name, roles, traits, expires }
      await trail.record('cert.create', { ...actorFields(who.caller), cert_type: 'user', identity: described })
      return { certificatePem: certificate.pem }
    },
  }
}

async function createToken(
  { localUsers, trail, proxyAddress }: Parts,
  who: Identified,
  { user, purpose, ttlMs }: { user: string; purpose: TokenPurpose; ttlMs: number },
) {
  const { token, record } = await localUsers.createToken(user, purpose, ttlMs)
  await trail.record('reset_password_token.create', {
    ...actorFields(who.caller),
    name: user,
    ttl: `${Math.round(ttlMs / 1000)}s`,
    expires: record.expires.toISOString(),
  })
  // Without a proxy the link is written all the same: its reader sees what is missing.
  const proxy = (await proxyAddress()) ?? '<proxyhost>:3080'
  return {
    token: token.reveal(),
    user,
    url: `https://${proxy}/web/${purpose}/${token.reveal()}`,
    created: timestampFromDate(record.created),
    expires: timestampFromDate(record.expires),
  }
}

/** The same identity with another key: never longer, and without roles that were taken away since. */
async function reissuedIdentity(
  { clock }: Parts,
  { identity, user, roles }: IdentifiedUser,
  ttlSeconds: number,
): Promise<UserIdentity> {
  if (identity.disallowReissue) {
    throw new AccessDenied('this certificate may not be used to get another one', { hint: 'log in again' })
  }
  const kept = identity.roles.filter((role) => user.spec.roles.includes(role))
  if (kept.length === 0) throw new AccessDenied('none of your roles is left', { hint: 'log in again' })
  const now = clock()
  const requestedMs = ttlSeconds > 0 ? ttlSeconds * 1000 : identity.expires.getTime() - now.getTime()
  const { expires } = sessionTtl({ roles, requestedMs, parentExpires: identity.expires, now })
  return { ...identity, roles: kept, expires }
}

function toWire({ id, name, added, lastUsed }: TotpDevice) {
  return {
    id,
    name,
    type: 'TOTP',
    added: timestampFromDate(new Date(added)),
    ...(lastUsed !== undefined && { lastUsed: timestampFromDate(new Date(lastUsed)) }),
  }
}
