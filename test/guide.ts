/** Reads a guide as a list of steps: the code blocks that a reader would copy, with what the info string says of each. */
import { readFileSync } from 'node:fs'
import { checkout } from '#test/shell.ts'

/** One code block. `before` is the last heading above it. */
export interface GuideBlock {
  readonly language: string
  /** Words of the info string: `user`, `root`, `background=proxy`. */
  readonly marks: ReadonlySet<string>
  /** Values of the words with `=`: `{ file: 'aws-ro-access.yaml' }`. */
  readonly values: Readonly<Record<string, string>>
  readonly text: string
  readonly before: string
  /** Line in the guide, from 1. */
  readonly line: number
}

/** @param name such as `aws-application-access` */
export function readGuide(name: string): readonly GuideBlock[] {
  const lines = readFileSync(`${checkout}docs/guides/${name}.md`, 'utf8').split('\n')
  const blocks: GuideBlock[] = []
  let before = ''
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? ''
    const heading = /^#+ (.*)$/.exec(line)
    if (heading?.[1] !== undefined) before = heading[1]
    const fence = /^(\s*)```(\w+)(.*)$/.exec(line)
    if (fence === null) continue
    const [, indent = '', language = '', info = ''] = fence
    const start = index + 1
    while (index + 1 < lines.length && !/^\s*```$/.test(lines[index + 1] ?? '')) index++
    const text = lines.slice(start, index + 1).map((row) => (row.startsWith(indent) ? row.slice(indent.length) : row))
    index++
    const words = info.split(' ').filter((word) => word !== '')
    blocks.push({
      language,
      marks: new Set(words.filter((word) => !word.includes('='))),
      values: Object.fromEntries(words.filter((word) => word.includes('=')).map((word) => word.split('=', 2))),
      text: `${text.join('\n')}\n`,
      before,
      line: start,
    })
  }
  return blocks
}

/** What a `text expect` block says one sees, as a pattern: `…` stands for anything, blanks for any number of them. */
export function expectedOutput(text: string): RegExp {
  const rows = text
    .trim()
    .split('\n')
    .filter((row) => row.trim() !== '')
  const pattern = rows.map((row) =>
    row
      .trim()
      .split(/\s+/)
      .map((word) => word.split('…').map(escapeRegExp).join('[^]*?'))
      .join('\\s+'),
  )
  return new RegExp(pattern.join('\\s+'))
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
