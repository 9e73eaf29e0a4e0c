/** What all kinds share: kind, version and metadata; unknown fields are errors, and what comes out is frozen. */
import { z } from 'zod'
import { type DocumentSource, InvalidResource } from './invalid-resource.ts'
import type { Resource } from './resource.ts'
import {
  type DeepReadonly,
  describe,
  firstProblem,
  frozen,
  instant,
  isLabelKey,
  labels,
  strict,
  text,
  untouched,
} from './schema.ts'
import { withoutNulls } from './without-nulls.ts'

/** How one kind differs from the others. */
export interface KindSchema<Kind extends string, Spec extends z.ZodType> {
  readonly kind: Kind
  /** Versions that are accepted; the first is what an absent one means. */
  readonly versions: readonly [string, ...string[]]
  readonly spec: Spec
  readonly status?: boolean
  /** Everything of this kind has this one name, also where the document gives none. */
  readonly singletonName?: string
  /** Checks that need more than the one field, and changes to the form that is stored. */
  readonly finish?: (draft: Draft<z.output<Spec>>, fail: Fail) => Draft<z.output<Spec>>
}

/** A resource whose fields are known to be right, before the checks that look at several. */
export interface Draft<Spec> {
  readonly sub_kind?: string
  readonly version: string
  readonly metadata: Resource['metadata']
  readonly spec: Spec
  readonly status?: unknown
}

/** Ends the parsing with an error at the path. */
export type Fail = (path: readonly PropertyKey[], problem: string, hint?: string) => never

/** Takes a document as YAML or JSON gives it. @throws {InvalidResource} */
export interface ResourceParser<Kind extends string, Spec> {
  (document: unknown, source?: DocumentSource): DeepReadonly<Resource<Kind, Spec>>
  /** What it takes, for the reference. */
  readonly schema: DocumentSchema
}

/** What may stand in the documents of a kind. */
export type DocumentSchema = Pick<KindSchema<string, z.ZodType>, 'versions' | 'spec'>

/** `metadata` of every kind. */
export const metadata = strict({
  name: text.exactOptional().describe('Unique in its kind. Needed, except where there is only one of the kind.'),
  // The reference had namespaces once; only "default" is left of them.
  namespace: z
    .enum(['', 'default'], 'only the namespace "default" exists')
    .exactOptional()
    .describe('Kept for older documents.'),
  description: text.exactOptional().describe('For people.'),
  labels: labels.exactOptional().describe('For people, and for selectors of roles.'),
  expires: instant.exactOptional().describe('After this instant the resource is gone.'),
  revision: text.exactOptional().describe('Changes with every write. Give it back to write only if nobody else has.'),
  id: z.unknown().optional().meta({ reads: 'any value', description: 'Kept for older documents.' }),
})

/**
 * The parser of a kind: gives the frozen form that is stored and that travels, which has no `null`, no legacy spelling
 * and no field that its kind does not know.
 */
export function resourceParser<Kind extends string, Spec extends z.ZodType>(
  schema: KindSchema<Kind, Spec>,
): ResourceParser<Kind, z.output<Spec>> {
  const { kind, versions, singletonName } = schema
  const envelope = strict({
    kind: z.literal(kind),
    sub_kind: text.exactOptional(),
    version: text.exactOptional(),
    metadata: metadata.exactOptional(),
    spec: z.unknown().optional(),
    ...(schema.status ? { status: untouched.exactOptional() } : {}),
  })
  const parse = (document: unknown, source?: DocumentSource): DeepReadonly<Resource<Kind, z.output<Spec>>> => {
    const subject = subjectOf(document, kind)
    const fail: Fail = (path, problem, hint) => {
      throw new InvalidResource({ problem, subject, path, source, ...(hint === undefined ? {} : { hint }) })
    }
    const refuse = (error: z.ZodError, prefix: readonly PropertyKey[]): never => {
      const { problem, path } = firstProblem(error)
      throw new InvalidResource({ problem, subject, path: [...prefix, ...path], source, cause: error })
    }
    const outer = envelope.safeParse({ ...asMap(document, fail), kind })
    if (!outer.success) return refuse(outer.error, [])
    const { data } = outer
    const spec = schema.spec.safeParse(data.spec ?? {})
    if (!spec.success) return refuse(spec.error, ['spec'])
    const { version = versions[0], sub_kind } = data
    if (version !== '' && !versions.includes(version)) {
      fail(['version'], `${kind} version ${JSON.stringify(version)} is not supported`, `use ${versions.join(' or ')}`)
    }
    const checked = {
      ...(sub_kind ? { sub_kind } : {}),
      version: version === '' ? versions[0] : version,
      metadata: checkMetadata(data.metadata ?? {}, singletonName, fail),
      spec: spec.data,
      ...('status' in data && data.status !== undefined ? { status: data.status } : {}),
    }
    const finished = schema.finish ? schema.finish(checked, fail) : checked
    return frozen({ kind, ...finished }) as DeepReadonly<Resource<Kind, z.output<Spec>>> // frozen all the way down
  }
  return Object.assign(parse, { schema: { versions, spec: schema.spec } })
}

/** Refuses what is no map. */
function asMap(document: unknown, fail: Fail): Record<string, unknown> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    return fail(
      [],
      `expected a resource, found ${describe(document)}`,
      'a resource has kind, version, metadata and spec',
    )
  }
  return withoutNulls(document, fail) as Record<string, unknown> // a map goes in, so a map comes out
}

function checkMetadata(
  { namespace: _, id: __, name, ...rest }: z.output<typeof metadata>,
  singletonName: string | undefined,
  fail: Fail,
): Resource['metadata'] {
  if (singletonName !== undefined) return { name: singletonName, ...rest }
  if (name === undefined || name === '') return fail(['metadata', 'name'], 'missing parameter Name')
  if (name.length > 512) fail(['metadata', 'name'], 'is longer than 512 characters')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(name) || name.trim() !== name) {
    fail(['metadata', 'name'], 'has control characters, or spaces at an end')
  }
  for (const key of Object.keys(rest.labels ?? {})) {
    if (!isLabelKey(key)) fail(['metadata', 'labels', key], `invalid label key: ${JSON.stringify(key)}`)
  }
  return { name, ...rest }
}

/** `role "ops"`, for messages. The name of a join token is a secret and stays out of them. */
function subjectOf(document: unknown, kind: string): string {
  if (kind === 'token') return kind
  const name = (document as { metadata?: { name?: unknown } } | null)?.metadata?.name // only looked at, and checked next
  return typeof name === 'string' && name !== '' ? `${kind} ${JSON.stringify(name.slice(0, 80))}` : kind
}
