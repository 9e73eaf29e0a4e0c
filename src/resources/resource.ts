/**
 * The envelope that all resources share.
 * A resource's definition is the schema of its kind; its JSON document is what travels and what is stored.
 */
export interface Resource<Kind extends string = string, Spec = unknown> {
  readonly kind: Kind
  readonly sub_kind?: string
  readonly version: string
  readonly metadata: Metadata
  readonly spec: Spec
  readonly status?: unknown
}

interface Metadata {
  readonly name: string
  readonly description?: string
  readonly labels?: Readonly<Record<string, string>>
  /** RFC 3339 instant after which the resource is gone. */
  readonly expires?: string
  /** Opaque; changes with every write. */
  readonly revision?: string
}
