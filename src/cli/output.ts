import { formatDuration, parseDuration } from '#resources/duration.ts'
import { UsageError } from './usage-error.ts'

/** A table of text: `headers` left out makes a headless one. */
export interface Table {
  readonly headers?: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Columns of the terminal; when given, the last column is cut with `...` to fit. */
  readonly width?: number
}

/**
 * Header row, row of dashes, then the rows, each column padded to its widest cell and at least four characters:
 *
 *     User  Roles
 *     ----- ------
 *     alice access
 *
 * Control characters in cells are made visible: labels and descriptions come from others.
 */
export function formatTable({ headers, rows, width }: Table): string {
  const cells = rows.map((row) => row.map(oneLine))
  const all = headers === undefined ? cells : [headers, ...cells]
  const columns = Math.max(0, ...all.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(MIN_COLUMN, ...all.map((row) => displayWidth(row[column] ?? ''))),
  )
  const last = columns - 1
  const before = widths.slice(0, last).reduce((sum, each) => sum + each + 1, 0)
  if (width !== undefined && last > 0) {
    widths[last] = Math.min(widths[last] ?? 0, Math.max(width - before, MIN_CUT_COLUMN))
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => fit(cell, widths[column] ?? 0, column === last && width !== undefined))
      .join(' ')
      .trimEnd()
  const lines = [
    ...(headers === undefined ? [] : [line(headers), line(widths.map((each) => '-'.repeat(each)))]),
    ...cells.map(line),
  ]
  return lines.map((text) => `${text}\n`).join('')
}

/** JSON with an indent of two spaces and a newline at the end. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/** YAML of one value; keys keep their order, lines are never folded. */
export async function formatYaml(value: unknown): Promise<string> {
  const { stringify } = await import('yaml')
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
}

/**
 * Chooses the output format, without regard to case.
 *
 * @throws {UsageError} `unsupported format "xml"`
 */
export function parseFormat<const Format extends string>(text: string, formats: readonly Format[]): Format {
  const found = formats.find((format) => format === text.toLowerCase())
  if (found === undefined) {
    throw new UsageError(`unsupported format ${JSON.stringify(text)}`, { hint: `use one of ${formats.join(', ')}` })
  }
  return found
}

/** A span of time as Go prints it, rounded to seconds: `12h0m0s`, `8m5s`, `0s`. Negative spans count as none. */
export function formatSpan(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms / 1000) * 1000))
}

/** As `formatSpan`, without units that are zero: `12h`, `1h30m`. */
export function formatShortSpan(ms: number): string {
  const text = formatSpan(ms)
  return text.replace(/(?<=\D)0s$/, '').replace(/(?<=\D)0m$/, '')
}

/**
 * A span of time as people type it: `30m`, `1h30m`, `2d`; in milliseconds.
 *
 * @param flag named in the error: `--ttl`
 * @throws {UsageError} for anything else, zero and negative spans too
 */
export function parseSpan(text: string, flag: string): number {
  const ms = parseDuration(text.trim())
  if (ms === undefined || ms <= 0) {
    throw new UsageError(`${flag}: ${JSON.stringify(text)} is not a duration`, {
      hint: 'write a number and a unit, such as 30m, 1h30m or 2d',
    })
  }
  return ms
}

/** `key=value,key2=value2` with keys in order: how labels are shown in one cell. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

const MIN_COLUMN = 4
/** However narrow the terminal, this much of the last column stays readable. */
const MIN_CUT_COLUMN = 16

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
}

function fit(cell: string, width: number, cut: boolean): string {
  const shown = cut && displayWidth(cell) > width ? `${[...cell].slice(0, width - 3).join('')}...` : cell
  return shown + ' '.repeat(Math.max(0, width - displayWidth(shown)))
}

/** Columns that a text takes; East Asian wide characters and emoji take two. */
function displayWidth(text: string): number {
  let width = 0
  for (const char of text) width += WIDE.test(char) ? 2 : 1
  return width
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
