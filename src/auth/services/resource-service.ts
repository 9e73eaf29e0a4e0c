import type { ServiceImpl } from '@connectrpc/connect'
import type { Identified, IdentifiedUser } from '#auth/access.ts'
import { checkName, fromDocument, kindOf, toDocument, type WireDocument } from '#auth/documents.ts'
import type { AuthParts } from '#auth/parts.ts'
import { mayMemberSee, memberView, withoutSecrets } from '#auth/visibility.ts'
import { watchResources } from '#auth/watch.ts'
import { AccessDenied } from '#errors.ts'
import type { ResourceService } from '#gen/access/v1/access_pb.ts'
import { visibleApps } from '#rbac/decide-app.ts'
import type { App } from '#resources/app.ts'
import type { AppServer } from '#resources/app-server.ts'
import type { Resource } from '#resources/resource.ts'
import { ResourceNotFound } from '#storage/resource-errors.ts'

/** Page of a list when the caller names none, and the most. */
const PAGE = 1000
/** A single document is smaller than this, so each page holds at least one. */
const MAX_PAGE_BYTES = 3 * 1024 * 1024

/** Resources by kind and name: for people by the rules of their roles, for members by what their system role is shown. */
export function resourceService({
  store,
  access,
  changes,
  clock,
}: Pick<AuthParts, 'store' | 'access' | 'changes' | 'clock'>): ServiceImpl<typeof ResourceService> {
  return {
    async get({ kind, name, withSecrets }, context) {
      const who = await access.identify(context)
      kindOf(kind)
      authorizeRead(who, kind, withSecrets)
      const resource = await store.find(kind, checkName(name))
      const shown = resource && show(who, resource, withSecrets)
      if (!shown) throw new ResourceNotFound(kind, name)
      // Whoever named a token knows its name.
      return toDocument({ ...shown, metadata: { ...shown.metadata, name } })
    },
    async list({ kind, withSecrets, limit, after }, context) {
      const who = await access.identify(context)
      kindOf(kind)
      if (who.kind === 'user') access.authorize(who, 'list', kind)
      authorizeRead(who, kind, withSecrets)
      const size = limit > 0 ? Math.min(limit, PAGE) : PAGE
      const page = await store.list(kind, { limit: size, ...(after !== '' && { after }) })
      const documents: WireDocument[] = []
      let bytes = 0
      for (const [index, resource] of page.entries()) {
        const shown = show(who, resource, withSecrets)
        const document = shown && toDocument(shown)
        bytes += Buffer.byteLength(document?.json ?? '')
        // The rest comes with the next page: a message holds 4 MiB.
        if (bytes > MAX_PAGE_BYTES) return { documents, next: page[index - 1]?.metadata.name ?? '' }
        if (document) documents.push(document)
      }
      return { documents, next: page.length === size ? (page.at(-1)?.metadata.name ?? '') : '' }
    },
    async create({ document }, context) {
      return toDocument(withoutSecretsButName(await changes.create(await writer(context), fromDocument(document))))
    },
    async update({ document }, context) {
      return toDocument(withoutSecretsButName(await changes.update(await writer(context), fromDocument(document))))
    },
    async upsert({ document, confirm }, context) {
      const { resource, created } = await changes.upsert(await writer(context), fromDocument(document), confirm)
      return { document: toDocument(withoutSecretsButName(resource)), created }
    },
    async delete({ kind, name }, context) {
      const who = await writer(context)
      kindOf(kind)
      await changes.delete(who, kind, checkName(name))
      return {}
    },
    async *watch({ kinds, revision }, context) {
      const who = await access.identify(context)
      for (const kind of kinds) {
        kindOf(kind)
        if (who.kind === 'user') access.authorize(who, 'list', kind)
        authorizeRead(who, kind, kind === 'token')
      }
      const isFiltered = who.kind === 'user'
      yield* watchResources({
        store,
        kinds,
        // Without the memory of what was shown, a delete would tell a name that never was.
        revision: revision === '' || isFiltered ? undefined : revision,
        signal: context.signal,
        clock,
        show: (resource) => show(who, resource, false),
        stillAllowed: () => access.checkStream(who),
      })
    },
  }

  /** Members announce what they serve by heartbeats and write nothing else. */
  async function writer(context: Parameters<typeof access.identify>[0]): Promise<Identified> {
    const who = await access.identify(context)
    if (who.kind !== 'member') return who
    throw new AccessDenied('members of the cluster do not change resources', { hint: 'use the identity of a person' })
  }

  function authorizeRead(who: Identified, kind: string, withSecrets: boolean): void {
    if (who.kind !== 'member') {
      access.authorize(who, withSecrets ? 'read' : 'readnosecrets', kind)
      return
    }
    if (!withSecrets && mayMemberSee(who.identity.roles, kind)) return
    throw new AccessDenied(`access denied to perform action "read" on "${kind}"`, {
      hint: 'a member sees only what it decides with',
    })
  }

  function show(who: Identified, resource: Resource, withSecrets: boolean): Resource | undefined {
    if (who.kind === 'member') return memberView(who.identity.roles, resource)
    if (who.kind === 'user' && !isVisible(who, resource)) return undefined
    const verb = withSecrets ? 'read' : 'readnosecrets'
    if (!access.mayDo(who, verb, resource.kind, resource)) return undefined
    return withSecrets ? resource : withoutSecrets(resource)
  }
}

/** Everyone may list apps, and sees those that the labels of their roles allow. */
function isVisible({ roles }: IdentifiedUser, resource: Resource): boolean {
  switch (resource.kind) {
    case 'app':
      return visibleApps(roles, [resource as App]).length === 1
    case 'app_server':
      return visibleApps(roles, [(resource as AppServer).spec.app]).length === 1
    default:
      return true
  }
}

/** What its writer gets back: they know the name. */
function withoutSecretsButName(resource: Resource): Resource {
  const shown = withoutSecrets(resource)
  return { ...shown, metadata: { ...shown.metadata, name: resource.metadata.name } }
}
