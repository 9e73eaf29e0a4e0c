import { isMap, isNode, type parseAllDocuments, visit } from 'yaml'

/** A template that YAML read as a map, as in `- {{external.aws_role_arns}}`, and where it stands. */
export interface UnquotedTemplate {
  /** `{{external.aws_role_arns}}` */
  readonly text: string
  /** From the beginning of the file. */
  readonly offset: number
}

/**
 * The first template of a document that lacks its quotes. Published examples are written without them, and YAML reads
 * such a line as a map whose key is a map, or breaks at the brackets or commas in it.
 */
export function unquotedTemplate(
  text: string,
  document: ReturnType<typeof parseAllDocuments>[number],
): UnquotedTemplate | undefined {
  let offset: number | undefined
  if (isNode(document.contents)) {
    visit(document.contents, {
      Map(_, map) {
        const [first] = map.items
        if (!map.flow || !first || !isMap(first.key) || !first.key.flow) return undefined
        offset = map.range?.[0]
        return visit.BREAK
      },
    })
  }
  offset ??= document.errors.map(({ pos }) => onLineOf(text, pos[0])).find((found) => found !== undefined)
  return offset === undefined ? undefined : { text: templateAt(text, offset), offset }
}

/** An unquoted `{{` that begins a value on the line of an error, or on the line before it. */
function onLineOf(text: string, offset: number): number | undefined {
  const end = text.indexOf('\n', offset)
  const start = text.lastIndexOf('\n', text.lastIndexOf('\n', Math.max(offset - 1, 0)) - 1) + 1
  const lines = text.slice(start, end === -1 ? undefined : end).slice(0, 10_000)
  const found = /(?:^|\n)[ \t]*(?:- +|[\w.'"*-]+: +)*(?:\[ *)?(\{\{)/d.exec(lines)?.indices?.[1]
  return found && start + found[0]
}

function templateAt(text: string, offset: number): string {
  const line = text.slice(offset, offset + 200).split('\n')[0] ?? ''
  const end = line.indexOf('}}')
  return end === -1 ? line.trimEnd() : line.slice(0, end + 2)
}
