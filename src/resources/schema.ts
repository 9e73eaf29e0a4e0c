/**
 * Pieces of schemas that several kinds share. Each takes what people write and gives the one form that is stored.
 * `reads` in their metadata is how the reference calls what they take, where its JSON Schema cannot say it.
 */
import { z } from 'zod'
import { formatDuration, parseDuration } from './duration.ts'
import { nearest } from './nearest.ts'

/** Nothing in it changes: what a parser gives is frozen. */
export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

/** An object that has these fields and no others; an unknown one is an error that suggests the nearest known name. */
export function strict<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') return unknownField(issue.keys as string[], Object.keys(shape)) // always strings here
      return issue.code === 'invalid_type' ? `expected a map of fields, found ${describe(issue.input)}` : undefined
    },
  })
}

/** `unknown field "app_label", did you mean "app_labels"?` */
function unknownField(unknown: readonly string[], known: readonly string[]): string {
  const [name = ''] = unknown
  const suggestion = nearest(name, known)
  return `unknown field ${JSON.stringify(name.slice(0, 80))}${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`}`
}

/** A YAML or JSON value in one or two words: `a list`, `the number 5`. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  return typeof value === 'string' ? 'a text' : `the ${typeof value} ${String(value)}`
}

/** A text. A bare number or `yes` in YAML is refused with the advice to quote it, because its spelling is lost already. */
export const text = z
  .string({
    error: (issue) =>
      typeof issue.input === 'number' || typeof issue.input === 'boolean'
        ? `expected a text, found ${describe(issue.input)}: put it in quotes`
        : `expected a text, found ${describe(issue.input)}`,
  })
  .max(65_536, 'is longer than 65536 characters')

/** A list of texts; one bare text is a list of one. */
export const texts = z.preprocess(
  (value) => (typeof value === 'string' ? [value] : value),
  z
    .array(text, { error: (issue) => `expected a text or a list of texts, found ${describe(issue.input)}` })
    .max(10_000, 'has more than 10000 entries'),
)

const words: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  '1': true,
  false: false,
  no: false,
  off: false,
  '0': false,
}

/** `true`, `"yes"`, `"on"` and their opposites in any case. Anything else is an error: a switch whose state is unclear is worse than none. */
export function parseSwitch(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value
  return typeof value === 'string' && Object.hasOwn(words, value.toLowerCase()) ? words[value.toLowerCase()] : undefined
}

/** A boolean as people write it. */
export const flag = z
  .unknown()
  .transform((value, context): boolean => {
    const parsed = parseSwitch(value)
    if (parsed === undefined) {
      context.addIssue(
        `expected yes or no, found ${typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : describe(value)}`,
      )
      return z.NEVER
    }
    return parsed
  })
  .meta({ reads: 'yes or no' })

/** A Go duration such as `1h30m`, stored as Go prints it. With `never`, that word means 0. */
export function duration({
  never = false,
}: {
  never?: boolean
} = {}): z.ZodPipe<z.ZodUnknown, z.ZodTransform<string, unknown>> {
  return z
    .unknown()
    .transform((value, context): string => {
      const ms =
        value === 0 ? 0 : never && value === 'never' ? 0 : typeof value === 'string' ? parseDuration(value) : undefined
      if (ms === undefined || ms < 0) {
        context.addIssue(
          `${typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : describe(value)} is not a duration: write one such as "1h30m"${never ? ' or "never"' : ''}`,
        )
        return z.NEVER
      }
      return formatDuration(ms)
    })
    .meta({ reads: never ? 'duration, or `never`' : 'duration' })
}

/** Milliseconds of a stored duration. */
export function durationMs(stored: string): number {
  const ms = parseDuration(stored)
  if (ms === undefined) throw new Error(`${stored} was stored as a duration`)
  return ms
}

/** An RFC 3339 instant, stored in UTC. */
export const instant = text
  .transform((value, context): string => {
    const at = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(value)
      ? Date.parse(value)
      : Number.NaN
    if (Number.isNaN(at)) {
      context.addIssue(
        `${JSON.stringify(value.slice(0, 64))} is not an instant: write one such as "2030-01-31T12:00:00Z"`,
      )
      return z.NEVER
    }
    return new Date(at).toISOString()
  })
  .meta({ reads: 'instant' })

const LABEL_KEY = /^[a-zA-Z/.0-9_:*-]+$/

/** May stand as the key of a label on a resource. */
export function isLabelKey(key: string): boolean {
  return LABEL_KEY.test(key) && key.length <= 255
}

/** Labels on a resource: text to text. */
export const labels = z
  .record(z.string(), text, {
    error: (issue) =>
      issue.code === 'invalid_type' ? `expected a map of labels, found ${describe(issue.input)}` : undefined,
  })
  .meta({ reads: 'labels' })

/** Which labels a resource must have, each key with the values of which one suffices: `{ env: ['dev', 'stage-*'] }`. */
export const selector = z
  .record(z.string(), texts, {
    error: (issue) =>
      issue.code === 'invalid_type' ? `expected a map of label selectors, found ${describe(issue.input)}` : undefined,
  })
  .superRefine((value, context) => {
    const any = Object.hasOwn(value, '*') ? value['*'] : undefined
    if (any && !(any.length === 1 && any[0] === '*')) {
      const found = any.find((entry) => entry !== '*') ?? any.join(',')
      context.addIssue({ code: 'custom', path: ['*'], message: `selector *:${found} is not supported` })
    }
  })
  .meta({ reads: 'label selector' })

/** Any value, kept as it is: for fields of the reference that do nothing here. */
export const untouched = z.json().meta({ reads: 'any value' })

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number): z.ZodNumber {
  const error = `expected a whole number from ${min} to ${max}`
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}

/** One of a few words; the error lists them. */
export function oneOf<const Words extends readonly [string, ...string[]]>(
  ...allowed: Words
): z.ZodEnum<{ [Word in Words[number]]: Word }> {
  return z.enum(allowed, {
    error: (issue) =>
      `expected one of ${allowed.map((word) => JSON.stringify(word)).join(', ')}, found ${typeof issue.input === 'string' ? JSON.stringify(issue.input.slice(0, 80)) : describe(issue.input)}`,
  })
}

/** What a failed parse says first: of a union's failures the one that got furthest says most. */
export function firstProblem({ issues }: z.ZodError): {
  readonly problem: string
  readonly path: readonly PropertyKey[]
} {
  const [first] = issues
  if (!first) throw new Error('a failed parse has an issue')
  const issue = issues.reduce((best, issue) => (issue.path.length > best.path.length ? issue : best), first)
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path
  return { problem: issue.message, path }
}

/** Freezes a value of maps and lists all the way down. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) frozen(inner)
  }
  return value
}
