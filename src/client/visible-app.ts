import type { VisibleApp } from '#gen/access/v1/access_pb.ts'
import { fieldsOf } from './web-client.ts'

/** An app as a user sees it: what lists and choices show. Read leniently, because the cluster may be newer than we are. */
export interface AppView {
  readonly name: string
  readonly description: string
  readonly labels: Readonly<Record<string, string>>
  readonly uri: string
  readonly publicAddr: string
  /** `AWS`, `Azure`, `GCP` or nothing. */
  readonly cloud: string
  /** How it is spoken to. */
  readonly protocol: 'HTTP' | 'TCP'
  /** ARNs that the user may choose from. */
  readonly awsRoleArns: readonly string[]
  readonly azureIdentities: readonly string[]
  /** The resource itself, as the cluster sent it. */
  readonly resource: unknown
}

/** Reads an app from an answer of the cluster. Without a public address of its own it is reached as `NAME.PROXY_HOST`. */
export function viewApp({ app, awsRoleArns, azureIdentities }: VisibleApp, proxyHost = ''): AppView {
  const resource: unknown = JSON.parse(app?.json ?? '{}')
  const metadata = fieldsOf(fieldsOf(resource).metadata)
  const spec = fieldsOf(fieldsOf(resource).spec)
  const [uri, name] = [textOf(spec.uri), textOf(metadata.name)]
  return {
    name,
    description: textOf(metadata.description),
    labels: Object.fromEntries(Object.entries(fieldsOf(metadata.labels)).map(([key, value]) => [key, textOf(value)])),
    uri,
    publicAddr: textOf(spec.public_addr) || (proxyHost === '' ? '' : `${name}.${proxyHost}`),
    cloud: textOf(spec.cloud),
    protocol: uri.startsWith('tcp://') ? 'TCP' : 'HTTP',
    awsRoleArns,
    azureIdentities,
    resource,
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
