import { z } from 'zod'
import { parseApp } from './app.ts'
import { resourceParser } from './envelope.ts'
import type { DocumentSource } from './invalid-resource.ts'
import { withoutUnknownFields } from './read-stored.ts'
import { frozen, strict, text, texts, untouched } from './schema.ts'

const parseOuter = resourceParser({
  kind: 'app_server',
  versions: ['v3'],
  spec: strict({
    version: text.exactOptional().describe('Version that the agent runs.'),
    hostname: text.default('').describe('Name of its machine.'),
    host_id: text.describe('Host id of the agent.'),
    app: z
      .unknown()
      .meta({ reads: 'map of fields', description: 'The app, as the kind `app` describes it: metadata and spec.' }),
    /** SNI by which the agent is reached for this app: `LABEL.app.CLUSTER`. */
    server_name: text.exactOptional().describe('SNI by which the agent is reached for this app: `LABEL.app.CLUSTER`.'),
    rotation: untouched.exactOptional(),
    proxy_ids: texts.exactOptional().describe('Host ids of the proxies that the agent is connected to.'),
  }),
})

/** What the heartbeat of an app may say. */
export const appServerSchema = parseOuter.schema

/** Takes the heartbeat of one app at one agent; the app in it is parsed as one. @throws {InvalidResource} */
export function parseAppServer(document: unknown, source?: DocumentSource): AppServer {
  const outer = parseOuter(document, source)
  const inner = source && { ...source, at: (path: readonly PropertyKey[]) => source.at(['spec', 'app', ...path]) }
  const app = parseApp(outer.spec.app, inner)
  return frozen({ ...outer, spec: { ...outer.spec, app } })
}

/** Takes a heartbeat as it was stored, perhaps by a newer version: fields that are not known are left out. @throws {InvalidResource} */
export function readAppServer(document: unknown): AppServer {
  const outer = withoutUnknownFields(parseOuter)(document)
  return frozen({ ...outer, spec: { ...outer.spec, app: withoutUnknownFields(parseApp)(outer.spec.app) } })
}

/** An app that an agent serves: `{ metadata: { name, expires }, spec: { host_id, hostname, app } }`. */
export type AppServer = Omit<ReturnType<typeof parseOuter>, 'spec'> & {
  readonly spec: Readonly<Omit<ReturnType<typeof parseOuter>['spec'], 'app'>> & {
    readonly app: ReturnType<typeof parseApp>
  }
}
