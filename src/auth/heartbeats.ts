import { AccessDenied } from '#errors.ts'
import type { HostIdentity, SystemRole } from '#identity/identity.ts'
import { labelsOf } from '#rbac/decide-app.ts'
import type { App } from '#resources/app.ts'
import { type AppServer, parseAppServer } from '#resources/app-server.ts'
import { type ProxyMember, parseProxy } from '#resources/member.ts'
import type { Resource } from '#resources/resource.ts'
import { servedNameLabel, serverName } from '#tls-routing/names.ts'
import { checkServes, type HostGrant } from './host-grants.ts'
import type { AuthParts } from './parts.ts'

/** What is not announced again within this time is gone. */
export const ANNOUNCEMENT_TTL_MS = 10 * 60_000
/** An unchanged announcement is written again only when so much of its time is over, to spare everyone who watches. */
const REFRESH_AFTER_MS = 2 * 60_000

/** What a member may announce, by kind of document. */
const announcedBy: Readonly<Record<string, SystemRole>> = { app_server: 'App', proxy: 'Proxy' }

export interface Announcement extends Pick<AuthParts, 'store' | 'live' | 'authorities' | 'clusterName' | 'clock'> {
  readonly identity: HostIdentity
  readonly grant: HostGrant | undefined
  readonly documents: readonly Resource[]
}

/**
 * Makes what a member announces the whole truth about it: what it names is there for ten minutes, what it does not name
 * any more is gone. Host id, name and server name are ours to say, whatever the documents hold.
 * @throws {AccessDenied} for what the member may not serve; then nothing is changed
 */
export async function announce(announcement: Announcement): Promise<void> {
  const { store, live, identity, grant, clock, documents } = announcement
  const known = grant?.serves?.labels && documents.length > 0 ? knownApps(live, identity.hostId) : undefined
  const complete = documents.map((document) => completeAnnouncement(announcement, document, known))
  for (const kind of Object.keys(announcedBy)) {
    const present = await announcedDocuments(announcement, kind, identity.hostId)
    const named = complete.filter((document) => document.kind === kind)
    const old = new Map(present.map((resource) => [resource.metadata.name, resource]))
    const due = named.filter((document) => isDue(old.get(document.metadata.name), document, clock()))
    // Together, because the storage makes many writes durable at once.
    const written = await Promise.all(due.map((document) => store.upsert(document)))
    for (const { resource } of written) await live.known(kind, resource.metadata.name, resource.metadata.revision)

    const names = new Set(named.map(({ metadata }) => metadata.name))
    for (const { metadata } of present.filter(({ metadata }) => !names.has(metadata.name))) {
      await removeQuietly(store, kind, metadata.name)
      await live.known(kind, metadata.name)
    }
  }
}

/** Labels of the apps of each name: of dynamic ones, and of those that hosts announced. @param without host that is left out */
export function knownApps(live: AuthParts['live'], without?: string): KnownApps {
  const known = new Map<string, Labels[]>()
  const servers = live.list<AppServer>('app_server').filter(({ spec }) => spec.host_id !== without)
  for (const app of [...live.list<App>('app'), ...servers.map(({ spec }) => spec.app)]) {
    known.set(app.metadata.name, [...(known.get(app.metadata.name) ?? []), labelsOf(app)])
  }
  return known
}

type Labels = Readonly<Record<string, string>>
type KnownApps = ReadonlyMap<string, readonly Labels[]>

function completeAnnouncement(announcement: Announcement, document: Resource, known?: KnownApps): Resource {
  const { identity, grant, authorities, clusterName, clock } = announcement
  const role = Object.hasOwn(announcedBy, document.kind) ? announcedBy[document.kind] : undefined
  if (!role || !identity.roles.includes(role)) {
    throw new AccessDenied(`a member with the role ${identity.roles.join(', ')} does not announce "${document.kind}"`, {
      hint: 'join with a token for the role that serves it',
    })
  }
  const { hostId, nodeName } = identity
  const expires = new Date(clock().getTime() + ANNOUNCEMENT_TTL_MS).toISOString()
  const labels = document.metadata.labels
  if (document.kind === 'proxy') {
    const { spec } = document as ProxyMember
    return parseProxy({
      ...document,
      metadata: { name: hostId, expires, ...(labels && { labels }) },
      spec: { ...spec, host_id: hostId, hostname: nodeName },
    })
  }
  const { spec } = document as AppServer
  const { name } = spec.app.metadata
  checkServes(grant, identity.roles, { role, name, labels: [labelsOf(spec.app), ...(known?.get(name) ?? [])] })
  return parseAppServer({
    ...document,
    metadata: { name: announcedName(hostId, name), expires, ...(labels && { labels }) },
    spec: {
      ...spec,
      host_id: hostId,
      hostname: nodeName,
      server_name: serverName('app', servedNameLabel(authorities.servedNameSecret, 'app', name), clusterName),
    },
  })
}

/** Several hosts may serve one app. */
const announcedName = (hostId: string, name: string): string => `${hostId}/${name}`

async function announcedDocuments(
  { store, live }: Pick<Announcement, 'store' | 'live'>,
  kind: string,
  hostId: string,
): Promise<readonly Resource[]> {
  if (kind === 'app_server') return live.list<AppServer>(kind).filter(({ spec }) => spec.host_id === hostId)
  const own = await store.find(kind, hostId)
  return own ? [own] : []
}

function isDue(old: Resource | undefined, document: Resource, now: Date): boolean {
  if (!old) return true
  const left = Date.parse(old.metadata.expires ?? '') - now.getTime()
  return !(left > ANNOUNCEMENT_TTL_MS - REFRESH_AFTER_MS) || !isSame(old, document)
}

function isSame(old: Resource, document: Resource): boolean {
  const content = ({ metadata: { expires: _, revision: __, ...metadata }, ...rest }: Resource): string =>
    JSON.stringify({ ...rest, metadata })
  return content(old) === content(document)
}

/** It may have expired in the same moment. */
async function removeQuietly(store: AuthParts['store'], kind: string, name: string): Promise<void> {
  if (await store.find(kind, name)) await store.delete(kind, name).catch(() => {})
}
