import type { LockoutSettings } from '#auth/login/lockout.ts'

/** What the Auth Service needs of the configuration file. Every default of the file is set already. */
export interface AuthConfig {
  /** Fixed at the first start; a later change has no effect on a cluster that exists. Left out: the host name. */
  readonly clusterName?: string
  /** `0.0.0.0` and 3025, for example; port 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Where others reach this service, as `HOST` or `HOST:PORT`, the best one first. */
  readonly publicAddrs: readonly string[]
  /** Static tokens, as `ROLE1,ROLE2:VALUE`. A value that begins with `/` is a file with one value in each line. */
  readonly tokens: readonly string[]
  /** Public address of the proxy, `HOST:PORT`, for links while no proxy has announced itself. */
  readonly proxyPublicAddr?: string
  /**
   * `spec` of the settings that the file owns, by kind: these cannot be changed in the cluster without confirmation.
   * A kind that the file says nothing about is left out.
   */
  readonly settings: {
    readonly cluster_auth_preference?: Readonly<Record<string, unknown>>
    readonly cluster_networking_config?: Readonly<Record<string, unknown>>
    readonly session_recording_config?: Readonly<Record<string, unknown>>
  }
  /** Left out: five failed logins in 30 minutes lock for 30 minutes. */
  readonly lockout?: LockoutSettings
  /** Directory of the state; left out: `backend` in the data directory. */
  readonly storagePath?: string
}
