/** Host and port of something that listens or is dialled: `{ host: '0.0.0.0', port: 3080 }`. */
export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * Parses `HOST`, `HOST:PORT`, `[IPV6]:PORT` and `:PORT`; a scheme in front is ignored. `undefined` of anything else.
 * Port 0 is any free one.
 */
export function parseAddress(text: string, defaultPort: number, defaultHost = ''): Address | undefined {
  const match = /^(?:(?:https?|tcp):\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]*))(?::(\d{1,5}))?\/?$/.exec(text.trim())
  if (!match) return undefined
  const [, ipv6, name = '', digits] = match
  const host = ipv6 ?? (name === '' ? defaultHost : name)
  const port = digits === undefined ? defaultPort : Number(digits)
  return host === '' || port > 65_535 ? undefined : { host, port }
}

/** As it is written: `[::1]:3025`. */
export function addressText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
