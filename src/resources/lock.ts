import type { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { instant, strict, text } from './schema.ts'

const target = strict({
  user: text.exactOptional().describe('Name of a user.'),
  role: text.exactOptional().describe('Name of a role: whoever holds it.'),
  login: text.exactOptional().describe('Login name in certificates.'),
  mfa_device: text.exactOptional().describe('Id of a second factor.'),
  windows_desktop: text.exactOptional().describe('Name of a Windows desktop.'),
  access_request: text.exactOptional().describe('Id of an access request.'),
  device: text.exactOptional().describe('Id of a registered device.'),
  server_id: text.exactOptional().describe('Host id of an agent or proxy.'),
  bot_instance_id: text.exactOptional().describe('Id of one instance of a bot.'),
  join_token: text.exactOptional().describe('Name of a join token: whoever joined with it.'),
  /** Older spelling of `server_id`. */
  node: text.exactOptional().describe('Older spelling of `server_id`.'),
  /** Session of one app certificate, as `tsh apps logout` ends it. */
  app_session: text.exactOptional().describe('Session of one app certificate, as `tsh apps logout` ends it.'),
})

/** Whom a lock stops: every field that is set must fit. */
export type LockTarget = Readonly<Omit<z.output<typeof target>, 'node'>>

/** Takes a lock, version v2: `{ spec: { target: { user: 'alice' }, message: 'call us' } }`. @throws {InvalidResource} */
export const parseLock = resourceParser({
  kind: 'lock',
  versions: ['v2'],
  spec: strict({
    target: target
      .default({})
      .describe('Whom the lock stops: every field that is set must fit. At least one is needed.'),
    message: text.exactOptional().describe('Told to whoever is stopped.'),
    expires: instant.exactOptional().describe('When the lock ends; left out: when it is removed.'),
    created_at: instant.exactOptional().describe('Filled in by the Auth Service.'),
    created_by: text.exactOptional().describe('Filled in by the Auth Service.'),
  }),
  finish: (lock, fail) => {
    const { node, ...named } = lock.spec.target
    const fields = Object.entries({ ...(node ? { server_id: node } : {}), ...named }).filter(
      ([, value]) => value !== '',
    )
    if (fields.length === 0) {
      fail(['spec', 'target'], 'at least one target field must be set', 'set for example spec.target.user')
    }
    // An expired lock is of no use to anyone: the store drops it at the instant that its spec names.
    const expires = lock.spec.expires ?? lock.metadata.expires
    const metadata = expires === undefined ? lock.metadata : { ...lock.metadata, expires }
    return {
      ...lock,
      metadata,
      spec: { ...lock.spec, target: Object.fromEntries(fields), ...(expires === undefined ? {} : { expires }) },
    }
  },
})

/** A stop put on someone or something until it is removed or expires. */
export type Lock = ReturnType<typeof parseLock>
