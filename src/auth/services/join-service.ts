import { randomUUID } from 'node:crypto'
import { isIP } from 'node:net'
import type { ServiceImpl } from '@connectrpc/connect'
import { actorFields } from '#auth/audit-trail.ts'
import { checkName, fromDocument } from '#auth/documents.ts'
import { announce, knownApps } from '#auth/heartbeats.ts'
import { checkServes, type HostGrant } from '#auth/host-grants.ts'
import type { AuthParts } from '#auth/parts.ts'
import { createRefusalBudget } from '#auth/refusal-budget.ts'
import { maskTokenName } from '#auth/visibility.ts'
import { issueHostCertificate, issueServedNameCertificate, type ServedName } from '#ca/issue-host.ts'
import { AccessDenied, InvalidInput, LimitExceeded } from '#errors.ts'
import type { JoinRequest, JoinService } from '#gen/access/v1/access_pb.ts'
import type { HostIdentity, SystemRole } from '#identity/identity.ts'
import { JoinRefused, type Verify } from '#join/method.ts'
import { verifyToken } from '#join/token/verify.ts'
import { parsePublicKey } from '#pki/key.ts'
import type { JoinToken } from '#resources/join-token.ts'
import { type Caller, callerOf } from '#rpc/caller.ts'
import { parseServerName, servedNameLabel, serverName, tunnelServerName } from '#tls-routing/names.ts'

/** Life of an instance certificate: long, because it only renews; locks stop it earlier. */
export const INSTANCE_TTL_MS = 365 * 24 * 3_600_000
/** Life of a served name: agents renew it when half is over, and survive an outage of the other half. */
const SERVED_NAME_TTL_MS = 24 * 3_600_000
const MAX_DOCUMENTS = 2000
/** Recorded one by one; valid joins are not limited. */
const REFUSALS_PER_MINUTE = 100

/** Join methods that are verified here. */
const methods: ReadonlyMap<string, Verify> = new Map([['token', verifyToken]])
/** System roles that a machine can join with. */
const joinable: readonly SystemRole[] = ['App', 'Kube', 'Proxy', 'Discovery']

type Parts = Pick<AuthParts, 'clusterName' | 'store' | 'live' | 'authorities' | 'access' | 'trail' | 'hosts' | 'clock'>

/** How machines become members, stay so, and say what they serve. */
export function joinService(parts: Parts): ServiceImpl<typeof JoinService> {
  const { clusterName, store, authorities, access, trail, hosts, clock } = parts

  const refusals = createRefusalBudget({ perMinute: REFUSALS_PER_MINUTE, clock })
  const certify = (identity: HostIdentity, publicKeyPem: string) => ({
    certificatePem: issueHostCertificate(authorities.signer('host'), identity, parsePublicKey(publicKeyPem), clock())
      .pem,
    hostId: identity.hostId,
    clusterName,
    hostAuthoritiesPem: authorities.certificates('host').join(''),
  })

  return {
    async join(request, context) {
      const caller = callerOf(context)
      parsePublicKey(request.publicKeyPem)
      const { token, role } = await verify(caller, request)
      const hostId = await chooseHostId(parts, caller, request.hostId)
      const identity: HostIdentity = {
        kind: 'host',
        hostId,
        nodeName: checkNodeName(request.nodeName),
        roles: [role],
        cluster: clusterName,
        expires: new Date(clock().getTime() + INSTANCE_TTL_MS),
      }
      const grant = {
        nodeName: identity.nodeName,
        method: request.method,
        tokenName: visibleTokenName(request),
        joined: clock().toISOString(),
        ...(token.spec.serves && { serves: copyOf(token.spec.serves) }),
      }
      await hosts.put(hostId, role, grant, identity.expires)
      const response = certify(identity, request.publicKeyPem)
      await trail.record('instance.join', { ...joinFields(caller, request), host_id: hostId, success: true })
      return response
    },
    async renew({ publicKeyPem }, context) {
      const { identity } = await access.member(context, ...joinable)
      const expires = new Date(clock().getTime() + INSTANCE_TTL_MS)
      for (const role of identity.roles) {
        const grant = await hosts.find(identity.hostId, role)
        if (grant) await hosts.put(identity.hostId, role, grant, expires)
      }
      return certify({ ...identity, expires }, publicKeyPem)
    },
    async issueServedName({ kind, name, publicKeyPem }, context) {
      const { identity } = await access.member(context, 'App', 'Kube', 'Proxy')
      const served = await servedName(parts, identity, kind, name)
      const certificate = issueServedNameCertificate(authorities.signer('host'), {
        ...served,
        publicKey: parsePublicKey(publicKeyPem),
        now: clock(),
        ttlMs: SERVED_NAME_TTL_MS,
      })
      return { certificatePem: certificate.pem, serverName: served.serverName }
    },
    async heartbeat({ documents }, context) {
      const { identity } = await access.member(context, ...joinable)
      if (documents.length > MAX_DOCUMENTS) {
        throw new LimitExceeded(`more than ${MAX_DOCUMENTS} documents at once`, { hint: 'serve with more agents' })
      }
      const grant = await hosts.find(identity.hostId, 'App')
      await announce({ ...parts, identity, grant, documents: documents.map(fromDocument) })
      return {}
    },
  }

  async function verify(caller: Caller, request: JoinRequest) {
    const { token, method, role } = request
    try {
      const check = methods.get(method)
      if (!check) throw new JoinRefused('wrong join method')
      const context = { findToken: (name: string) => store.find<JoinToken>('token', name), now: clock() }
      const verified = await check({ token, method, role }, context)
      if (!joinable.includes(verified.role)) throw new JoinRefused('unknown role')
      return verified
    } catch (error) {
      if (error instanceof JoinRefused) await recordRefusal(caller, request, error)
      throw error
    }
  }

  /** Only the audit log learns the reason. */
  async function recordRefusal(caller: Caller, request: JoinRequest, { reason }: JoinRefused): Promise<void> {
    const fields = { ...joinFields(caller, request), success: false, error: reason }
    switch (refusals.spend()) {
      case 'record':
        return trail.record('instance.join', fields)
      case 'record-limit':
        return trail.record('instance.join', {
          ...fields,
          code: 'TJ002L',
          message: 'further refusals of this minute are not recorded',
        })
      case 'drop':
        throw new LimitExceeded('too many joins were refused', { hint: 'wait a minute and try again' })
    }
  }
}

function joinFields(caller: Caller, request: JoinRequest): Readonly<Record<string, unknown>> {
  return {
    ...actorFields({ kind: 'anonymous', address: caller.address }),
    node_name: request.nodeName.slice(0, 256),
    role: request.role.slice(0, 64),
    method: request.method.slice(0, 64),
    token_name: visibleTokenName(request),
  }
}

const visibleTokenName = ({ method, token }: JoinRequest): string =>
  (method === 'token' ? maskTokenName(token) : token).slice(0, 512)

/**
 * The id that the machine asks for, unless it is another's: with a token alone nobody becomes a host that exists, in
 * whatever role, because tunnels and the audit log know hosts by their id. A machine that joins in a second role shows
 * the certificate of its first; one that lost it gets a new id.
 */
async function chooseHostId({ hosts, store }: Parts, caller: Caller, asked: string): Promise<string> {
  if (asked === '') return randomUUID()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(asked)) {
    throw new InvalidInput('a host id is a UUID in lower case', { hint: 'leave it out: one is given' })
  }
  if (caller.kind === 'member' && caller.identity.hostId === asked) return asked
  const known = await Promise.all(joinable.map((role) => hosts.find(asked, role)))
  const isKnown = known.some((grant) => grant !== undefined) || (await store.find('auth_server', asked)) !== undefined
  return isKnown ? randomUUID() : asked
}

/** Records are plain data of their own. */
function copyOf({ names, labels }: NonNullable<JoinToken['spec']['serves']>): NonNullable<HostGrant['serves']> {
  return { ...(names && { names: [...names] }), ...(labels && { labels: { ...labels } }) }
}

function checkNodeName(name: string): string {
  if (Buffer.byteLength(name) <= 256 && /^[\p{L}\p{N}._ -]+$/u.test(name)) return name
  throw new InvalidInput('a node name has 1 to 256 bytes of letters, digits, ".", "_", "-" and spaces', {
    hint: 'set teleport.nodename',
  })
}

/** What stands in the certificate of a served name, once the member may serve it. @throws {AccessDenied} */
async function servedName(
  { authorities, clusterName, hosts, live }: Parts,
  { hostId, roles }: HostIdentity,
  kind: string,
  name: string,
): Promise<Pick<ServedName, 'serverName' | 'extraDnsNames' | 'ipAddresses'>> {
  switch (kind) {
    case 'app':
    case 'kube': {
      const role = kind === 'app' ? 'App' : 'Kube'
      const grant = await hosts.find(hostId, role)
      const labels = kind === 'app' && grant?.serves?.labels ? knownApps(live).get(name) : undefined
      checkServes(grant, roles, { role, name: checkName(name), labels: labels ?? [] })
      const label = servedNameLabel(authorities.servedNameSecret, kind, name)
      return { serverName: serverName(kind, label, clusterName) }
    }
    case 'tunnel':
      requireProxy(roles)
      return { serverName: tunnelServerName(clusterName) }
    case 'web':
      requireProxy(roles)
      return webName(name, clusterName)
    default:
      throw new InvalidInput(`nothing of kind ${JSON.stringify(kind.slice(0, 40))} is served`, {
        hint: 'use "app", "kube", "tunnel" or "web"',
      })
  }
}

function requireProxy(roles: readonly SystemRole[]): void {
  if (roles.includes('Proxy')) return
  throw new AccessDenied('only a proxy serves this name', { hint: 'join with a token for the role Proxy' })
}

/** A public name of the proxy with the apps below it; never one that stands for something inside the cluster. */
function webName(name: string, clusterName: string): Pick<ServedName, 'serverName' | 'extraDnsNames' | 'ipAddresses'> {
  if (isIP(name) !== 0) return { serverName: clusterName, ipAddresses: [name] }
  const lower = name.toLowerCase()
  const isName = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(lower)
  const isInternal =
    parseServerName(lower, clusterName) !== undefined ||
    ['app', 'kube', 'rpc', 'tunnel'].some((kind) => lower === `${kind}.${clusterName.toLowerCase()}`)
  if (!isName || lower.length > 253 || isInternal) {
    throw new InvalidInput(`${JSON.stringify(name.slice(0, 80))} cannot be the public name of a proxy`, {
      hint: 'set proxy_service.public_addr to a host name or an IP address',
    })
  }
  return { serverName: lower, extraDnsNames: lower.includes('.') ? [`*.${lower}`] : [] }
}
