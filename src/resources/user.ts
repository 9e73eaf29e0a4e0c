import { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { flag, instant, strict, text, texts } from './schema.ts'

const connectorRef = strict({
  type: text.exactOptional().describe('`oidc`, `saml` or `github`.'),
  id: text.exactOptional().describe('Name of the connector.'),
  identity: text.exactOptional().describe('Who it was there.'),
})

const externalIdentity = strict({
  connector_id: text.exactOptional().describe('Name of the connector.'),
  username: text.exactOptional().describe('Name at the identity provider.'),
  samlSingleLogoutUrl: text.exactOptional().describe('Where the provider ends sessions.'),
  user_id: text.exactOptional().describe('Id at the identity provider.'),
})

const spec = strict({
  roles: texts.default([]).describe('Names of the roles that the user holds.'),
  traits: z
    .record(z.string(), texts, { error: 'expected a map of traits, each a list of texts' })
    .default({})
    .describe('Lists of values by name; templates in roles are filled from them.'),
  oidc_identities: z.array(externalIdentity).exactOptional().describe('Who the user is at OpenID Connect providers.'),
  saml_identities: z.array(externalIdentity).exactOptional().describe('Who the user is at SAML providers.'),
  github_identities: z.array(externalIdentity).exactOptional().describe('Who the user is at GitHub.'),
  created_by: strict({
    connector: connectorRef.exactOptional().describe('Connector by which the user came.'),
    time: instant.exactOptional().describe('When the user was made.'),
    user: strict({ name: text.exactOptional().describe('Name of that user.') })
      .exactOptional()
      .describe('Who made the user.'),
  })
    .exactOptional()
    .describe('Where the user comes from. Filled in by the Auth Service.'),
  expires: instant.exactOptional().describe('When the user is removed; stored as `metadata.expires` too.'),
  trusted_device_ids: texts.exactOptional().describe('Registered devices. Checked, and not acted on yet.'),
  /** Inside `spec`, as in the reference. */
  status: strict({
    is_locked: flag.exactOptional().describe('Too many failed logins.'),
    locked_message: text.exactOptional().describe('What was said then.'),
    locked_time: instant.exactOptional().describe('Since when.'),
    lock_expires: instant.exactOptional().describe('Until when.'),
  })
    .exactOptional()
    .describe('Whether logging in is blocked. Filled in by the Auth Service.'),
  /** Password hash and devices; a secret field, and the business of the auth service alone. */
  local_auth: z
    .json()
    .exactOptional()
    .describe('Password hash and second factors. A secret; it is written by the Auth Service alone.'),
})

/** Takes a user, version v2: `{ spec: { roles: ['access'], traits: { aws_role_arns: ['arn:aws:iam::…'] } } }`. @throws {InvalidResource} */
export const parseUser = resourceParser({
  kind: 'user',
  versions: ['v2', 'v1'],
  spec,
  finish: (user, fail) => {
    const { roles, traits, expires, ...rest } = user.spec
    roles.forEach((role, index) => {
      if (role.trim() === '') fail(['spec', 'roles', index], 'is empty')
    })
    const metadata = expires === undefined ? user.metadata : { ...user.metadata, expires }
    const kept = Object.entries(traits).map(([name, values]): [string, string[]] => [name, [...new Set(values)]])
    return {
      ...user,
      version: 'v2',
      metadata,
      spec: { roles: [...new Set(roles)], traits: Object.fromEntries(kept), ...(expires ? { expires } : {}), ...rest },
    }
  },
})

/** A person, or the user behind a bot. */
export type User = ReturnType<typeof parseUser>
