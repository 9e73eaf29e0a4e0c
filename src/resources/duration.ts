/** Durations as Go writes them: `30h0m0s`, `1h30m`, `500ms`. Days are taken too where a field says so: `14d`. */

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const MAX_TEXT = 64
/** About 290 years, the longest that the reference can hold. */
const MAX_MS = 9_223_372_036_854

/** Milliseconds, or `undefined` for a text that is no duration. `parseDuration('1h30m') === 5_400_000`. */
export function parseDuration(text: string): number | undefined {
  if (text.length > MAX_TEXT) return undefined
  if (/^[+-]?0$/.test(text)) return 0
  const [, sign, parts = ''] = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d))+)$/.exec(text) ?? []
  if (parts === '') return undefined
  let total = 0
  for (const [, amount, unit] of parts.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)/g)) {
    total += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN)
  }
  if (!(total <= MAX_MS)) return undefined
  return sign === '-' ? -total : total
}

/** Milliseconds as Go prints them: `108_000_000` is `30h0m0s`, `1500` is `1.5s`, `0` is `0s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  const sign = ms < 0 ? '-' : ''
  const size = Math.abs(ms)
  if (size < 1) return size * 1000 < 1 ? `${sign}${Math.round(size * 1e6)}ns` : `${sign}${trim(size * 1000)}µs`
  if (size < 1000) return `${sign}${trim(size)}ms`
  const hours = Math.floor(size / 3_600_000)
  const minutes = Math.floor((size % 3_600_000) / 60_000)
  const seconds = `${trim((size % 60_000) / 1000)}s`
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : sign + seconds
}

/** Up to nine digits after the point, none where they are zero. */
function trim(value: number): string {
  return String(Number(value.toFixed(6)))
}
