import type { AuditEvent } from './event.ts'

/** Largest event that is kept as it is, in bytes of its JSON. */
const maxEventBytes = 64 * 1024

/** Fields by which an event is found; they are never shortened below this many characters. */
const KEEP = new Set(['event', 'code', 'time', 'uid', 'ei', 'cluster_name'])

/**
 * Makes an event fit: texts are shortened, ever more, until it does, and `trimmed: true` says so. What has no place even
 * then is left out, the envelope never. An event is never dropped for its size.
 */
export function trimEvent(event: AuditEvent, maxBytes: number = maxEventBytes): AuditEvent {
  if (sizeOf(event) <= maxBytes) return event
  for (let length = 4096; length >= 16; length /= 4) {
    const trimmed: AuditEvent = { ...event, ...shorten(event, length), trimmed: true }
    if (sizeOf(trimmed) <= maxBytes) return trimmed
  }
  const envelope = Object.entries(event).filter(([field, value]) => KEEP.has(field) || isShort(value))
  const left = Object.fromEntries(envelope) as AuditEvent // the envelope is in it
  const { event: type, code, time, uid, ei, cluster_name } = event
  const least = { event: type, code, time, uid, ei, cluster_name, trimmed: true }
  return sizeOf(left) + 32 <= maxBytes ? { ...left, trimmed: true } : least
}

function shorten(event: AuditEvent, length: number): Record<string, unknown> {
  const entries = Object.entries(event).filter(([field]) => !KEEP.has(field))
  return Object.fromEntries(entries.map(([field, value]) => [field, shortenValue(value, length)]))
}

function shortenValue(value: unknown, length: number): unknown {
  if (typeof value === 'string') {
    return value.length <= length ? value : `${value.slice(0, length).toWellFormed()}… (${value.length - length} more)`
  }
  if (Array.isArray(value)) return value.slice(0, length / 4).map((element) => shortenValue(element, length))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).slice(0, length / 4)
  return Object.fromEntries(entries.map(([field, inner]) => [field.slice(0, length), shortenValue(inner, length)]))
}

const isShort = (value: unknown): boolean =>
  typeof value === 'number' || typeof value === 'boolean' || (typeof value === 'string' && value.length <= 256)

const sizeOf = (event: AuditEvent): number => Buffer.byteLength(JSON.stringify(event))
