import { z } from 'zod'
import { AccessDenied } from '#errors.ts'
import type { SystemRole } from '#identity/identity.ts'
import { compilePattern } from '#rbac/match.ts'
import type { Backend } from '#storage/backend.ts'
import { openRecords } from './records.ts'

const grantSchema = z.object({
  nodeName: z.string(),
  method: z.string(),
  /** Masked when it is a secret. */
  tokenName: z.string(),
  /** RFC 3339. */
  joined: z.string(),
  /** What the join token allowed to serve; left out: any name. */
  serves: z
    .object({
      names: z.array(z.string()).optional(),
      labels: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
})
/** How a host got a system role, and what it may serve with it. */
export type HostGrant = z.infer<typeof grantSchema>

/** What is known of each host that joined, by host id and system role. It outlives the token, not the certificate. */
export interface HostGrants {
  find(hostId: string, role: SystemRole): Promise<HostGrant | undefined>
  /** @param expires end of the certificate */
  put(hostId: string, role: SystemRole, grant: HostGrant, expires: Date): Promise<void>
}

export function openHostGrants(backend: Backend): HostGrants {
  const records = openRecords(backend, 'hosts', grantSchema)
  return {
    find: async (hostId, role) => (await records.find(`${hostId}/${role}`))?.value,
    put: (hostId, role, grant, expires) => records.put(`${hostId}/${role}`, grant, { expires }),
  }
}

/** Something that a host wants to serve. */
export interface Served {
  readonly role: SystemRole
  readonly name: string
  /** Of everything that has this name: what the host announces, and what the cluster knows by that name already. */
  readonly labels: readonly Readonly<Record<string, string>>[]
}

/**
 * May this host serve this? Its join token may have named patterns of names, of which one must fit, and labels, all of
 * which must be there: else whoever holds a token could pose as any app. A name that stands for something without these
 * labels already is none that a host with such a token may take.
 * @throws {AccessDenied}
 */
export function checkServes(grant: HostGrant | undefined, roles: readonly SystemRole[], served: Served): void {
  const refuse = (why: string): AccessDenied =>
    new AccessDenied(`this host may not serve "${served.name}": ${why}`, {
      hint: 'join with a token whose spec.serves allows it',
    })
  if (!roles.includes(served.role)) throw refuse(`it does not have the system role ${served.role}`)
  if (!grant) throw refuse('it is not known here')
  const { names, labels } = grant.serves ?? {}
  if (names && !names.some((pattern) => compilePattern(pattern)(served.name))) {
    throw refuse('its join token does not allow this name')
  }
  for (const known of served.labels) {
    const missing = Object.entries(labels ?? {}).find(([key, value]) => known[key] !== value)
    if (missing) throw refuse(`its join token asks for the label "${missing[0]}: ${missing[1]}"`)
  }
}
