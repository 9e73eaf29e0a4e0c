import { createClient } from '@connectrpc/connect'
import { readIdentityFile } from '#client/identity-file.ts'
import { ResourceService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { findKind } from '#resources/kinds.ts'
import { parseDocuments } from '#resources/parse.ts'
import { createRpcClient } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import type { Address } from './address.ts'
import { dialTcp } from './dial-tcp.ts'

export interface ApplyOptions {
  /** YAML or JSON documents. */
  readonly text: string
  /** Name of the file, for messages. */
  readonly source: string
  readonly auth: Address
  /** Identity of the local administrator. */
  readonly identityFile: string
  readonly signal: AbortSignal
  readonly log: Log
}

/**
 * Creates or replaces the resources of a file, in order, as the local administrator. All of them are checked before the
 * first is written.
 *
 * @throws {InvalidResource}
 */
export async function applyResources({ text, source, auth, identityFile, signal, log }: ApplyOptions): Promise<void> {
  const resources = parseDocuments(text, source)
  const { certificatePem, privateKeyPem, hostAuthorities, identity } = await readIdentityFile(identityFile)
  await using connection = createRpcClient({
    dial: (signal) => dialTcp(auth, signal),
    serverName: authServerName(identity.cluster),
    hostAuthorities,
    certificate: { cert: certificatePem, key: privateKeyPem },
  })
  const service = createClient(ResourceService, connection.transport)
  for (const resource of resources) {
    const { created } = await service.upsert(
      { document: { json: JSON.stringify(resource) }, confirm: true },
      { signal },
    )
    // The name of a join token is its secret.
    const name = resource.kind === 'token' ? {} : { name: resource.metadata.name }
    log.info(created ? 'resource was created' : 'resource was updated', { kind: resource.kind, ...name, source })
    for (const warning of findKind(resource.kind)?.warnings(resource) ?? []) log.warn(warning)
  }
}
