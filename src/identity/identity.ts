import type { Traits } from '#traits/traits.ts'

/** What a verified certificate says about its holder. Encoded by `encode.ts`, decoded by `decode.ts`. */
export type Identity = UserIdentity | HostIdentity

/** A person or a bot, signed by the user CA. */
export interface UserIdentity {
  readonly kind: 'user'
  /** User name; a bot's is `bot-NAME`. */
  readonly name: string
  readonly roles: readonly string[]
  readonly traits: Traits
  /** What the certificate may be used for; left out: anything its holder may do. */
  readonly usage?: readonly CertificateUsage[]
  /** Cluster that issued the certificate. */
  readonly cluster: string
  /** Instant after which the certificate says nothing. */
  readonly expires: Date
  readonly routeToApp?: RouteToApp
  readonly routeToKube?: RouteToKube
  /** Allowed cloud principals at the time of issue, for display alone: decisions read the live roles. */
  readonly awsRoleArns: readonly string[]
  readonly azureIdentities: readonly string[]
  readonly kubeUsers: readonly string[]
  readonly kubeGroups: readonly string[]
  readonly mfaDeviceId?: string
  readonly loginIp?: string
  readonly userType: 'local' | 'sso'
  readonly impersonator?: string
  readonly accessRequests: readonly string[]
  readonly botName?: string
  readonly botInstanceId?: string
  readonly isRenewable: boolean
  readonly generation?: number
  readonly disallowReissue: boolean
}

/** A member of the cluster, signed by the host CA. */
export interface HostIdentity {
  readonly kind: 'host'
  /** Host UUID. */
  readonly hostId: string
  readonly nodeName: string
  readonly roles: readonly SystemRole[]
  readonly cluster: string
  readonly expires: Date
}

export type CertificateUsage = 'apps' | 'kube'

/** `Admin` is the local identity of the Auth host that `tctl` uses there; it can not be joined as. */
export const systemRoles = ['Auth', 'Proxy', 'App', 'Kube', 'Discovery', 'Bot', 'Instance', 'Admin'] as const
export type SystemRole = (typeof systemRoles)[number]

/** The one app, and the one cloud identity there, that an app certificate opens. */
export interface RouteToApp {
  readonly name: string
  readonly sessionId: string
  readonly publicAddr: string
  readonly cluster: string
  /** SNI of the blind route to the agents that serve the app: `LABEL.app.CLUSTER`. */
  readonly serverName: string
  readonly awsRoleArn?: string
  readonly azureIdentity?: string
}

interface RouteToKube {
  readonly name: string
  readonly serverName: string
}
