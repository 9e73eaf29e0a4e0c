import { isIPv6 } from 'node:net'
import { InvalidInput } from '#errors.ts'

/** Where a Proxy Service is reached: `{ host: 'access.example.com', port: 443 }`. */
export interface ProxyAddress {
  readonly host: string
  readonly port: number
}

/** Port of a proxy whose address names none. */
const DEFAULT_PROXY_PORT = 443

/**
 * Parses `host`, `host:port`, `[::1]:port` or `https://host:port`, as people type and copy it.
 *
 * @throws {InvalidInput} for anything else
 */
export function parseProxyAddress(text: string): ProxyAddress {
  const bare = text
    .trim()
    .replace(/^https:\/\//i, '')
    .replace(/\/$/, '')
  const [, bracketed, name, portText] = /^(?:\[([^\]]+)\]|([^:/?#@\s]+))(?::(\d{1,5}))?$/.exec(bare) ?? []
  const host = (bracketed ?? name ?? (isIPv6(bare) ? bare : '')).toLowerCase()
  const port = portText === undefined ? DEFAULT_PROXY_PORT : Number(portText)
  if (
    !(bracketed === undefined ? HOST.test(host) || isIPv6(host) : isIPv6(host)) ||
    host.includes('..') ||
    port < 1 ||
    port > 65_535
  ) {
    throw new InvalidInput(`${JSON.stringify(text.slice(0, 128))} is not the address of a proxy`, {
      hint: 'write host or host:port, such as access.example.com:443',
    })
  }
  return { host, port }
}

/** `host:port`, an IPv6 address in brackets. */
export function formatProxyAddress({ host, port }: ProxyAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** `https://host`, with the port where it is not 443. */
export function proxyUrl({ host, port }: ProxyAddress): string {
  const shown = isIPv6(host) ? `[${host}]` : host
  return port === DEFAULT_PROXY_PORT ? `https://${shown}` : `https://${shown}:${port}`
}

const HOST = /^[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?\.?$/
