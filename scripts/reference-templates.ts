/** The page of trait templates. Its examples are computed, so that they are what the product does. */
import { AccessError } from '#errors.ts'
import { selectorFields, templatedLists } from '#resources/role-conditions.ts'
import { expandTemplate, internalTraits, parseTemplate } from '#traits/template.ts'
import { page, table } from './reference-page.ts'

export function templatesPage(): string {
  return page('Trait templates', [
    'A role is written once for many people: where `{{…}}` stands in it, the values of a trait of the user are put in. One entry may hold one template, with plain text before and after it. In YAML it stands in quotes.',
    'An entry becomes as many entries as the trait has values. A missing trait, an empty value and a value that a function cannot take leave the entry out, so that nothing is granted by mistake.',
    '## Where they may stand',
    table(
      ['field of `spec.allow` and `spec.deny`', 'which part'],
      [
        ...templatedLists.map((field) => [`\`${field}\``, 'each entry']),
        ...selectorFields.map((field) => [`\`${field}\``, 'keys and values']),
      ],
    ),
    '## Variables',
    table(
      ['variable', 'values'],
      [
        ['`external.NAME`, `external["any name"]`', 'the trait of that name'],
        ...[...internalTraits].map((name) => [`\`internal.${name}\``, `the trait \`${name}\``]),
      ],
    ),
    '## Functions',
    table(
      ['function', 'gives'],
      [
        ['`email.local(address)`', 'what stands before the `@` of an e-mail address'],
        [
          '`regexp.replace(value, "regexp", "replacement")`',
          'the value with every match replaced, `$1` being the first group; nothing where the expression does not match',
        ],
      ],
    ),
    'Functions may stand inside each other.',
    '## Examples',
    `For a user with the traits ${code(JSON.stringify(traits))}:`,
    table(
      ['template', 'becomes'],
      examples.map((template) => [code(template), valuesOf(template)]),
    ),
    '## What is refused',
    table(
      ['template', 'error'],
      refused.map((template) => [code(template), code(problemOf(template))]),
    ),
  ])
}

const traits = {
  team: ['ops', 'dev'],
  email: ['alice@example.com'],
  groups: ['aws-readers', 'staff'],
  aws_role_arns: ['arn:aws:iam::123456789012:role/Reader'],
}

const examples = [
  'plain text',
  '{{external.team}}',
  'arn:aws:iam::123456789012:role/{{external.team}}-reader',
  '{{internal.aws_role_arns}}',
  '{{email.local(external.email)}}',
  '{{regexp.replace(external.groups, "^aws-(.*)$", "$1")}}',
  '{{external.unknown}}',
  '{{email.local(external.team)}}',
]

const refused = [
  '{{external.team}}-{{external.email}}',
  '{{internal.unknown}}',
  '{{external.team',
  '{{upper(external.team)}}',
]

function valuesOf(template: string): string {
  const values = expandTemplate(parseTemplate(template), traits)
  return values.length === 0 ? 'nothing' : values.map(code).join(', ')
}

function problemOf(template: string): string {
  try {
    parseTemplate(template)
  } catch (error) {
    if (error instanceof AccessError) return error.message
    throw error
  }
  throw new Error(`${template} is an example of what is refused, and is taken`)
}

function code(text: string): string {
  return `\`${text}\``
}
