/**
 * Named profiles in the text of an AWS config file. Every byte that is not ours stays: sections, comments, nested values,
 * order and line ends. A section is ours when the comment that we write stands in the line above its header.
 *
 * @see AWS SDKs and Tools Reference Guide "Shared config and credentials files", "Format of the config file"
 */
import { InvalidInput } from '#errors.ts'

/** A profile that we write. */
export interface ManagedProfile {
  /** What users choose it by: `awsconsole`, `awsconsole-Reader`. */
  readonly name: string
  /** The app that it opens. */
  readonly app: string
  /** In the order in which they are written: `[['aws_access_key_id', 'PLACEHOLDER…'], …]`. */
  readonly settings: readonly (readonly [name: ManagedSetting, value: string])[]
}

type ManagedSetting = (typeof managedSettings)[number]
const managedSettings = ['credential_process', 'aws_access_key_id', 'aws_secret_access_key', 'ca_bundle'] as const

/** A section of the name is there, and it is not ours to change. */
export class ForeignAwsSection extends InvalidInput {}

/**
 * The text with these profiles in it, new ones at its end. `source` names the file in errors.
 *
 * @throws {ForeignAwsSection} before anything is changed
 */
export function setAwsProfiles(text: string, profiles: readonly ManagedProfile[], source: string): string {
  const eol = /\r\n/.test(text) ? '\r\n' : '\n'
  let lines = linesOf(text)
  for (const profile of profiles) {
    const { name, settings } = profile
    if (!/^[\w.+=,@-]{1,200}$/.test(name)) {
      throw new InvalidInput(`${JSON.stringify(name)} cannot be the name of an AWS profile`, {
        hint: 'name the app without spaces, quotes and brackets',
      })
    }
    const found = sectionsOf(lines).filter((section) => section.name === name)
    const [section] = found
    const rows = settings.map(([key, value]) => `${key} = ${value}${eol}`)
    if (section === undefined) {
      lines = [...endedLines(lines, eol), `${COMMENT}${profile.app}${eol}`, `[profile ${name}]${eol}`, ...rows]
      continue
    }
    const title = JSON.stringify(`profile ${name}`)
    if (found.length > 1 || section.app !== profile.app)
      throw foreign(`${source}: section ${title} is not managed by teleport`)
    if (section.hasOthers) throw foreign(`${source}: section ${title} contains other keys`)
    const kept = lines.filter((_, index) => !section.settings.includes(index))
    lines = kept.toSpliced(section.header + 1, 0, ...rows)
  }
  return lines.join('')
}

/** What is left without our sections. */
export interface RemovedProfiles {
  readonly text: string
  readonly removed: readonly string[]
  /** Ours, but somebody wrote more into them: they stay. */
  readonly kept: readonly string[]
}

/** The text without the sections that we wrote for `app`, or for any app. */
export function removeAwsProfiles(text: string, app?: string): RemovedProfiles {
  const lines = linesOf(text)
  const ours = sectionsOf(lines).filter(
    (section) => section.app !== undefined && (app === undefined || section.app === app),
  )
  const gone = new Set<number>()
  for (const { header, settings } of ours.filter(({ hasOthers }) => !hasOthers)) {
    for (const index of [header - 1, header, ...settings]) gone.add(index)
    if (header >= 2 && isBlank(lines[header - 2] ?? '')) gone.add(header - 2) // the line that set it off
  }
  return {
    text: lines.filter((_, index) => !gone.has(index)).join(''),
    removed: ours.filter(({ hasOthers }) => !hasOthers).map(({ title }) => title),
    kept: ours.filter(({ hasOthers }) => hasOthers).map(({ title }) => title),
  }
}

/** Whether a credentials file has a profile of this name: its keys would win over those of the config file. */
export function hasCredentialsSection(text: string, name: string): boolean {
  return linesOf(text).some((line) => HEADER.exec(line)?.[1]?.trim() === name)
}

/** The comment of the section of an app, up to its name. */
const COMMENT = '; Do not edit. Section managed by Teleport. Generated for accessing '
const HEADER = /^\s*\[([^\]\r\n]*)\]/

interface Section {
  /** Index of its line. */
  readonly header: number
  readonly title: string
  /** Undefined for a section that is no profile. */
  readonly name: string | undefined
  /** From our comment; undefined where there is none. */
  readonly app: string | undefined
  /** Indexes of lines with settings that we write. */
  readonly settings: readonly number[]
  /** Whether it has any other line that says something. */
  readonly hasOthers: boolean
}

function sectionsOf(lines: readonly string[]): readonly Section[] {
  const headers = lines.flatMap((line, index) => (HEADER.test(line) ? [index] : []))
  return headers.map((header, at): Section => {
    const title = HEADER.exec(lines[header] ?? '')?.[1]?.trim() ?? ''
    const comment = header === 0 ? '' : withoutEnd(lines[header - 1] ?? '')
    const body = lines
      .slice(header + 1, headers[at + 1] ?? lines.length)
      .map((line, index) => ({ line, index: header + 1 + index }))
    const telling = body.filter(({ line }) => !isBlank(line) && !/^\s*[#;]/.test(line))
    const settings = telling.filter(({ line }) => OURS.test(line)).map(({ index }) => index)
    return {
      header,
      title,
      name: profileName(title),
      app: comment.startsWith(COMMENT) ? comment.slice(COMMENT.length) : undefined,
      settings,
      hasOthers: settings.length < telling.length,
    }
  })
}

const OURS = new RegExp(`^(?:${managedSettings.join('|')})\\s*[=:]`)

/** `profile x`, `profile "x"` and, of the one profile that needs no prefix, `default`. */
function profileName(title: string): string | undefined {
  if (title === 'default') return title
  const [, double, single, plain] = /^profile\s+(?:"([^"]*)"|'([^']*)'|(\S.*))$/.exec(title) ?? []
  return double ?? single ?? plain
}

function linesOf(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** With an end on the last line, and one blank line behind it unless there is nothing. */
function endedLines(lines: readonly string[], eol: string): readonly string[] {
  const last = lines.at(-1)
  if (last === undefined) return []
  return [...lines.slice(0, -1), last.endsWith('\n') ? last : `${last}${eol}`, eol]
}

const isBlank = (line: string): boolean => line.trim() === ''
const withoutEnd = (line: string): string => line.replace(/\r?\n$/, '')

function foreign(message: string): ForeignAwsSection {
  return new ForeignAwsSection(`${message}, remove the section and try again`, {
    hint: 'rename that section if you need it, or set AWS_CONFIG_FILE to another file',
  })
}
