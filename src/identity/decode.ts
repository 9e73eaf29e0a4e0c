/** Certificate subject to identity. The certificate is verified already: this reads, and refuses what is ambiguous. */
import { type Name, oids, type ParsedCertificate } from '#pki/certificate.ts'
import type { Traits } from '#traits/traits.ts'
import { attributes, InvalidIdentity, USAGE_PREFIX } from './attributes.ts'
import type { CertificateUsage, HostIdentity, Identity, RouteToApp, SystemRole, UserIdentity } from './identity.ts'
import { systemRoles } from './identity.ts'

/**
 * What a verified certificate says about its holder. Unknown attributes are ignored.
 * @param issuerKind the authority that signed it: the subject alone never decides between user and member
 * @throws {InvalidIdentity} `missing identity username`, `missing identity groups`, …
 */
export function decodeIdentity(certificate: ParsedCertificate, issuerKind: 'user'): UserIdentity
export function decodeIdentity(certificate: ParsedCertificate, issuerKind: 'host'): HostIdentity
export function decodeIdentity(certificate: ParsedCertificate, issuerKind: 'user' | 'host'): Identity
export function decodeIdentity(certificate: ParsedCertificate, issuerKind: 'user' | 'host'): Identity {
  const subject = new Subject(certificate.subject)
  return issuerKind === 'user' ? decodeUser(subject, certificate.notAfter) : decodeHost(subject, certificate.notAfter)
}

// ----------------------------------------------------------------------------------------------- private

/** Attributes by type, read with their multiplicity: two values where one belongs are refused, not chosen from. */
class Subject {
  readonly #values = new Map<string, string[]>()

  constructor(name: Name) {
    for (const [oid, value] of name) {
      const values = this.#values.get(oid)
      if (values === undefined) this.#values.set(oid, [value])
      else values.push(value)
    }
  }

  many(oid: string): readonly string[] {
    return this.#values.get(oid) ?? []
  }

  one(oid: string): string | undefined {
    const [value, ...more] = this.many(oid)
    if (more.length > 0) throw new InvalidIdentity(`identity attribute ${oid} occurs more than once`)
    return value === '' ? undefined : value
  }
}

function decodeUser(subject: Subject, expires: Date): UserIdentity {
  const name = subject.one(oids.CN)
  if (name === undefined) throw new InvalidIdentity('missing identity username')
  const roles = subject.many(oids.O)
  if (roles.length === 0) throw new InvalidIdentity('missing identity groups')
  const generation = decodeGeneration(subject.one(attributes.generation))
  return {
    kind: 'user',
    name,
    roles,
    traits: decodeTraits(subject.one(oids.postalCode)),
    ...decodeUsage(subject.many(oids.OU)),
    cluster: subject.one(attributes.issuingCluster) ?? '',
    expires,
    ...decodeRouteToApp(subject),
    ...decodeRouteToKube(subject),
    awsRoleArns: subject.many(attributes.awsRoleArns),
    azureIdentities: subject.many(attributes.azureIdentities),
    kubeUsers: subject.many(attributes.kubeUsers),
    kubeGroups: subject.many(attributes.kubeGroups),
    ...present('mfaDeviceId', subject.one(attributes.mfaDeviceId)),
    ...present('loginIp', subject.one(attributes.loginIp)),
    userType: decodeUserType(subject.one(attributes.userType)),
    ...present('impersonator', subject.one(attributes.impersonator)),
    accessRequests: subject.many(attributes.accessRequests),
    ...present('botName', subject.one(attributes.botName)),
    ...present('botInstanceId', subject.one(attributes.botInstanceId)),
    isRenewable: subject.one(attributes.renewable) === 'true',
    ...present('generation', generation),
    disallowReissue: subject.one(attributes.disallowReissue) === 'true',
  }
}

function decodeHost(subject: Subject, expires: Date): HostIdentity {
  const commonName = subject.one(oids.CN)
  if (commonName === undefined) throw new InvalidIdentity('missing identity username')
  const dot = commonName.indexOf('.')
  if (dot < 1 || dot === commonName.length - 1) {
    throw new InvalidIdentity('the common name of a member is not its host id and its cluster')
  }
  const organization = subject.one(oids.O)
  const listed = organization === 'Instance' ? subject.many(attributes.systemRoles) : []
  const names = listed.length > 0 ? listed : organization === undefined ? [] : [organization]
  const roles = names.filter((name): name is SystemRole => systemRoles.some((role) => role === name))
  if (roles.length === 0) throw new InvalidIdentity('missing identity groups')
  return {
    kind: 'host',
    hostId: commonName.slice(0, dot),
    nodeName: subject.one(attributes.nodeName) ?? '',
    roles,
    cluster: commonName.slice(dot + 1),
    expires,
  }
}

function decodeTraits(json: string | undefined): Traits {
  if (json === undefined) return {}
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new InvalidIdentity('the traits of the identity are not JSON')
  }
  if (!isTraits(value)) throw new InvalidIdentity('the traits of the identity are not lists of text')
  return value
}

function isTraits(value: unknown): value is Traits {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((list) => Array.isArray(list) && list.every((item) => typeof item === 'string'))
  )
}

/** A restriction to a use that is not known here still restricts: to nothing. */
function decodeUsage(units: readonly string[]): { readonly usage?: readonly CertificateUsage[] } {
  const usages = units.filter((unit) => unit.startsWith(USAGE_PREFIX)).map((unit) => unit.slice(USAGE_PREFIX.length))
  if (usages.length === 0) return {}
  return { usage: usages.filter((usage): usage is CertificateUsage => usage === 'apps' || usage === 'kube') }
}

function decodeRouteToApp(subject: Subject): { readonly routeToApp?: RouteToApp } {
  const name = subject.one(attributes.appName)
  const sessionId = subject.one(attributes.appSessionId)
  const publicAddr = subject.one(attributes.appPublicAddr)
  const cluster = subject.one(attributes.appCluster)
  const serverName = subject.one(attributes.appServerName)
  const awsRoleArn = subject.one(attributes.awsRoleArn)
  const azureIdentity = subject.one(attributes.azureIdentity)
  const all = [name, sessionId, publicAddr, cluster, serverName, awsRoleArn, azureIdentity]
  if (all.every((value) => value === undefined)) return {}
  if (
    name === undefined ||
    sessionId === undefined ||
    publicAddr === undefined ||
    cluster === undefined ||
    serverName === undefined
  ) {
    throw new InvalidIdentity('identity is missing application routing metadata')
  }
  return {
    routeToApp: {
      name,
      sessionId,
      publicAddr,
      cluster,
      serverName,
      ...present('awsRoleArn', awsRoleArn),
      ...present('azureIdentity', azureIdentity),
    },
  }
}

function decodeRouteToKube(subject: Subject): Pick<UserIdentity, 'routeToKube'> {
  const name = subject.one(attributes.kubeCluster)
  const serverName = subject.one(attributes.kubeServerName)
  if (name === undefined && serverName === undefined) return {}
  if (name === undefined || serverName === undefined) {
    throw new InvalidIdentity('identity is missing Kubernetes routing metadata')
  }
  return { routeToKube: { name, serverName } }
}

function decodeUserType(text: string | undefined): 'local' | 'sso' {
  if (text === undefined || text === 'local') return 'local'
  if (text === 'sso') return 'sso'
  throw new InvalidIdentity('the identity has an unknown user type')
}

function decodeGeneration(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^(0|[1-9]\d{0,14})$/.test(text)) throw new InvalidIdentity('the generation of the identity is not a number')
  return Number(text)
}

/** The field where there is a value, nothing where there is none. */
function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  // The type of a computed key is lost: it is K.
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V })
}
