import { AccessError } from '#errors.ts'

/** Where a document came from: the name of its file and, by path, where its fields stand there. */
export interface DocumentSource {
  /** As the user typed it, such as `roles.yaml`; `standard input` for a pipe. */
  readonly file: string
  /** Line and column, both from 1, of the field or of its nearest parent. */
  at(path: readonly PropertyKey[]): Position | undefined
}

export interface Position {
  readonly line: number
  readonly column: number
}

/** What is wrong, and where: `{ field: 'spec.allow.aws_role_arns[0]', file: 'role.yaml', line: 7, column: 9 }`. */
export interface ResourceFault {
  readonly problem: string
  readonly hint?: string
  /** `role "ops"`; left out where not even the kind can be read. */
  readonly subject?: string
  readonly path?: readonly PropertyKey[]
  readonly source?: DocumentSource | undefined
  /** Where the document itself cannot be read and has no paths yet. */
  readonly position?: Position
  readonly cause?: unknown
}

/** A document that is not a resource that may be stored. Its message is `FILE:LINE:COLUMN: SUBJECT: FIELD: PROBLEM`. */
export class InvalidResource extends AccessError {
  override readonly code = 'invalid'
  /** The problem alone, as the reference words it where scripts look for it. */
  readonly problem: string
  readonly field: string
  readonly path: readonly PropertyKey[]
  readonly file: string | undefined
  readonly line: number | undefined
  readonly column: number | undefined

  constructor({ problem, hint, subject, path = [], source, position, cause }: ResourceFault) {
    const field = fieldPath(path)
    const place = position ?? source?.at(path)
    const file = source && (place ? `${source.file}:${place.line}:${place.column}` : source.file)
    super([file, subject, field, problem].filter(Boolean).join(': '), {
      hint: hint ?? 'correct the document and try again',
      cause,
    })
    this.problem = problem
    this.field = field
    this.path = path
    this.file = source?.file
    this.line = place?.line
    this.column = place?.column
  }
}

/** `['spec', 'allow', 'rules', 0, 'verbs']` as `spec.allow.rules[0].verbs`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    const name = String(key)
    if (!/^[\w-]+$/.test(name)) return `${text}[${JSON.stringify(name)}]`
    return text === '' ? name : `${text}.${name}`
  }, '')
}
