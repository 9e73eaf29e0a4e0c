/** What a cluster has from its first start on, and what each start brings in line with the configuration file. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { InvalidInput } from '#errors.ts'
import type { Log } from '#log.ts'
import { type JoinToken, parseJoinToken } from '#resources/join-token.ts'
import { findKind } from '#resources/kinds.ts'
import { presetRoles } from '#resources/preset-roles.ts'
import type { Backend } from '#storage/backend.ts'
import { ResourceExists } from '#storage/resource-errors.ts'
import type { ResourceStore } from '#storage/resource-store.ts'
import type { AuthConfig } from './auth-config.ts'
import { openRecords } from './records.ts'
import { originLabel } from './resource-rules.ts'
import { maskTokenName } from './visibility.ts'

/** Name of the cluster, and the host id of its Auth Service. */
export interface ClusterFacts {
  readonly name: string
  readonly hostId: string
}

const factsSchema = z.object({ name: z.string(), hostId: z.string() })

/**
 * The facts that never change: made at the first start, read at every other.
 * @param proposed what the configuration and this machine would say
 * @throws {InvalidInput} for a name that no cluster may have
 */
export async function settleCluster(backend: Backend, proposed: ClusterFacts, log: Log): Promise<ClusterFacts> {
  const records = openRecords(backend, 'cluster', factsSchema)
  const stored = (await records.find('facts'))?.value
  if (stored) {
    if (stored.name !== proposed.name) {
      log.warn('the name of a cluster is fixed at its first start: the configured one has no effect', {
        name: stored.name,
        configured: proposed.name,
      })
    }
    return stored
  }
  // It stands in server names, which are host names (RFC 1123 §2.1).
  if (
    !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(proposed.name) ||
    proposed.name.length > 150
  ) {
    throw new InvalidInput(`${JSON.stringify(proposed.name)} cannot be the name of a cluster`, {
      hint: 'set auth_service.cluster_name to lower-case letters, digits, "-" and ".", such as "example.com"',
    })
  }
  await records.put('facts', { ...proposed }, { ifRevision: 'absent' })
  return proposed
}

const presetsSchema = z.object({ created: z.array(z.string()) })

/** Makes the preset roles once. One that an administrator deleted stays deleted. */
export async function createPresets(backend: Backend, store: ResourceStore): Promise<void> {
  const records = openRecords(backend, 'presets', presetsSchema)
  const created = (await records.find('roles'))?.value.created ?? []
  for (const role of presetRoles.filter(({ metadata }) => !created.includes(metadata.name))) {
    await store.create(role).catch((error: unknown) => {
      if (!(error instanceof ResourceExists)) throw error
    })
  }
  const names = [...new Set([...created, ...presetRoles.map(({ metadata }) => metadata.name)])]
  if (names.length > created.length) await records.put('roles', { created: names })
}

const settingKinds = ['cluster_auth_preference', 'cluster_networking_config', 'session_recording_config'] as const

/**
 * Settings that the file names are the file's: written at every start and marked. Others get their defaults once,
 * and go back to them when the file no longer names them.
 */
export async function applySettings(store: ResourceStore, { settings }: AuthConfig): Promise<void> {
  for (const kind of settingKinds) {
    const { singletonName: name, parse } = findKind(kind) ?? {}
    if (!name || !parse) throw new Error(`no kind ${kind}`)
    const old = await store.find(kind, name)
    const spec = settings[kind]
    if (spec !== undefined) await store.upsert(parse(document(kind, name, 'config-file', spec)))
    else if (!old || old.metadata.labels?.[originLabel] === 'config-file') {
      await store.upsert(parse(document(kind, name, 'defaults', {})))
    }
  }
}

const document = (kind: string, name: string, origin: string, spec: unknown): object => ({
  kind,
  metadata: { name, labels: { [originLabel]: origin } },
  spec,
})

/** Makes the static tokens of the file, and removes those that it no longer names. @throws {InvalidInput} */
export async function applyStaticTokens(store: ResourceStore, { tokens }: AuthConfig): Promise<void> {
  const wanted = (await Promise.all(tokens.map(parseStaticToken))).flat()
  for (const token of wanted) await store.upsert(token)
  for (const { metadata } of await store.list<JoinToken>('token')) {
    const isStatic = metadata.labels?.[originLabel] === 'config-file'
    if (isStatic && !wanted.some((token) => token.metadata.name === metadata.name)) {
      await store.delete('token', metadata.name)
    }
  }
}

/** `app,proxy:VALUE`, or the path of a file with one value in each line. */
async function parseStaticToken(text: string): Promise<readonly JoinToken[]> {
  const colon = text.indexOf(':')
  const roles = text.slice(0, colon).split(',')
  const value = text.slice(colon + 1).trim()
  if (colon < 1 || value === '') {
    throw new InvalidInput(`invalid static token spec: ${JSON.stringify(maskTokenName(text))}`, {
      hint: 'write auth_service.tokens as "role1,role2:value"',
    })
  }
  const values = value.startsWith('/') ? (await readTokens(value)).split('\n') : [value]
  return values
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .map((name) => staticToken(name, roles))
}

function staticToken(name: string, roles: readonly string[]): JoinToken {
  try {
    return parseJoinToken({
      kind: 'token',
      metadata: { name, labels: { [originLabel]: 'config-file' } },
      spec: { roles, join_method: 'token' },
    })
  } catch {
    // Without the cause: it names the token, which is the secret.
    throw new InvalidInput(`invalid static token spec: "${roles.join(',')}:${maskTokenName(name)}"`, {
      hint: 'write auth_service.tokens as "role1,role2:value", with roles such as app and proxy',
    })
  }
}

async function readTokens(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new InvalidInput(`the token file ${path} cannot be read`, {
      hint: 'correct auth_service.tokens, or let this process read the file',
      cause,
    })
  }
}
