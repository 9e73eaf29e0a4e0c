/** What this process does in its own Auth Service as the local administrator. */
import { randomBytes } from 'node:crypto'
import { type Client, createClient } from '@connectrpc/connect'
import type { Auth } from '#auth/server.ts'
import { readIdentityFile } from '#client/identity-file.ts'
import type { Clock } from '#clock.ts'
import { ResourceService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { findKind } from '#resources/kinds.ts'
import { parseDocuments, parseResource } from '#resources/parse.ts'
import { createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import { dialTcp, reachable } from './dial-tcp.ts'

export interface ApplyOptions {
  /** YAML or JSON documents. */
  readonly text: string
  /** Name of the file, for messages. */
  readonly source: string
  readonly auth: Auth
  readonly signal: AbortSignal
  readonly log: Log
}

/**
 * Creates or replaces the resources of a file, in order. All of them are checked before the first is written.
 * @throws {InvalidResource}
 */
export async function applyResources({ text, source, auth, signal, log }: ApplyOptions): Promise<void> {
  const resources = parseDocuments(text, source)
  await using connection = await connectAsAdmin(auth)
  const service: Client<typeof ResourceService> = createClient(ResourceService, connection.transport)
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

export interface LocalTokenOptions {
  readonly auth: Auth
  readonly role: 'App'
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Long enough for the start of the process that it is made for. */
const LOCAL_TOKEN_MS = 10 * 60_000

/** A join token for another part of this process: nobody should have to make one for a machine that is the cluster. */
export async function createLocalToken({ auth, role, clock, signal }: LocalTokenOptions): Promise<string> {
  const name = randomBytes(16).toString('hex')
  const expires = new Date(clock().getTime() + LOCAL_TOKEN_MS).toISOString()
  const token = parseResource({ kind: 'token', version: 'v2', metadata: { name, expires }, spec: { roles: [role] } })
  await using connection = await connectAsAdmin(auth)
  const service = createClient(ResourceService, connection.transport)
  await service.create({ document: { json: JSON.stringify(token) } }, { signal })
  return name
}

async function connectAsAdmin(auth: Auth): Promise<RpcConnection> {
  const file = await readIdentityFile(auth.adminIdentityFile)
  return createRpcClient({
    dial: (signal) => dialTcp({ host: reachable(auth.host), port: auth.port }, signal),
    serverName: authServerName(auth.clusterName),
    hostAuthorities: file.hostAuthorities,
    certificate: { cert: file.certificatePem, key: file.privateKeyPem },
  })
}
