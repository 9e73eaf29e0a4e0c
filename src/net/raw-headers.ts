/** Headers as they stand on the wire: name, value, name, value. As `IncomingMessage.rawHeaders`. */
export type RawHeaders = readonly string[]

/** The first value of a header; names are compared without case. */
export function rawHeader(headers: RawHeaders, name: string): string | undefined {
  const wanted = name.toLowerCase()
  const index = headers.findIndex((candidate, index) => index % 2 === 0 && candidate.toLowerCase() === wanted)
  return index < 0 ? undefined : headers[index + 1]
}

/** The pairs that `keep` keeps. It gets the name in lower case. */
export function filterHeaders(headers: RawHeaders, keep: (name: string, value: string) => boolean): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    const value = headers[index + 1] ?? ''
    if (keep(name.toLowerCase(), value)) kept.push(name, value)
  }
  return kept
}

/**
 * Takes out what concerns one connection alone: the names that `Connection` lists, and the known ones.
 *
 * @see RFC 9110 §7.6.1
 */
export function withoutHopByHop(headers: RawHeaders): string[] {
  const named = new Set(hopByHop)
  filterHeaders(headers, (name, value) => {
    if (name === 'connection') for (const item of value.split(',')) named.add(item.trim().toLowerCase())
    return false
  })
  return filterHeaders(headers, (name) => !named.has(name))
}

const hopByHop = [
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
]
