import { z } from 'zod'
import { parseApp } from './app.ts'
import { resourceParser } from './envelope.ts'
import type { DocumentSource } from './invalid-resource.ts'
import { frozen, strict, text, texts } from './schema.ts'

const parseOuter = resourceParser({
  kind: 'app_server',
  versions: ['v3'],
  spec: strict({
    version: text.exactOptional(),
    hostname: text.default(''),
    host_id: text,
    app: z.unknown(),
    /** SNI by which the agent is reached for this app: `LABEL.app.CLUSTER`. */
    server_name: text.exactOptional(),
    rotation: z.json().exactOptional(),
    proxy_ids: texts.exactOptional(),
  }),
})

/** Takes the heartbeat of one app at one agent; the app in it is parsed as one. @throws {InvalidResource} */
export function parseAppServer(document: unknown, source?: DocumentSource): AppServer {
  const outer = parseOuter(document, source)
  const inner = source && { ...source, at: (path: readonly PropertyKey[]) => source.at(['spec', 'app', ...path]) }
  const app = parseApp(outer.spec.app, inner)
  return frozen({ ...outer, spec: { ...outer.spec, app } })
}

/** An app that an agent serves: `{ metadata: { name, expires }, spec: { host_id, hostname, app } }`. */
export type AppServer = Omit<ReturnType<typeof parseOuter>, 'spec'> & {
  readonly spec: Readonly<Omit<ReturnType<typeof parseOuter>['spec'], 'app'>> & {
    readonly app: ReturnType<typeof parseApp>
  }
}
