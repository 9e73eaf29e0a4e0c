/** The page of `teleport.yaml`, from the schemas of its sections. */
import { appSection } from '#daemon/config-app.ts'
import { authSection } from '#daemon/config-auth.ts'
import { proxySection } from '#daemon/config-proxy.ts'
import { teleportSection } from '#daemon/config-teleport.ts'
import { unusedSections } from '#daemon/config-unused.ts'
import { product } from '#product.ts'
import { findKind } from '#resources/kinds.ts'
import { code, page } from './reference-page.ts'
import { describedFields, type Field, tableOf, undescribedFields } from './reference-schema.ts'

const sections = {
  teleport: { schema: teleportSection, says: 'What all services of the process share.' },
  auth_service: {
    schema: authSection,
    says: 'The Auth Service keeps the state of the cluster and issues its certificates. On unless `enabled: no`. Settings of the cluster that stand here belong to the file: `tctl` changes them only with `--confirm`, and the next start takes them from the file again.',
  },
  proxy_service: {
    schema: proxySection,
    says: 'The Proxy Service is what everyone connects to. On unless `enabled: no`.',
  },
  app_service: {
    schema: appSection,
    says: 'The Application Service stands in front of apps. Off where the section is missing.',
  },
}

export function configPage(): string {
  return page('teleport.yaml', [
    `Configuration of \`${product.daemon} start\`, read from \`${product.configFile}\` or from the file of \`--config\`. \`${product.daemon} configure\` writes one, and \`--test\` checks one. An unknown key is an error that names file and line.`,
    code(example, 'yaml'),
    '`version` is `v1` (also where it is left out), `v2` or `v3`. Types are those of [resources](resources.md#types).',
    ...Object.entries(sections).flatMap(([name, { schema, says }]) => [
      `## ${name}`,
      says,
      tableOf(describedFields(schema, `${name}.`).map(resolved)),
    ]),
    '## Other sections',
    `Taken, and without effect here: ${unusedSections.map((name) => `\`${name}\``).join(', ')}. At start a warning names those that are switched on.`,
  ])
}

/** A key that says "as `x` of `kind`" has type and meaning of that field of the resource. @throws where there is none */
function resolved(field: Field): Field {
  const [, name, kind = ''] = /^As `([\w.]+)` of (?:the resource )?`(\w+)`/.exec(field.means) ?? []
  if (name === undefined) return field
  const definition = findKind(kind)
  const source = definition && describedFields(definition.schema.spec, '').find(({ path }) => path === name)
  if (source === undefined) throw new Error(`${field.path} is described by ${kind} ${name}, which is not there`)
  const means = `${source.means} Field \`spec.${name}\` of [\`${kind}\`](resources.md#${kind}).`.trim()
  return { ...field, type: source.type, default: source.default, means, isInert: source.isInert }
}

/** Keys that are in the reference without a meaning. */
export function undescribedConfigFields(): readonly string[] {
  return Object.entries(sections).flatMap(([name, { schema }]) => undescribedFields(schema, `${name}.`))
}

const example = `version: v3
teleport:
  data_dir: ${product.dataDir}
  proxy_server: teleport.example.com:443
  join_params:
    method: token
    token_name: /etc/teleport-token
auth_service:
  enabled: no
proxy_service:
  enabled: no
app_service:
  enabled: yes
  apps:
  - name: awsconsole
    uri: https://console.aws.amazon.com/`
