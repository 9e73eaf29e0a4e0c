/** The page of resource kinds, from their schemas. */
import { metadata } from '#resources/envelope.ts'
import { type KindDefinition, kinds } from '#resources/kinds.ts'
import { labelLanguage, whereLanguage } from '#resources/role-expressions.ts'
import { code, page, table } from './reference-page.ts'
import { fieldTable, undescribedFields } from './reference-schema.ts'

export function resourcesPage(): string {
  return page('Resources', [
    'What a cluster is made of. `tctl create -f FILE` writes resources from YAML or JSON, `tctl get KIND/NAME` shows them. An unknown field is an error that names file and line.',
    code(
      ['kind: role', 'version: v8', 'metadata:', '  name: example', 'spec:', '  allow: {}', '  deny: {}'].join('\n'),
      'yaml',
    ),
    table(
      ['kind', 'also called', 'versions'],
      kinds.map(({ kind, plural, aliases, schema }) => [
        `[\`${kind}\`](#${kind})`,
        [...new Set([plural, ...aliases])]
          .filter((name) => name !== kind)
          .map((name) => `\`${name}\``)
          .join(', '),
        schema.versions.join(', '),
      ]),
    ),
    '## Types',
    table(['type', 'what is written'], typeRows),
    '## Every kind',
    'Beside `kind`, `version` (the first of the kind where it is left out) and `sub_kind`:',
    fieldTable(metadata, 'metadata.'),
    ...kinds.flatMap(kindParts),
    '## Expressions',
    'Operators are `&&`, `||`, `!`, `==`, `!=` and parentheses; texts stand in double quotes or backticks.',
    ...[labelLanguage, whereLanguage].map(({ name, variables, functions }) => {
      const calls = Object.entries(functions).map(([call, count]) => `\`${call}\` (${count})`)
      return `In a ${name}: variables ${variables.map((variable) => `\`${variable}\``).join(', ')}; functions, with how many arguments they take, ${calls.join(', ')}.`
    }),
  ])
}

/** Fields of resources that are in the reference without a meaning: `role spec.allow.request.thresholds`. */
export function undescribedResourceFields(): readonly string[] {
  return kinds.flatMap(({ kind, schema }) => undescribedFields(schema.spec, 'spec.').map((path) => `${kind} ${path}`))
}

const typeRows = [
  ['text', 'a text; numbers, `yes` and `no` that are meant as texts stand in quotes'],
  ['list of texts', 'a list; one bare text is a list of one'],
  ['yes or no', '`yes`, `no`, `true`, `false`, `on`, `off`'],
  ['duration', 'such as `1h30m` or `14d`'],
  ['instant', 'such as `2030-01-31T12:00:00Z`'],
  ['labels', 'a map of texts'],
  [
    'label selector',
    'a map whose values are texts or lists of them: every key must be there with one of its values. `*` in a value stands for anything, a value from `^` to `$` is a regular expression, and `"*": "*"` matches everything',
  ],
]

function kindParts({ kind, schema, secretFields, singletonName }: KindDefinition): readonly string[] {
  const secrets = secretFields.map((path) => `\`${path}\``)
  return [
    `## ${kind}`,
    ...(singletonName === undefined ? [] : [`There is one of it, named \`${singletonName}\`.`]),
    ...(secrets.length === 0 ? [] : [`Shown with \`--with-secrets\` alone: ${secrets.join(', ')}.`]),
    fieldTable(schema.spec, 'spec.'),
  ]
}
