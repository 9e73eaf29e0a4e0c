/** Options of all roles of an identity in one value: for each, the stricter one wins. */
import type { RoleSet } from './role-set.ts'

export interface EffectiveOptions {
  /** 0: none. */
  readonly clientIdleTimeoutMs: number
  readonly disconnectExpiredCert: boolean
  readonly lockingMode: 'best_effort' | 'strict'
  readonly pinSourceIp: boolean
}

/** The cluster's own settings, which roles can only tighten. */
export interface ClusterDefaults {
  readonly clientIdleTimeoutMs?: number
  readonly disconnectExpiredCert?: boolean
  readonly lockingMode?: 'best_effort' | 'strict'
}

export function effectiveOptions({ roles }: RoleSet, cluster: ClusterDefaults = {}): EffectiveOptions {
  const options = roles.map(({ options }) => options)
  const idle = [cluster.clientIdleTimeoutMs ?? 0, ...options.map(({ clientIdleTimeoutMs }) => clientIdleTimeoutMs)]
  const modes = options.flatMap(({ lock }) => (lock ? [lock] : []))
  return {
    clientIdleTimeoutMs: smallestButZero(idle),
    disconnectExpiredCert:
      (cluster.disconnectExpiredCert ?? false) || options.some(({ disconnectExpiredCert }) => disconnectExpiredCert),
    lockingMode: modes.includes('strict') ? 'strict' : (modes.at(-1) ?? cluster.lockingMode ?? 'best_effort'),
    pinSourceIp: options.some(({ pinSourceIp }) => pinSourceIp),
  }
}

function smallestButZero(values: readonly number[]): number {
  const set = values.filter((value) => value > 0)
  return set.length === 0 ? 0 : Math.min(...set)
}
