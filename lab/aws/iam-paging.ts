/** Lists of IAM, in pages. @see IAM API Reference, "Common parameters": Marker, MaxItems, PathPrefix */
import { type Parameters, validation } from './query-service.ts'
import type { XmlValue } from './xml.ts'

interface Named {
  readonly name: string
  readonly path: string
}

/** One page in order of name: `{ Roles: { member: […] }, IsTruncated, Marker }`. */
export function iamPage<T extends Named>(
  element: string,
  all: Iterable<T>,
  parameters: Parameters,
  show: (item: T) => XmlValue,
): XmlValue {
  const limit = Number(parameters.get('MaxItems') ?? 100)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw validation(
      `Value '${parameters.get('MaxItems')}' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000`,
    )
  }
  const prefix = parameters.get('PathPrefix') ?? '/'
  const after = Buffer.from(parameters.get('Marker') ?? '', 'base64').toString('utf8')
  const rest = [...all]
    .filter(({ name, path }) => path.startsWith(prefix) && name > after)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const page = rest.slice(0, limit)
  const isTruncated = rest.length > page.length
  return {
    [element]: { member: page.map(show) },
    IsTruncated: isTruncated,
    Marker: isTruncated ? Buffer.from(page.at(-1)?.name ?? '').toString('base64') : undefined,
  }
}

/** IAM gives documents back percent-encoded (RFC 3986). */
export const encodedDocument = (text: string): string => encodeURIComponent(text)
