import { isIP } from 'node:net'
import { z } from 'zod'
import { isRegion } from './aws-region.ts'
import { type Draft, type Fail, resourceParser } from './envelope.ts'
import { describe, duration, flag, isLabelKey, strict, text, texts, untouched, whole } from './schema.ts'

const command = strict({
  command: texts.describe('Program and its arguments; what it prints is the value.'),
  period: duration().default('1m0s').describe('How often it runs.'),
  result: text.exactOptional().describe('What it printed last. Filled in by the agent.'),
})

/** As a map by name, or as the list with `name` that the file and older samples have. */
const dynamicLabels = z.preprocess(
  (value) => (Array.isArray(value) ? byName(value) : value),
  z.record(z.string(), command, {
    error: (issue) => `expected a map of dynamic labels, found ${describe(issue.input)}`,
  }),
)

function byName(list: readonly unknown[]): unknown {
  if (
    !list.every(
      (item) => typeof item === 'object' && item !== null && typeof (item as { name?: unknown }).name === 'string',
    )
  ) {
    return list
  }
  // Each was just seen to be an object with a textual name.
  return Object.fromEntries((list as readonly { name: string }[]).map(({ name, ...rest }) => [name, rest]))
}

/** Fields of an app, in the file of an agent as well as in the resource. */
const spec = strict({
  uri: text
    .default('')
    .describe(
      'Where the app is: `https://console.aws.amazon.com/` for AWS, else the address behind the agent. May be left out where `cloud` is set.',
    ),
  public_addr: text.exactOptional().describe('Host name under which browsers reach it, without scheme, port and path.'),
  cloud: text
    .exactOptional()
    .describe('`AWS`, `Azure` or `GCP`. For the address of an AWS console `AWS` is understood.'),
  dynamic_labels: dynamicLabels
    .exactOptional()
    .describe('Labels that the agent computes by running commands, by name.'),
  insecure_skip_verify: flag
    .exactOptional()
    .describe('Do not check the certificate of the app. Checked, and not acted on yet.'),
  rewrite: strict({
    redirect: texts.exactOptional().describe('Hosts whose redirects are rewritten to the public address.'),
    headers: z
      .array(strict({ name: text.describe('Name of the header.'), value: text.describe('Its value.') }))
      .exactOptional()
      .describe('Headers that are set on every request.'),
    jwt_claims: text
      .exactOptional()
      .describe('What the token says that is sent along: `roles-and-traits`, `roles`, `traits` or `none`.'),
  })
    .exactOptional()
    .describe('What is changed in requests and answers of web applications. Checked, and not acted on yet.'),
  aws: strict({
    external_id: text.exactOptional().describe('External id with which the AWS role is assumed.'),
    roles_anywhere_profile: untouched.exactOptional(),
  })
    .exactOptional()
    .describe('Settings of AWS apps.'),
  integration: text
    .exactOptional()
    .describe('Name of the integration that has the credentials. Checked, and not acted on yet.'),
  required_apps: texts.exactOptional().describe('Apps that must be opened together with this one: clients are told.'),
  required_app_names: texts.exactOptional().describe('Older spelling of `required_apps`.'),
  tcp_ports: z
    .array(
      strict({
        port: whole(1, 65_535).describe('First port.'),
        end_port: whole(0, 65_535).exactOptional().describe('Last port; 0 for one port.'),
      }),
    )
    .exactOptional()
    .describe('Ports of a TCP app with several. Checked, and not acted on yet.'),
  cors: untouched.exactOptional(),
  use_any_proxy_public_addr: flag
    .exactOptional()
    .describe('Reach the app under the address of whichever proxy it is asked through: clients are told.'),
  identity_center: untouched.exactOptional(),
  user_groups: untouched.exactOptional(),
  UserGroups: untouched.exactOptional(),
  mcp: untouched.exactOptional(),
})

/** Takes an app, version v3: `{ metadata: { name: 'awsconsole' }, spec: { uri: 'https://console.aws.amazon.com/' } }`. @throws {InvalidResource} */
export const parseApp = resourceParser({ kind: 'app', versions: ['v3', 'v2', 'v1'], spec, finish: finishApp })

/** Something behind an agent that users open: the AWS API, the Azure API, a web application. */
export type App = ReturnType<typeof parseApp>

export type AwsPartition = 'aws' | 'aws-us-gov' | 'aws-cn'

/** What serves an app: AWS before Azure before GCP, anything else is HTTP or TCP. */
export type AppFamily = 'aws' | 'azure' | 'gcp' | 'tcp' | 'http'

/** Which of the ways to serve an app is this one's. */
export function appFamily({ spec: { cloud, uri } }: App): AppFamily {
  if (cloud === 'AWS' || awsConsolePartition(uri) !== undefined) return 'aws'
  if (cloud === 'Azure') return 'azure'
  if (cloud === 'GCP') return 'gcp'
  return uri.startsWith('tcp://') ? 'tcp' : 'http'
}

const consoles: Readonly<Record<string, AwsPartition>> = {
  'console.aws.amazon.com': 'aws',
  'quicksight.aws.amazon.com': 'aws',
  'console.amazonaws-us-gov.com': 'aws-us-gov',
  'console.amazonaws.cn': 'aws-cn',
}

/**
 * The partition whose console a URI names, regional consoles of the standard partition included;
 * `undefined` for everything else, look-alike hosts, other ports and user information included.
 */
export function awsConsolePartition(uri: string): AwsPartition | undefined {
  const url = URL.parse(uri)
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.port !== '') return undefined
  const host = url.hostname.replace(/\.$/, '')
  if (Object.hasOwn(consoles, host)) return consoles[host]
  const [, region = ''] = /^([a-z0-9-]+)\.console\.aws\.amazon\.com$/.exec(host) ?? []
  return isRegion(region) ? 'aws' : undefined
}

type AppDraft = Draft<z.output<typeof spec>>

function finishApp(app: AppDraft, fail: Fail): AppDraft {
  const { name } = app.metadata
  const quoted = JSON.stringify(name)
  const { required_app_names, required_apps = required_app_names, ...rest } = app.spec
  const { cloud = '', uri: givenUri, public_addr = '' } = rest
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name) || name.length > 63) {
    fail(
      ['metadata', 'name'],
      `app ${quoted} name must be a valid DNS label`,
      'use lower-case letters, digits and "-", at most 63',
    )
  }
  if (!['', 'AWS', 'Azure', 'GCP'].includes(cloud)) {
    fail(
      ['spec', 'cloud'],
      `app ${quoted} has unexpected Cloud value ${JSON.stringify(cloud)}`,
      'use AWS, Azure or GCP',
    )
  }
  if (givenUri === '' && cloud === '') {
    fail(['spec', 'uri'], `app ${quoted} URI is empty`, 'set spec.uri, or spec.cloud for a cloud API')
  }
  const uri = givenUri === '' ? `cloud://${cloud}` : givenUri
  if (!URL.canParse(uri)) fail(['spec', 'uri'], `app ${quoted} URI ${JSON.stringify(uri.slice(0, 200))} is not a URI`)
  for (const key of [...Object.keys(app.metadata.labels ?? {}), ...Object.keys(rest.dynamic_labels ?? {})]) {
    if (!isLabelKey(key)) fail(['spec', 'dynamic_labels'], `app ${quoted} invalid label key: ${JSON.stringify(key)}`)
  }
  checkPublicAddress(public_addr, fail)
  const claims = rest.rewrite?.jwt_claims ?? ''
  if (!['', 'roles-and-traits', 'roles', 'traits', 'none'].includes(claims)) {
    fail(['spec', 'rewrite', 'jwt_claims'], `app ${quoted} has unexpected JWT rewrite value ${JSON.stringify(claims)}`)
  }
  rest.tcp_ports?.forEach(({ port, end_port = 0 }, index) => {
    if (end_port !== 0 && end_port <= port) {
      fail(['spec', 'tcp_ports', index, 'end_port'], 'must be greater than port, or 0 for one port')
    }
  })
  const family = cloud === '' && awsConsolePartition(uri) !== undefined ? 'AWS' : cloud
  const { public_addr: _, cloud: __, ...kept } = rest
  return {
    ...app,
    version: 'v3',
    spec: {
      ...kept,
      uri,
      ...(family === '' ? {} : { cloud: family }),
      ...(public_addr === '' ? {} : { public_addr }),
      ...(required_apps === undefined ? {} : { required_apps }),
    },
  }
}

function checkPublicAddress(address: string, fail: Fail): void {
  if (address === '') return
  const path = ['spec', 'public_addr']
  if (address.startsWith('kube-teleport-proxy-alpn.')) {
    fail(path, 'invalid PublicAddr format: it begins with a name that is reserved for internal use')
  }
  if (isIP(address) !== 0 || /[/:\s@]/.test(address)) {
    fail(path, 'invalid PublicAddr format: it must be a host name without scheme, port and path')
  }
}
