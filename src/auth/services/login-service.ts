import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import type { ServiceImpl } from '@connectrpc/connect'
import { deviceFields } from '#auth/login/credentials.ts'
import { InvalidCredentials, type LoginAttempt } from '#auth/login/local-users.ts'
import { totpRuleOf } from '#auth/login/second-factor.ts'
import { totpUri } from '#auth/login/totp.ts'
import type { AuthParts } from '#auth/parts.ts'
import { issueUserCertificate } from '#ca/issue-user.ts'
import { AccessDenied, AccessError } from '#errors.ts'
import type { LoginService } from '#gen/access/v1/access_pb.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { parsePublicKey } from '#pki/key.ts'
import { cloudPrincipals } from '#rbac/principals.ts'
import { sessionTtl } from '#rbac/session-ttl.ts'
import { durationMs } from '#resources/schema.ts'
import type { User } from '#resources/user.ts'
import { Secret } from '#secret.ts'
import { readAuthPreference } from './cluster-service.ts'

type Parts = Pick<AuthParts, 'clusterName' | 'store' | 'authorities' | 'access' | 'trail' | 'localUsers' | 'clock'>

/** Logins and invites, for the Proxy alone: it says from which address the client came. */
export function loginService(parts: Parts): ServiceImpl<typeof LoginService> {
  const { clusterName, store, authorities, access, trail, localUsers, clock } = parts
  return {
    async beginLogin({ user, password, clientAddress }, context) {
      await access.member(context, 'Proxy')
      const attempt = await attemptOf(parts, { user, password, totpCode: '', clientAddress })
      return recordingFailure(parts, attempt, () => localUsers.begin(attempt))
    },
    async finishLogin(request, context) {
      await access.member(context, 'Proxy')
      const publicKey = parsePublicKey(request.publicKeyPem)
      const attempt = await attemptOf(parts, request)
      const { identity, device } = await recordingFailure(parts, attempt, async () => {
        const { device } = await localUsers.finish(attempt)
        return { identity: await loginIdentity(parts, attempt, Number(request.ttlSeconds)), device }
      })
      const certificate = issueUserCertificate(authorities.signer('user'), identity, publicKey, clock())
      const actor = { user: identity.name, user_kind: 1, 'addr.remote': attempt.address }
      const { name, roles, traits, expires } = identity
      const described = { user: name, roles, traits, expires }
      await trail.recordAll(
        [
          'user.login',
          { ...actor, method: 'local', success: true, ...(device && { mfa_device: deviceFields(device) }) },
        ],
        ['cert.create', { ...actor, cert_type: 'user', identity: described }],
      )
      return {
        user: name,
        certificatePem: certificate.pem,
        clusterName,
        hostAuthoritiesPem: authorities.certificates('host').join(''),
      }
    },
    async getUserToken({ token }, context) {
      await access.member(context, 'Proxy')
      const { user, purpose, expires, totpSecret } = await localUsers.getToken(new Secret(token))
      const rule = totpRuleOf(await readAuthPreference(store))
      return {
        user,
        purpose,
        expires: timestampFromDate(expires),
        totpRequired: rule === 'required',
        ...(rule !== 'off' && {
          totpSecret: totpSecret.reveal(),
          totpUri: totpUri({ user, cluster: clusterName, secret: totpSecret }),
        }),
      }
    },
    async redeemUserToken({ token, password, totpCode, deviceName, clientAddress }, context) {
      await access.member(context, 'Proxy')
      const { record, device } = await localUsers.redeem({
        token: new Secret(token),
        password: new Secret(password),
        totpCode,
        deviceName,
        totpRule: totpRuleOf(await readAuthPreference(store)),
      })
      const actor = { user: record.user, user_kind: 1, 'addr.remote': clientAddress }
      await trail.recordAll(
        ['user.password_change', actor],
        ...(device ? [['mfa.add', { ...actor, ...deviceFields(device) }] as const] : []),
      )
      return { user: record.user }
    },
  }
}

async function attemptOf(
  { store }: Parts,
  request: { user: string; password: string; totpCode: string; clientAddress: string },
): Promise<LoginAttempt> {
  const preference = await readAuthPreference(store)
  if (!preference.spec.allow_local_auth) {
    throw new AccessDenied('logins with a password are turned off in this cluster', {
      hint: 'log in with your identity provider',
    })
  }
  const { user, password, totpCode, clientAddress } = request
  if (user === '' || Buffer.byteLength(user) > 512 || Buffer.byteLength(password) > 4096) throw new InvalidCredentials()
  return { user, password: new Secret(password), totpCode, address: clientAddress, totpRule: totpRuleOf(preference) }
}

async function recordingFailure<T>({ trail }: Parts, attempt: LoginAttempt, login: () => Promise<T>): Promise<T> {
  try {
    return await login()
  } catch (error) {
    if (error instanceof AccessError) {
      await trail.record('user.login', {
        user: attempt.user.slice(0, 512),
        user_kind: 1,
        method: 'local',
        success: false,
        error: error.message,
        'addr.remote': attempt.address,
      })
    }
    throw error
  }
}

/** What the certificate of a login says. @throws {AccessDenied} for a user who is locked or has no roles */
async function loginIdentity(
  parts: Parts,
  { user: name, address }: LoginAttempt,
  ttlSeconds: number,
): Promise<UserIdentity> {
  const { clusterName, store, access, clock } = parts
  const user = await store.find<User>('user', name)
  if (!user) throw new InvalidCredentials() // removed in this moment
  const { roles, traits, status } = user.spec
  if (status?.is_locked) {
    throw new AccessDenied(status.locked_message ?? 'the user is locked', { hint: 'ask an administrator' })
  }
  if (roles.length === 0) {
    throw new AccessDenied('the user has no roles', { hint: 'ask an administrator for a role' })
  }
  const roleSet = access.roleSet(roles, traits, name)
  const { expires, ttlMs } = sessionTtl({
    roles: roleSet,
    requestedMs: ttlSeconds * 1000,
    defaultMs: durationMs((await readAuthPreference(store)).spec.default_session_ttl),
    now: clock(),
  })
  const identity: UserIdentity = {
    kind: 'user',
    name,
    roles,
    traits,
    cluster: clusterName,
    expires,
    awsRoleArns: cloudPrincipals(roleSet, 'aws', ttlMs),
    azureIdentities: cloudPrincipals(roleSet, 'azure', ttlMs),
    kubeUsers: [],
    kubeGroups: [],
    ...(address !== '' && { loginIp: address }),
    userType: 'local',
    accessRequests: [],
    isRenewable: false,
    disallowReissue: false,
  }
  access.checkLocks(identity)
  return identity
}
