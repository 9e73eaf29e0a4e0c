import { type Client, createClient } from '@connectrpc/connect'
import { type Document, ResourceService } from '#gen/access/v1/access_pb.ts'
import { findKind } from '#resources/kinds.ts'
import type { Resource } from '#resources/resource.ts'
import type { RpcConnection } from '#rpc/client.ts'

/** Resources of the cluster as values. */
export interface Resources {
  readonly service: Client<typeof ResourceService>
  /** @throws {NotFound} */
  get(kind: string, name: string, withSecrets?: boolean): Promise<Resource>
  list(kind: string, withSecrets?: boolean): Promise<readonly Resource[]>
  create(resource: Resource): Promise<Resource>
  /** Conditional when the resource has a revision. @throws {Conflict} */
  update(resource: Resource): Promise<Resource>
}

/** Most that one page of a list holds. */
const PAGE = 500

/** The resources behind a connection. */
export function openResources(rpc: RpcConnection): Resources {
  const service = createClient(ResourceService, rpc.transport)
  return {
    service,
    get: async (kind, name, withSecrets = false) => decode(await service.get({ kind, name, withSecrets })),
    async list(kind, withSecrets = false) {
      const found: Resource[] = []
      let after = ''
      do {
        const page = await service.list({ kind, withSecrets, limit: PAGE, after })
        found.push(...page.documents.map(decode))
        after = page.next
      } while (after !== '')
      return found
    },
    create: async (resource) => decode(await service.create({ document: encode(resource) })),
    update: async (resource) => decode(await service.update({ document: encode(resource) })),
  }
}

/** A resource as it travels. */
export function encode(resource: Resource): { json: string } {
  return { json: JSON.stringify(resource) }
}

/**
 * A resource as the cluster sent it. What a newer cluster sends may have fields that we do not know:
 * it is shown as it is, and checked again only when it is written.
 */
export function decode(document: Document | undefined): Resource {
  return JSON.parse(document?.json ?? '{}') as Resource // the cluster stores nothing else
}

/** What is accepted in a resource and does nothing here. */
export function warningsOf(resource: Resource): readonly string[] {
  return findKind(resource.kind)?.warnings(resource) ?? []
}
