/** The table of kinds: what `tctl get` calls them, who parses them, and which of their fields are secrets. */
import { parseApp } from './app.ts'
import { appServerSchema, parseAppServer, readAppServer } from './app-server.ts'
import { parseCertAuthority } from './cert-authority.ts'
import { parseAuthPreference, parseNetworkingConfig, parseRecordingConfig } from './cluster-config.ts'
import type { DocumentSchema } from './envelope.ts'
import type { DocumentSource } from './invalid-resource.ts'
import { parseJoinToken } from './join-token.ts'
import { parseLock } from './lock.ts'
import { parseAuthServer, parseProxy } from './member.ts'
import { withoutUnknownFields } from './read-stored.ts'
import type { Resource } from './resource.ts'
import { parseRole, readRole, roleSchema, roleWarnings } from './role.ts'
import { parseUser } from './user.ts'

/** One kind of resource. */
export interface KindDefinition {
  /** As it stands in documents: `app_server`. */
  readonly kind: string
  readonly plural: string
  readonly aliases: readonly string[]
  /** There is one of it, under this name. */
  readonly singletonName?: string
  /** Takes what someone wants to store. Strict: an unknown field is an error. @throws {InvalidResource} */
  parse(document: unknown, source?: DocumentSource): Resource
  /**
   * Takes what is stored already, perhaps by a newer version. As `parse`, but a role that cannot be understood comes
   * back without its allow and with its deny, and most other kinds without the fields that are not known. Users and
   * join tokens stay strict: what is not understood there might be a limit. @throws {InvalidResource}
   */
  read(document: unknown): Resource
  /** What is accepted and does nothing here, one sentence each. */
  warnings(resource: Resource): readonly string[]
  /**
   * Where its secrets are, `*` for any item: `['spec.active_keys.tls.*.key']`. `metadata.name` is among them for a join
   * token whose method is `token`.
   */
  readonly secretFields: readonly string[]
  /** What its documents may hold. */
  readonly schema: DocumentSchema
}

type Described = Pick<KindDefinition, 'kind' | 'parse' | 'schema'> & Partial<KindDefinition>

function kind({ aliases = [], secretFields = [], ...rest }: Described): KindDefinition {
  return {
    plural: `${rest.kind}s`,
    aliases,
    secretFields,
    read: (document) => rest.parse(document),
    warnings: () => [],
    ...rest,
  }
}

/** All kinds that can be stored, in the order in which `tctl get all` prints them. */
export const kinds: readonly KindDefinition[] = [
  kind({
    kind: 'cluster_auth_preference',
    plural: 'cluster_auth_preference',
    aliases: ['cap', 'cluster-auth-preference'],
    singletonName: 'cluster-auth-preference',
    parse: parseAuthPreference,
    schema: parseAuthPreference.schema,
    read: withoutUnknownFields(parseAuthPreference),
  }),
  kind({
    kind: 'cluster_networking_config',
    plural: 'cluster_networking_config',
    aliases: ['netconfig', 'networking_config', 'cluster-networking-config'],
    singletonName: 'cluster-networking-config',
    parse: parseNetworkingConfig,
    schema: parseNetworkingConfig.schema,
    read: withoutUnknownFields(parseNetworkingConfig),
  }),
  kind({
    kind: 'session_recording_config',
    plural: 'session_recording_config',
    aliases: ['recconfig', 'recording_config', 'session-recording-config'],
    singletonName: 'session-recording-config',
    parse: parseRecordingConfig,
    schema: parseRecordingConfig.schema,
    read: withoutUnknownFields(parseRecordingConfig),
  }),
  kind({
    kind: 'cert_authority',
    plural: 'cert_authorities',
    aliases: ['ca', 'cas'],
    parse: parseCertAuthority,
    schema: parseCertAuthority.schema,
    read: withoutUnknownFields(parseCertAuthority),
    secretFields: [
      'spec.active_keys.tls.*.key',
      'spec.active_keys.jwt.*.private_key',
      'spec.additional_trusted_keys.tls.*.key',
      'spec.additional_trusted_keys.jwt.*.private_key',
      'spec.served_name_secret',
    ],
  }),
  kind({ kind: 'role', parse: parseRole, schema: roleSchema, read: readRole, warnings: roleWarnings }),
  kind({ kind: 'user', parse: parseUser, schema: parseUser.schema, secretFields: ['spec.local_auth'] }),
  kind({
    kind: 'token',
    parse: parseJoinToken,
    schema: parseJoinToken.schema,
    secretFields: [
      'metadata.name',
      'spec.bound_keypair.onboarding.registration_secret',
      'status.bound_keypair.registration_secret',
    ],
  }),
  kind({ kind: 'app', parse: parseApp, schema: parseApp.schema, read: withoutUnknownFields(parseApp) }),
  kind({
    kind: 'app_server',
    aliases: ['appserver'],
    parse: parseAppServer,
    schema: appServerSchema,
    read: readAppServer,
  }),
  kind({ kind: 'lock', parse: parseLock, schema: parseLock.schema, read: withoutUnknownFields(parseLock) }),
  kind({
    kind: 'proxy',
    plural: 'proxies',
    parse: parseProxy,
    schema: parseProxy.schema,
    read: withoutUnknownFields(parseProxy),
  }),
  kind({
    kind: 'auth_server',
    aliases: ['auth_servers'],
    parse: parseAuthServer,
    schema: parseAuthServer.schema,
    read: withoutUnknownFields(parseAuthServer),
  }),
]

const byName = new Map(
  kinds.flatMap((definition) =>
    [definition.kind, definition.plural, ...definition.aliases].map((name) => [name, definition] as const),
  ),
)

/** The kind that a person means by `roles`, `Role` or `cap`. */
export function findKind(name: string): KindDefinition | undefined {
  return byName.get(name.toLowerCase())
}
