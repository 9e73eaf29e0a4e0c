import type { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { instant, strict, text } from './schema.ts'

const target = strict({
  user: text.exactOptional(),
  role: text.exactOptional(),
  login: text.exactOptional(),
  mfa_device: text.exactOptional(),
  windows_desktop: text.exactOptional(),
  access_request: text.exactOptional(),
  device: text.exactOptional(),
  server_id: text.exactOptional(),
  bot_instance_id: text.exactOptional(),
  join_token: text.exactOptional(),
  /** Older spelling of `server_id`. */
  node: text.exactOptional(),
  /** Session of one app certificate, as `tsh apps logout` ends it. */
  app_session: text.exactOptional(),
})

/** Whom a lock stops: every field that is set must fit. */
export type LockTarget = Readonly<Omit<z.output<typeof target>, 'node'>>

/** Takes a lock, version v2: `{ spec: { target: { user: 'alice' }, message: 'call us' } }`. @throws {InvalidResource} */
export const parseLock = resourceParser({
  kind: 'lock',
  versions: ['v2'],
  spec: strict({
    target: target.default({}),
    message: text.exactOptional(),
    expires: instant.exactOptional(),
    created_at: instant.exactOptional(),
    created_by: text.exactOptional(),
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
