/** One entry of the audit log: flat JSON with the names and codes that SIEM rules key on. */
export interface AuditEvent {
  /** Type, such as `user.login`. */
  readonly event: string
  /** Such as `T1000I`. */
  readonly code: string
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string
  /** UUID. An event is kept once per (time, uid). */
  readonly uid: string
  /** Index in a stream; 0 for single events. */
  readonly ei: number
  readonly cluster_name: string
  readonly [field: string]: unknown
}

/** Takes events. Resolves when the event is on disk: in the log, or in the spool that delivers to it. */
export interface AuditEmitter {
  emit(event: AuditEvent): Promise<void>
}
