/** What a proxy is told. The daemon fills it from its configuration file; every field has its final value. */

export interface ProxyConfig {
  /** Address of the interface, such as `0.0.0.0`. */
  readonly listenHost: string
  /** 3080 unless configured; 0: any free port. */
  readonly listenPort: number
  /** How others reach it; the port of the balancer in front, if there is one. */
  readonly publicAddr: PublicAddress
  /** Further names under which it is reached: its web certificate covers them too. */
  readonly otherNames?: readonly string[]
  /** For people's eyes, in heartbeats. */
  readonly nodeName: string
  /** Certificates of its own for the web; empty: one that the host authority signs. */
  readonly keypairs: readonly KeypairFiles[]
  /** How often the files are read again; 0 or left out: never. */
  readonly keypairsReloadMs?: number
  /** Keeps the copy of the cluster state, so that the proxy can start while Auth is away. Left out: keeps none. */
  readonly snapshotFile?: string
  readonly limits: ProxyLimits
}

/** `proxy.example.com` and 443. */
export interface PublicAddress {
  readonly host: string
  readonly port: number
}

/** Paths of PEM files. `certFile` holds the chain, leaf first. */
export interface KeypairFiles {
  readonly keyFile: string
  readonly certFile: string
}

/** Each is for one client address. */
export interface ProxyLimits {
  /** Connections at one time. */
  readonly connections: number
  /** Connections that were cut in the middle: over this rate new ones are closed. */
  readonly aborts: RateLimit
  /** Login, invites and what else guesses could be made with. */
  readonly normal: RateLimit
  /** What is cheap and public. */
  readonly high: RateLimit
}

/** `perMinute` on average; up to `burst` at once. */
export interface RateLimit {
  readonly perMinute: number
  readonly burst: number
}

export const defaultProxyLimits: ProxyLimits = {
  connections: 15_000,
  aborts: { perMinute: 600, burst: 1_000 },
  normal: { perMinute: 20, burst: 40 },
  high: { perMinute: 120, burst: 480 },
}
