import { z } from 'zod'
import { product } from '#product.ts'
import { type App, parseApp } from '#resources/app.ts'
import { InvalidResource } from '#resources/invalid-resource.ts'
import { duration, flag, labels, selector, strict, text, texts, untouched } from '#resources/schema.ts'
import { unused } from './config-teleport.ts'
import { unusedKeys } from './config-unused.ts'
import type { Refuse } from './invalid-config.ts'

const command = strict({ name: text, command: texts, period: duration().default('1m0s') })

const app = strict({
  name: text,
  description: text.exactOptional(),
  uri: text.exactOptional(),
  public_addr: text.exactOptional(),
  labels: labels.exactOptional(),
  commands: z.array(command).exactOptional(),
  insecure_skip_verify: flag.exactOptional(),
  rewrite: strict({
    redirect: texts.exactOptional(),
    headers: texts.exactOptional(),
    jwt_claims: text.exactOptional(),
  }).exactOptional(),
  cloud: text.exactOptional(),
  aws: strict({ external_id: text.exactOptional() }).exactOptional(),
  required_apps: texts.exactOptional(),
  use_any_proxy_public_addr: flag.exactOptional(),
  tcp_ports: untouched.exactOptional(),
  cors: untouched.exactOptional(),
  mcp: untouched.exactOptional(),
})

const matcher = strict({
  labels: selector.default({}),
  aws: strict({ assume_role_arn: text.exactOptional(), external_id: text.exactOptional() }).exactOptional(),
})

/** Section `app_service` as it is written. */
export const appSection = strict({
  enabled: flag.exactOptional(),
  apps: z.array(app).exactOptional(),
  resources: z.array(matcher).exactOptional(),
  ...unused(unusedKeys.app_service),
})

/** What the Application Service gets. */
export interface AppSettings {
  /** Of the file; each is a resource of kind `app`. */
  readonly apps: readonly App[]
  /** Which apps of the cluster it serves beside: labels of which one set must match. */
  readonly resourceLabels: readonly Readonly<Record<string, readonly string[]>>[]
}

type AppSection = z.output<typeof appSection>

/** @throws by way of `refuse` */
export function appSettings(section: AppSection, refuse: Refuse): AppSettings {
  const apps = (section.apps ?? []).map((written, index) => appOf(written, ['app_service', 'apps', index], refuse))
  apps.forEach(({ metadata: { name } }, index) => {
    if (apps.findIndex(({ metadata }) => metadata.name === name) !== index) {
      refuse(['app_service', 'apps', index, 'name'], `there are two apps with the name ${JSON.stringify(name)}`)
    }
  })
  return { apps, resourceLabels: (section.resources ?? []).map(({ labels }) => labels) }
}

function appOf(written: z.output<typeof app>, path: readonly PropertyKey[], refuse: Refuse): App {
  const { name, description, labels: fixed = {}, commands = [], rewrite, ...spec } = written
  const dynamic = Object.fromEntries(commands.map(({ name, ...rest }) => [name, rest]))
  const headers = rewrite?.headers?.map((header, index) => {
    const [, name, value = ''] = /^([^:\s]+):\s*(.*)$/.exec(header) ?? []
    if (name === undefined) refuse([...path, 'rewrite', 'headers', index], 'a header must be written as "Name: value"')
    return { name, value }
  })
  try {
    return parseApp({
      metadata: {
        name,
        ...(description === undefined ? {} : { description }),
        labels: { ...fixed, [`${product.labelPrefix}origin`]: 'config-file' },
      },
      spec: {
        ...spec,
        ...(commands.length === 0 ? {} : { dynamic_labels: dynamic }),
        ...(rewrite === undefined ? {} : { rewrite: { ...rewrite, ...(headers ? { headers } : {}) } }),
      },
    })
  } catch (error) {
    if (!(error instanceof InvalidResource)) throw error
    const field = error.field.replace(/^(spec|metadata)\./, '').replace(/^dynamic_labels/, 'commands')
    return refuse([...path, ...field.split('.').filter(Boolean)], error.problem, error.hint)
  }
}
