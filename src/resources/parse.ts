/** From the text of a file to resources. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'
import { type DocumentSource, InvalidResource, type Position } from './invalid-resource.ts'
import { findKind, type KindDefinition, kinds } from './kinds.ts'
import { nearest } from './nearest.ts'
import type { Resource } from './resource.ts'
import { describe } from './schema.ts'
import { unquotedTemplate } from './unquoted-template.ts'

/** More than any export of a real cluster. */
const MAX_BYTES = 16 * 1024 * 1024
const MAX_DOCUMENTS = 50_000

/** One value of a file, with where its fields stand. */
export interface ParsedDocument {
  readonly value: unknown
  readonly source: DocumentSource
}

/**
 * Resources of a YAML or JSON text; YAML documents are separated by `---`, and a list, as `tctl get --format json`
 * prints it, counts as its items.
 *
 * @param source name of the file, for messages
 * @throws {InvalidResource} naming file, line, column and field
 */
export function parseDocuments(text: string, source: string): readonly Resource[] {
  return readDocuments(text, source).flatMap(({ value, source }) => {
    if (!Array.isArray(value)) return [parseResource(value, source)]
    return value.map((item: unknown, index) =>
      parseResource(item, { ...source, at: (path) => source.at([index, ...path]) }),
    )
  })
}

/** Takes one resource of any kind. @throws {InvalidResource} */
export function parseResource(value: unknown, source?: DocumentSource): Resource {
  return kindOf(value, source).parse(value, source)
}

/**
 * Values of a YAML 1.2 or JSON text, empty documents left out. Duplicate keys, alias bombs and unquoted templates are errors.
 * @throws {InvalidResource}
 */
export function readDocuments(text: string, file: string): readonly ParsedDocument[] {
  const nowhere: DocumentSource = { file, at: () => undefined }
  if (text.length > MAX_BYTES)
    throw new InvalidResource({ problem: `is larger than ${MAX_BYTES} bytes`, source: nowhere })
  const lines = new LineCounter()
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const documents = parsedByYaml(text, lines, nowhere)
  if (documents.length > MAX_DOCUMENTS) {
    throw new InvalidResource({ problem: `has more than ${MAX_DOCUMENTS} documents`, source: nowhere })
  }
  return documents.flatMap((document) => {
    const template = unquotedTemplate(text, document)
    if (template !== undefined) {
      throw new InvalidResource({
        problem: `${template.text} is a map in YAML and not a template: put it in quotes`,
        hint: template.text.includes('"')
          ? `write '${template.text.replaceAll("'", "''")}'`
          : `write "${template.text}"`,
        source: nowhere,
        position: position(template.offset),
      })
    }
    const [error] = document.errors
    if (error) {
      const problem = `is not valid YAML: ${error.message.split(' at line ')[0]?.split('\n')[0] ?? error.code}`
      throw new InvalidResource({ problem, source: nowhere, position: position(error.pos[0]) })
    }
    const source: DocumentSource = { file, at: (path) => locate(document.contents, path, position) }
    const value = plain(document, source)
    return value === null || value === undefined ? [] : [{ value, source }]
  })
}

type YamlDocument = ReturnType<typeof parseAllDocuments>[number]

function parsedByYaml(text: string, lineCounter: LineCounter, source: DocumentSource): readonly YamlDocument[] {
  try {
    return parseAllDocuments(text, {
      lineCounter,
      version: '1.2',
      schema: 'core',
      uniqueKeys: true,
      prettyErrors: false,
      logLevel: 'silent',
    })
  } catch (cause) {
    // The library recurses over nested collections, so that a text of brackets alone ends its stack.
    throw new InvalidResource({ problem: 'is not valid YAML: it is nested too deep', source, cause })
  }
}

function plain(document: YamlDocument, source: DocumentSource): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new InvalidResource({ problem: 'is not valid YAML: its aliases cannot be resolved', source, cause })
  }
}

function kindOf(value: unknown, source?: DocumentSource): KindDefinition {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidResource({
      problem: `expected a resource, found ${describe(value)}`,
      hint: 'a resource has kind, version, metadata and spec',
      source,
    })
  }
  const { kind } = value as { kind?: unknown } // an object, as was just seen
  if (typeof kind !== 'string' || kind === '') {
    throw new InvalidResource({
      problem: 'the field "kind" is missing',
      hint: 'begin with "kind: role", for example',
      source,
    })
  }
  const definition = findKind(kind)
  if (definition) return definition
  const known = kinds.map(({ kind }) => kind)
  const suggestion = nearest(kind, known)
  throw new InvalidResource({
    problem: `kind ${JSON.stringify(kind.slice(0, 80))} is not known${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`}`,
    hint: `use one of ${known.join(', ')}`,
    path: ['kind'],
    source,
  })
}

/** Where the field stands: its key, or the nearest parent that is there. */
function locate(
  root: unknown,
  path: readonly PropertyKey[],
  position: (offset: number) => Position,
): Position | undefined {
  let node = root
  let offset = (root as Node | null)?.range?.[0] // every node that the parser makes has its range
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      if (!pair) break
      offset = (pair.key as Node).range?.[0] ?? offset // a scalar, as was just found
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(step)]
      offset = (node as Node | undefined)?.range?.[0] ?? offset // items of a parsed list are nodes
    } else break
  }
  return offset === undefined ? undefined : position(offset)
}
