import { InvalidInput } from '#errors.ts'
import { type DocumentSource, fieldPath } from '#resources/invalid-resource.ts'

/** What is wrong in a configuration file, and where. */
export interface ConfigFault {
  readonly problem: string
  readonly hint?: string
  readonly path?: readonly PropertyKey[]
  readonly source: DocumentSource
  readonly cause?: unknown
}

/**
 * A configuration that cannot be followed. The message is one line:
 * `failed to parse Teleport configuration: FILE:LINE:COLUMN: FIELD: PROBLEM`.
 */
export class InvalidConfig extends InvalidInput {
  readonly problem: string
  readonly field: string
  readonly file: string
  readonly line: number | undefined

  constructor({ problem, hint, path = [], source, cause }: ConfigFault) {
    const field = fieldPath(path)
    const place = source.at(path)
    const file = place ? `${source.file}:${place.line}:${place.column}` : source.file
    const start = problem.startsWith('unknown field')
      ? 'failed parsing the config file'
      : 'failed to parse Teleport configuration'
    super(
      `${start}: ${[file, field, problem]
        .filter(Boolean)
        .join(': ')
        .replaceAll(/\s*\n\s*/g, ' ')}`,
      {
        hint: hint ?? `correct ${source.file}, then check it with "teleport configure --test ${source.file}"`,
        cause,
      },
    )
    this.problem = problem
    this.field = field
    this.file = source.file
    this.line = place?.line
  }
}

/** Ends the parsing with an error at the path. */
export type Refuse = (path: readonly PropertyKey[], problem: string, hint?: string) => never
