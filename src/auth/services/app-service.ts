import { randomUUID } from 'node:crypto'
import type { ServiceImpl } from '@connectrpc/connect'
import type { IdentifiedUser } from '#auth/access.ts'
import { actorFields } from '#auth/audit-trail.ts'
import { checkName, toDocument } from '#auth/documents.ts'
import type { AuthParts } from '#auth/parts.ts'
import { issueAppCertificate } from '#ca/issue-app.ts'
import { AccessDenied, InvalidInput, NotFound } from '#errors.ts'
import type { AppService, StartAppSessionRequest } from '#gen/access/v1/access_pb.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { parsePublicKey } from '#pki/key.ts'
import { partitionMismatch } from '#rbac/aws-partition.ts'
import { type AccessState, awsRoleArnsFor, azureIdentitiesFor, decideApp, visibleApps } from '#rbac/decide-app.ts'
import { type Decision, explain } from '#rbac/decision.ts'
import { sessionTtl } from '#rbac/session-ttl.ts'
import type { App } from '#resources/app.ts'
import type { AppServer } from '#resources/app-server.ts'
import { servedNameLabel, serverName } from '#tls-routing/names.ts'
import { readAuthPreference } from './cluster-service.ts'

type Parts = Pick<
  AuthParts,
  'clusterName' | 'store' | 'live' | 'authorities' | 'access' | 'trail' | 'locks' | 'proxyAddress' | 'clock'
>

/** What a user may open, and short certificates that open one app as one cloud principal. */
export function appService(parts: Parts): ServiceImpl<typeof AppService> {
  const { access, locks, trail } = parts
  return {
    async listApps({ name }, context) {
      const who = await access.user(context)
      const served = servedApps(parts, name)
      const visible = visibleApps(who.roles, served)
      return {
        apps: visible.map((app) => ({
          app: toDocument(app),
          awsRoleArns: [...awsRoleArnsFor(who.roles, app)],
          azureIdentities: [...azureIdentitiesFor(who.roles, app)],
        })),
      }
    },
    async startAppSession(request, context) {
      const who = await access.user(context)
      const publicKey = parsePublicKey(request.publicKeyPem)
      const app = findApp(parts, who, checkName(request.app))
      const state = await accessState(parts)
      const decision = decideApp(who.roles, {
        app,
        state,
        ...(request.awsRoleArn !== '' && { awsRoleArn: request.awsRoleArn }),
        ...(request.azureIdentity !== '' && { azureIdentity: request.azureIdentity }),
      })
      const route = await routeTo(parts, app, request)
      const fields = { ...actorFields(who.caller), ...appFields(app, route) }
      if (!decision.allowed) {
        const error = refusal(app, decision, request)
        await trail.record('app.session.start', { ...fields, success: false, error: error.message })
        throw error
      }
      const mismatch = partitionMismatch(app, request.awsRoleArn)
      if (mismatch) {
        await trail.record('app.session.start', { ...fields, success: false, error: mismatch.message })
        throw new AccessDenied(mismatch.message, { hint: mismatch.hint })
      }
      const identity = appIdentity(parts, who, { app, route, ttlSeconds: Number(request.ttlSeconds) })
      const certificate = issueAppCertificate(parts.authorities.signer('user'), identity, publicKey, parts.clock())
      const described = { user: identity.name, roles: identity.roles, expires: identity.expires, route_to_app: route }
      await trail.recordAll(
        ['cert.create', { ...actorFields(who.caller), cert_type: 'user', identity: described }],
        ['app.session.start', { ...fields, success: true, expires: identity.expires }],
      )
      return { certificatePem: certificate.pem, sessionId: route.sessionId, serverName: route.serverName }
    },
    async endAppSession({ sessionId }, context) {
      const who = await access.user(context)
      if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(sessionId)) {
        throw new InvalidInput('that is no id of an app session', { hint: 'run "tsh apps logout" instead' })
      }
      const actor = actorFields(who.caller)
      // With the user in the target nobody can end the session of somebody else.
      const target = { user: who.identity.name, app_session: sessionId }
      await locks.stop(target, 'the app session was ended', actor, who.identity.expires)
      await trail.record('app.session.end', { ...actor, sid: sessionId })
      return {}
    },
  }
}

/** Apps that an agent serves at present, each name and address once, in the order of their names. */
function servedApps({ live }: Pick<Parts, 'live'>, name = ''): readonly App[] {
  const servers = live.list<AppServer>('app_server')
  const apps = new Map<string, App>()
  for (const { spec } of servers) {
    const { app } = spec
    if (name !== '' && app.metadata.name !== name) continue
    apps.set(`${app.metadata.name}\0${app.spec.public_addr ?? ''}\0${JSON.stringify(app.metadata.labels)}`, app)
  }
  return [...apps.values()].sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1))
}

/** An app that the caller may know of; any other does not exist for them. @throws {NotFound} */
function findApp(parts: Parts, { roles }: IdentifiedUser, name: string): App {
  const [app] = visibleApps(roles, servedApps(parts, name))
  if (app) return app
  throw new NotFound(`app ${JSON.stringify(name)} not found, use \`tsh apps ls\` to see registered apps`, {
    hint: 'if it is not listed there, no agent serves it, or none of your roles has allow.app_labels that match it',
  })
}

/** A login is no proof of presence for one session, so nothing is proved here yet. */
async function accessState({ store }: Parts): Promise<AccessState> {
  const { spec } = await readAuthPreference(store)
  const isRequired = spec.require_session_mfa !== undefined && spec.require_session_mfa !== 'no'
  return { mfaRequired: isRequired ? 'always' : 'per-role', mfaVerified: false, deviceVerified: false }
}

async function routeTo(
  { authorities, clusterName, proxyAddress }: Parts,
  app: App,
  { awsRoleArn, azureIdentity }: Pick<StartAppSessionRequest, 'awsRoleArn' | 'azureIdentity'>,
): Promise<RouteToApp> {
  const { name } = app.metadata
  const label = servedNameLabel(authorities.servedNameSecret, 'app', name)
  const [proxyHost] = ((await proxyAddress()) ?? clusterName).split(':')
  return {
    name,
    sessionId: randomUUID(),
    publicAddr: app.spec.public_addr ?? `${name}.${proxyHost}`,
    cluster: clusterName,
    serverName: serverName('app', label, clusterName),
    ...(awsRoleArn !== '' && { awsRoleArn }),
    ...(azureIdentity !== '' && { azureIdentity }),
  }
}

function appIdentity(
  { clock }: Parts,
  { identity, roles }: IdentifiedUser,
  { app, route, ttlSeconds }: { app: App; route: RouteToApp; ttlSeconds: number },
): UserIdentity & { readonly routeToApp: RouteToApp } {
  const now = clock()
  const left = identity.expires.getTime() - now.getTime()
  const requestedMs = ttlSeconds > 0 ? ttlSeconds * 1000 : left
  return {
    ...identity,
    expires: sessionTtl({ roles, requestedMs, parentExpires: identity.expires, now }).expires,
    routeToApp: route,
    awsRoleArns: awsRoleArnsFor(roles, app),
    azureIdentities: azureIdentitiesFor(roles, app),
  }
}

function appFields(app: App, route: RouteToApp): Readonly<Record<string, unknown>> {
  return {
    sid: route.sessionId,
    app_name: app.metadata.name,
    app_uri: app.spec.uri,
    app_public_addr: route.publicAddr,
    public_addr: route.publicAddr,
    app_labels: app.metadata.labels ?? {},
    ...(route.awsRoleArn !== undefined && { aws_role_arn: route.awsRoleArn }),
    ...(route.azureIdentity !== undefined && { azure_identity: route.azureIdentity }),
  }
}

function refusal(app: App, decision: Decision, { awsRoleArn, azureIdentity }: StartAppSessionRequest): AccessDenied {
  const as = [awsRoleArn, azureIdentity].filter((principal) => principal !== '').join(' and ')
  const what = `app ${JSON.stringify(app.metadata.name)}${as === '' ? '' : ` as ${as}`}`
  return new AccessDenied(`access to ${what} is denied: ${explain(decision)}`, {
    hint: 'run "tsh apps ls" and "tsh apps login" to see what you may use, or ask an administrator for a role',
    cause: decision,
  })
}
