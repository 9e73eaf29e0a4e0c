/** The little XML that AWS protocols use: elements and text, no attributes but a namespace. */

/** What an element holds. A list gives one element per item, `undefined` none. */
export type XmlValue =
  | string
  | number
  | boolean
  | Date
  | undefined
  | readonly XmlValue[]
  | { readonly [name: string]: XmlValue }

/** An element that was read. */
export interface XmlElement {
  readonly name: string
  readonly text: string
  readonly children: readonly XmlElement[]
}

/** `writeXml('A', { B: ['x', 'y'] })` gives a whole document with `<A><B>x</B><B>y</B></A>`. */
export function writeXml(name: string, value: XmlValue, namespace?: string): string {
  const start = namespace === undefined ? name : `${name} xmlns="${namespace}"`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${start}>${content(value)}</${name}>`
}

/**
 * Reads a document of elements and text.
 *
 * @throws {InvalidXml} for anything else: DTDs, processing instructions inside, mismatched tags, unknown entities
 */
export function parseXml(document: string): XmlElement {
  const tokens = document
    .replace(/^\uFEFF?\s*<\?xml[^>]*\?>/, '')
    .matchAll(/<!--[\s\S]*?-->|<(\/?)([\w.:-]+)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)|</g)
  type Open = { name: string; text: string; children: XmlElement[] }
  const root: Open = { name: '', text: '', children: [] }
  const stack: Open[] = [root]
  for (const [token, close, name, , empty, text] of tokens) {
    const top = stack.at(-1) ?? root
    if (text !== undefined) top.text += withoutEntities(text)
    else if (token.startsWith('<!--')) continue
    else if (name === undefined) throw new InvalidXml('a tag is not well-formed')
    else if (close === '/') {
      if (stack.length < 2 || top.name !== name || empty === '/') throw new InvalidXml(`</${name}> closes nothing`)
      stack.pop()
    } else {
      const element: Open = { name, text: '', children: [] }
      top.children.push(element)
      if (empty !== '/') stack.push(element)
      if (stack.length > 32) throw new InvalidXml('elements nest too deep')
    }
  }
  const [element] = root.children
  if (stack.length !== 1 || root.children.length !== 1 || !element || root.text.trim() !== '') {
    throw new InvalidXml('there is not exactly one whole element')
  }
  return element
}

/** Text that is not a document of the kind that AWS reads. */
export class InvalidXml extends Error {
  override readonly name = 'InvalidXml'
}

/** The text of the first child with that name. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text
}

function content(value: XmlValue): string {
  if (value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  if (typeof value !== 'object') return withEntities(String(value))
  return Object.entries(value)
    .flatMap(([name, inner]: [string, XmlValue]) =>
      (Array.isArray(inner) ? inner : [inner]).map((item) => [name, item] as const),
    )
    .map(([name, item]) => (item === undefined ? '' : `<${name}>${content(item)}</${name}>`))
    .join('')
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
}

function withEntities(text: string): string {
  return text.replaceAll(/[&<>"\r]/g, (character) => escapes[character] ?? character)
}

function withoutEntities(text: string): string {
  return text.replaceAll(/&(?:#(\d+)|#x([0-9A-Fa-f]+)|(\w+));?/g, (whole, decimal, hex, name) => {
    const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
    if (!whole.endsWith(';')) throw new InvalidXml('an entity has no end')
    const point = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : undefined
    const character = point === undefined ? named[name] : point <= 0x10ffff ? String.fromCodePoint(point) : undefined
    if (character === undefined) throw new InvalidXml(`the entity ${whole} is not known`)
    return character
  })
}
