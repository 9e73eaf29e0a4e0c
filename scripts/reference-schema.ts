/** Schemas as tables of fields: what the reference says of resources and of the configuration file. */
import { z } from 'zod'
import { table } from './reference-page.ts'

/** The parts of JSON Schema that our schemas come to, and what their metadata adds. */
interface JsonSchema {
  readonly type?: string
  readonly description?: string
  /** What it takes, where JSON Schema cannot say it: `duration`. */
  readonly reads?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly additionalProperties?: JsonSchema | boolean
  readonly anyOf?: readonly JsonSchema[]
}

/** One row of a table. */
export interface Field {
  readonly path: string
  readonly type: string
  readonly default: string
  readonly means: string
  /** Any value is taken, and nothing is said of it: it does nothing here. */
  readonly isInert: boolean
}

/**
 * A table of all fields of a schema, maps inside it included: `spec.allow.rules[].verbs`. Fields that are taken and do
 * nothing are named below it. `prefix` stands before each path: `spec.`
 */
export function fieldTable(schema: z.ZodType, prefix: string): string {
  return tableOf(describedFields(schema, prefix))
}

/** The same of fields that were changed on the way. */
export function tableOf(fields: readonly Field[]): string {
  const rows = fields
    .filter(({ isInert }) => !isInert)
    .map(({ path, type, default: byDefault, means }) => [`\`${path}\``, type, byDefault, means])
  const inert = fields.filter(({ isInert }) => isInert).map(({ path }) => `\`${path}\``)
  return [
    ...(rows.length > 0 ? [table(['field', 'type', 'default', 'meaning'], rows)] : []),
    ...(inert.length > 0 ? [`Taken, and without effect here: ${inert.join(', ')}.`] : []),
  ].join('\n\n')
}

/** All fields of a schema, in its order. */
export function describedFields(schema: z.ZodType, prefix: string): readonly Field[] {
  return fieldsOf(toJsonSchema(schema), prefix)
}

/** Paths of the fields that the reference has nothing to say about. */
export function undescribedFields(schema: z.ZodType, prefix: string): readonly string[] {
  return describedFields(schema, prefix)
    .filter(({ isInert, means }) => !isInert && means === '')
    .map(({ path }) => path)
}

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const json: unknown = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      // Left out by the library where the value is transformed afterwards.
      const { def } = zodSchema._zod
      if (def.type === 'default' && 'defaultValue' in def) jsonSchema.default = def.defaultValue
    },
  })
  return json as JsonSchema // its type in the library is wider than what our schemas use
}

function fieldsOf({ properties = {}, required = [] }: JsonSchema, prefix: string): readonly Field[] {
  const seen = new Map<string, string>()
  return Object.entries(properties).flatMap(([name, field]) => {
    const path = prefix + name
    const description = field.description ?? ''
    const [inside, insidePrefix] = insideOf(field, path)
    const isInert = field.reads === 'any value' && description === ''
    const fields = JSON.stringify(inside?.properties)
    const twin = inside === undefined ? undefined : seen.get(fields)
    if (inside !== undefined && twin === undefined) seen.set(fields, path)
    const means = twin === undefined ? description : `${description} Its fields are those of \`${twin}\`.`.trim()
    const own = { path, type: typeText(field), default: defaultText(field, required.includes(name)), means, isInert }
    return [own, ...(inside === undefined || twin !== undefined ? [] : fieldsOf(inside, insidePrefix))]
  })
}

/** The map of fields below a field, directly or as the items of a list or the values of a map. */
function insideOf({ reads, properties, items, additionalProperties: values, anyOf }: JsonSchema, path: string) {
  if (reads !== undefined) return [undefined, ''] as const
  if (properties !== undefined) return [{ properties }, `${path}.`] as const
  if (items?.properties !== undefined) return [items, `${path}[].`] as const
  if (typeof values === 'object' && values.properties !== undefined) return [values, `${path}.NAME.`] as const
  const [alternative] = anyOf?.filter(({ properties }) => properties !== undefined) ?? []
  return alternative === undefined ? ([undefined, ''] as const) : ([alternative, `${path}.`] as const)
}

function typeText(schema: JsonSchema): string {
  const { reads, enum: words, anyOf, items, type, minimum, maximum, additionalProperties: values } = schema
  if (reads !== undefined) return reads
  if (anyOf !== undefined) return anyOf.map(typeText).join(', or ')
  if (words !== undefined) return words.map((word) => (word === '' ? 'empty' : `\`${String(word)}\``)).join(', ')
  switch (type) {
    case 'string':
      return 'text'
    case 'array':
      return `list of ${plural(typeText(items ?? {}))}`
    case 'object':
      return typeof values === 'object' && values.properties === undefined
        ? `map of ${plural(typeText(values))} by name`
        : typeof values === 'object'
          ? 'map of maps by name'
          : 'map of fields'
    case 'integer':
    case 'number':
      return `whole number${(maximum ?? 0) < 1e9 ? ` from ${minimum ?? 0} to ${maximum}` : ''}`
    default:
      return 'any value'
  }
}

function plural(type: string): string {
  const [first = '', ...rest] = type.split(' ')
  const known: Readonly<Record<string, string>> = { text: 'texts', map: 'maps', list: 'lists', any: 'any' }
  return [known[first] ?? first, ...rest].join(' ')
}

function defaultText({ default: value }: JsonSchema, isRequired: boolean): string {
  if (value === undefined) return isRequired ? 'needed' : ''
  if (isEmpty(value)) return ''
  return typeof value === 'boolean'
    ? `\`${value ? 'yes' : 'no'}\``
    : `\`${typeof value === 'object' ? JSON.stringify(value) : String(value)}\``
}

/** Nothing in it says anything: `{ tls: [] }`. */
function isEmpty(value: unknown): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.values(value).every(isEmpty))
}
