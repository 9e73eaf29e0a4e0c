import { resourceParser } from './envelope.ts'
import { labels, strict, text } from './schema.ts'

const spec = strict({
  version: text.exactOptional().describe('Version that it runs.'),
  hostname: text.default('').describe('Name of its machine.'),
  host_id: text.describe('Its host id.'),
  /** Where others reach it: `proxy.example.com:443`. */
  public_addr: text.exactOptional().describe('Where others reach it: `proxy.example.com:443`.'),
  listen_addr: text.exactOptional().describe('Where it listens.'),
  labels: labels.exactOptional().describe('Its labels.'),
})

/** Takes the heartbeat of a proxy; its name is the host id. @throws {InvalidResource} */
export const parseProxy = resourceParser({ kind: 'proxy', versions: ['v2'], spec })
/** Takes the heartbeat of an auth process; its name is the host id. @throws {InvalidResource} */
export const parseAuthServer = resourceParser({ kind: 'auth_server', versions: ['v2'], spec })

/** What a proxy says about itself: `{ metadata: { name: HOST_ID, expires }, spec: { host_id, hostname, public_addr } }`. */
export type ProxyMember = ReturnType<typeof parseProxy>
export type AuthMember = ReturnType<typeof parseAuthServer>
