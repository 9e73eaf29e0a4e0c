/** Percent-encoding as AWS signs it (RFC 3986 §2.3: only unreserved characters stay). */
import { AwsError } from './aws-error.ts'

/** One parameter of a query, as it came. */
export interface RawParameter {
  readonly name: string
  readonly value: string
}

/** Everything but `A-Z a-z 0-9 - . _ ~` becomes `%XX`. */
export function encodePercent(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/**
 * @param plus what a bare `+` means: a space in queries and forms, itself in paths
 * @throws {AwsError} InvalidURI for a broken escape
 */
export function decodePercent(text: string, plus: 'plus-is-space' | 'keep-plus' = 'plus-is-space'): string {
  try {
    return decodeURIComponent(plus === 'plus-is-space' ? text.replaceAll('+', ' ') : text)
  } catch {
    throw new AwsError('InvalidURI', 400, "Couldn't parse the specified URI.")
  }
}

/** Takes a query or a form apart without decoding: `a=1&b` gives `a` = `1` and `b` = ``. */
export function parseRawQuery(query: string): readonly RawParameter[] {
  return query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=')
      return equals < 0 ? { name: part, value: '' } : { name: part.slice(0, equals), value: part.slice(equals + 1) }
    })
}

/** Decoded parameters; of one that comes twice, the last counts. */
export function parseForm(form: string): ReadonlyMap<string, string> {
  return new Map(parseRawQuery(form).map(({ name, value }) => [decodePercent(name), decodePercent(value)]))
}
