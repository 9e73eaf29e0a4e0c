import { z } from 'zod'
import { product } from '#product.ts'
import { type App, parseApp } from '#resources/app.ts'
import { InvalidResource } from '#resources/invalid-resource.ts'
import {
  duration,
  durationMs,
  flag,
  labels,
  oneOf,
  selector,
  strict,
  text,
  texts,
  untouched,
  whole,
} from '#resources/schema.ts'
import { unused } from './config-teleport.ts'
import { unusedKeys } from './config-unused.ts'
import type { Refuse } from './invalid-config.ts'

const command = strict({
  name: text.describe('Key of the label.'),
  command: texts.describe('Program and its arguments; what it prints is the value.'),
  period: duration().default('1m0s').describe('How often it runs.'),
})

const app = strict({
  name: text.describe('Name of the app, a DNS label.'),
  description: text.exactOptional().describe('For people.'),
  uri: text.exactOptional().describe('As `uri` of the resource `app`.'),
  public_addr: text.exactOptional().describe('As `public_addr` of the resource `app`.'),
  labels: labels.exactOptional().describe('Labels that roles match.'),
  commands: z.array(command).exactOptional().describe('Labels that are computed by running commands.'),
  insecure_skip_verify: flag.exactOptional().describe('As `insecure_skip_verify` of the resource `app`.'),
  rewrite: strict({
    redirect: texts.exactOptional().describe('As `rewrite.redirect` of the resource `app`.'),
    headers: texts.exactOptional().describe('As `rewrite.headers` of the resource `app`, each written `Name: value`.'),
    jwt_claims: text.exactOptional().describe('As `rewrite.jwt_claims` of the resource `app`.'),
  })
    .exactOptional()
    .describe('What is changed in requests and answers of web applications.'),
  cloud: text.exactOptional().describe('As `cloud` of the resource `app`.'),
  aws: strict({ external_id: text.exactOptional().describe('External id with which the AWS role is assumed.') })
    .exactOptional()
    .describe('Settings of AWS apps.'),
  required_apps: texts.exactOptional().describe('As `required_apps` of the resource `app`.'),
  use_any_proxy_public_addr: flag.exactOptional().describe('As `use_any_proxy_public_addr` of the resource `app`.'),
  tcp_ports: untouched.exactOptional(),
  cors: untouched.exactOptional(),
  mcp: untouched.exactOptional(),
})

const matcher = strict({
  labels: selector.default({}).describe('Labels of the apps.'),
  aws: strict({
    assume_role_arn: text.exactOptional().describe('Role that the agent assumes first. Checked, and not acted on yet.'),
    external_id: text.exactOptional().describe('External id for it.'),
  })
    .exactOptional()
    .describe('Settings of AWS apps among them.'),
})

/** Section `app_service` as it is written. */
export const appSection = strict({
  enabled: flag.exactOptional().describe('Whether the service runs; yes where the section is there.'),
  apps: z.array(app).exactOptional().describe('Apps of this file.'),
  resources: z
    .array(matcher)
    .exactOptional()
    .describe(
      'Apps of the cluster, made with `tctl create`, that this agent serves beside: those whose labels one entry matches.',
    ),
  audit_spool: strict({
    max_bytes: whole(4096, 2 ** 40)
      .exactOptional()
      .describe('Largest size of that file; 268435456 unless given.'),
    when_full: oneOf('refuse_changes', 'refuse_all')
      .exactOptional()
      .describe(
        'Which calls are refused while it is full: those that change something, or all; `refuse_changes` unless given.',
      ),
  })
    .exactOptional()
    .describe('File in which audit events wait for the Auth Service.'),
  max_lock_age: duration()
    .exactOptional()
    .describe('Age of the copy of the locks at which the strict locking mode refuses; 5 minutes unless given.'),
  preflight: flag
    .exactOptional()
    .describe(
      'Whether the agent looks ahead, from its start on, for what would make calls to AWS fail: its credentials, STS, its clock and the trust policies of the roles that the cluster allows. It assumes each role once, in a session named `teleport-preflight`, and says in its log what is missing. `yes` unless given.',
    ),
  ...unused(unusedKeys.app_service),
})

/** What the Application Service gets. */
export interface AppSettings {
  /** Of the file; each is a resource of kind `app`. */
  readonly apps: readonly App[]
  /** Which apps of the cluster it serves beside: labels of which one set must match. */
  readonly resourceLabels: readonly Readonly<Record<string, readonly string[]>>[]
  /** Largest size of the file in which audit events wait for the Auth Service. */
  readonly spoolBytes?: number
  /** Also reading calls are refused while that file is full. */
  readonly refuseReadsUnrecorded?: boolean
  /** Whether the agent looks ahead for what would make calls to AWS fail; yes unless given. */
  readonly preflight?: boolean
  /** Age of the copy of the locks at which the strict locking mode refuses. */
  readonly maxLockAgeMs?: number
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
  const { audit_spool: spool = {}, max_lock_age: maxLockAge } = section
  return {
    apps,
    resourceLabels: (section.resources ?? []).map(({ labels }) => labels),
    ...(spool.max_bytes === undefined ? {} : { spoolBytes: spool.max_bytes }),
    ...(spool.when_full === undefined ? {} : { refuseReadsUnrecorded: spool.when_full === 'refuse_all' }),
    ...(section.preflight === undefined ? {} : { preflight: section.preflight }),
    ...(maxLockAge === undefined ? {} : { maxLockAgeMs: durationMs(maxLockAge) }),
  }
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
    const inside = error.path.slice(1).map((key) => (key === 'dynamic_labels' ? 'commands' : key))
    return refuse([...path, ...inside], error.problem, error.hint.replaceAll('spec.', ''))
  }
}
