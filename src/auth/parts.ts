import type { AuditLog } from '#audit/log.ts'
import type { LocalUsers } from '#auth/login/local-users.ts'
import type { Authorities } from '#ca/authorities.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import type { Access } from './access.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { HostGrants } from './host-grants.ts'
import type { LiveResources } from './live-resources.ts'
import type { RemovalLocks } from './removal-locks.ts'
import type { ResourceChanges } from './resource-changes.ts'

/** What the services are made of. `server.ts` puts it together, and each service takes the few that it needs. */
export interface AuthParts {
  readonly clusterName: string
  readonly store: ResourceStore
  /** Locks, roles and apps in memory. */
  readonly live: LiveResources
  readonly authorities: Authorities
  readonly auditLog: AuditLog
  readonly trail: AuditTrail
  readonly access: Access
  readonly changes: ResourceChanges
  readonly locks: RemovalLocks
  readonly localUsers: LocalUsers
  readonly hosts: HostGrants
  /** Public address of the proxy, `HOST:PORT`; `undefined` while none is known. */
  readonly proxyAddress: () => Promise<string | undefined>
  readonly clock: Clock
  readonly log: Log
}
