import { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { flag, instant, strict, text, texts } from './schema.ts'

const connectorRef = strict({
  type: text.exactOptional(),
  id: text.exactOptional(),
  identity: text.exactOptional(),
})

const externalIdentity = strict({
  connector_id: text.exactOptional(),
  username: text.exactOptional(),
  samlSingleLogoutUrl: text.exactOptional(),
  user_id: text.exactOptional(),
})

const spec = strict({
  roles: texts.default([]),
  traits: z.record(z.string(), texts, { error: 'expected a map of traits, each a list of texts' }).default({}),
  oidc_identities: z.array(externalIdentity).exactOptional(),
  saml_identities: z.array(externalIdentity).exactOptional(),
  github_identities: z.array(externalIdentity).exactOptional(),
  created_by: strict({
    connector: connectorRef.exactOptional(),
    time: instant.exactOptional(),
    user: strict({ name: text.exactOptional() }).exactOptional(),
  }).exactOptional(),
  expires: instant.exactOptional(),
  trusted_device_ids: texts.exactOptional(),
  /** Inside `spec`, as in the reference. */
  status: strict({
    is_locked: flag.exactOptional(),
    locked_message: text.exactOptional(),
    locked_time: instant.exactOptional(),
    lock_expires: instant.exactOptional(),
  }).exactOptional(),
  /** Password hash and devices; a secret field, and the business of the auth service alone. */
  local_auth: z.json().exactOptional(),
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
